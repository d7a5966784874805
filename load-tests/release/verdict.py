"""Whether a run has come to what its scenario asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from release.figures import Figures, by_version, counted, figures, seconds
from release.open_loop import Run

# A share that only chance moves is called wrong once in 10 000 runs: both sides of a normal distribution.
SIGMAS = 3.891


class Check(NamedTuple):
    """One thing that was asked for."""

    name: str
    expected: str
    got: str
    passed: bool


def checks(run: Run, traffic: Mapping[str, int] | None = None) -> list[Check]:
    """Returns all that the scenario asks for, kept or not.

    Args:
        traffic: percent of each version, where the scenario is about them.
    """
    found = thresholds(run, figures(counted(run), seconds(run)))
    if run.cut_short:
        found.append(Check("ran to its end", "yes", f"cut short {run.cut_words}", passed=False))
    if run.scenario.kill:
        got = "nothing was" if run.killed_s is None else f"after {run.killed_s:.1f} s"
        found.append(Check("something was killed", "yes", got, run.killed_s is not None))
    if run.scenario.split:
        found += shares(run, traffic or {})
    return found


def thresholds(run: Run, got: Figures) -> list[Check]:
    """Returns the thresholds; where too few were answered, times are beyond all of them."""
    asked = run.scenario.thresholds
    requests = max(1, got.requests)
    found = [Check("requests", "at least 1", str(got.requests), got.requests > 0)]

    def most(name: str, limit: float | None, value: float | None, said: str = "{:.3g}") -> None:
        if limit is not None:
            never = f"no answer within {run.scenario.timeout_seconds:g} s"
            words = never if value is None else said.format(value)
            passed = value is not None and value <= limit
            found.append(Check(name, f"at most {said.format(limit)}", words, passed))

    if got.unsent:
        found.append(Check("not sent: too many waited for an answer", "none", str(got.unsent), passed=False))
    most("errors", asked.errors, got.errors / requests, "{:.2%}")
    most("lost requests", asked.lost, got.lost, "{:.0f}")
    most("refused (429, 503)", asked.refused, got.refused / requests, "{:.2%}")
    if asked.retry_after is not None:
        part = got.told / got.refused if got.refused else 1.0
        said = f"{part:.0%} of {got.refused}" if got.refused else "none was refused"
        found.append(
            Check("refusals that said when to come back", f"at least {asked.retry_after:.0%}", said,
                  part >= asked.retry_after)
        )  # fmt: skip
    most("half of all answers (p50)", asked.p50_seconds, got.p50_s, "{:.3f} s")
    most("95 of 100 answers (p95)", asked.p95_seconds, got.p95_s, "{:.3f} s")
    most("99 of 100 answers (p99)", asked.p99_seconds, got.p99_s, "{:.3f} s")
    most("sent late by the generator (p99)", asked.late_seconds, got.late_s, "{:.3f} s")
    return found


def shares(run: Run, traffic: Mapping[str, int]) -> list[Check]:
    """Returns whether every version has answered its part, as far as chance allows it to be off.

    Source: the binomial distribution, by its normal approximation.
    """
    answers = by_version(counted(run))
    total = answers.total()
    found = []
    for name in sorted({*traffic, *answers}):
        percent = traffic.get(name, 0)
        part = percent / 100
        off = SIGMAS * math.sqrt(part * (1 - part) / total) if total else 0.0
        got = answers[name] / total if total else 0.0
        label = f"answers of version '{name}'" if name else "answers that name no version"
        expected = f"{part:.1%} ± {off:.1%}" if 0 < part < 1 else f"{part:.0%}"
        found.append(Check(label, expected, f"{got:.1%} of {total}", bool(total) and abs(got - part) <= off))
    return found
