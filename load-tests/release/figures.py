"""What requests came to, in numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from release.open_loop import UNSENT, Outcome, Run

REFUSALS = (429, 503)
POINTS = 120  # of a line over time
LEAST_S = 0.5  # of one of them


class Figures(NamedTuple):
    """Requests, counted.

    Attributes:
        told: refusals (429 and 503) that said when to come back.
        lost: nothing came, or not in time.
        unsent: too many waited already for an answer. `errors` are these, the lost ones, and answers of other
            statuses that are no refusals.
        per_s: answered of those that were due in a second.
        p50_s, p95_s, p99_s, max_s: since they were due, of all that were not refused; None: so many of them
            got no answer. Without those that got none, a server would be the faster the more it loses.
        late_s: how late 99 of 100 were sent at most.
    """

    requests: int
    answered: int
    refused: int
    told: int
    errors: int
    lost: int
    unsent: int
    per_s: float
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    max_s: float | None
    late_s: float

    @property
    def error_rate(self) -> float:
        """Errors among the requests."""
        return self.errors / self.requests if self.requests else 0.0


def figures(outcomes: Sequence[Outcome], seconds: float) -> Figures:
    """Counts requests that were due within so many seconds."""
    refused = [one for one in outcomes if one.ended.status in REFUSALS]
    answered = sum(one.ended.answered for one in outcomes)
    unsent = sum(one.ended is UNSENT for one in outcomes)
    lost = sum(one.ended.status == 0 for one in outcomes) - unsent
    p50, p95, p99, most = (
        None if math.isinf(one) else one for one in quantiles(outcomes, (0.5, 0.95, 0.99, 1))
    )
    late = float(np.quantile([one.late_s for one in outcomes], 0.99)) if outcomes else 0.0
    failed = len(outcomes) - answered - len(refused)
    told = sum(one.ended.retry_after for one in refused)
    counts = len(outcomes), answered, len(refused), told, failed, lost, unsent
    # A run that was cut short within its warm-up has no second that counts.
    per_s = answered / seconds if seconds else 0.0
    return Figures(*counts, per_s, p50, p95, p99, most, max(0.0, late))


def quantiles(outcomes: Iterable[Outcome], parts: Sequence[float]) -> list[float]:
    """Returns within how many seconds so large parts of those that were not refused were answered.

    Who got no answer waits for ever. No times between two requests' are made up: one may be infinite.
    """
    times = [
        one.latency_s if one.ended.answered else math.inf
        for one in outcomes
        if one.ended.status not in REFUSALS
    ]
    found: list[float] = np.quantile(times or [math.inf], parts, method="inverted_cdf").tolist()
    return found


def counted(run: Run) -> list[Outcome]:
    """Returns the requests that are no warm-up."""
    return [one for one in run.outcomes if run.steps[one.arrival.step].counts]


def seconds(run: Run) -> float:
    """Returns how long requests were due that count."""
    return sum(step.end_s - step.begin_s for step in run.steps if step.counts)


def by_way(run: Run) -> dict[str, Figures]:
    """Returns the figures of each way in."""
    outcomes = counted(run)
    return {
        share.way: figures([one for one in outcomes if one.arrival.way == share.way], seconds(run))
        for share in run.scenario.requests
    }


def by_host(run: Run) -> list[Figures]:
    """Returns the figures of each host."""
    outcomes = counted(run)
    return [
        figures([one for one in outcomes if one.host == place], seconds(run))
        for place in range(len(run.hosts))
    ]


def by_step(run: Run) -> list[Figures]:
    """Returns the figures of each step."""
    found: list[list[Outcome]] = [[] for _ in run.steps]
    for one in run.outcomes:
        found[one.arrival.step].append(one)
    return [figures(some, step.end_s - step.begin_s) for some, step in zip(found, run.steps, strict=True)]


def over_time(run: Run) -> list[tuple[float, Figures]]:
    """Returns the figures of equal parts of the whole run, each with the middle of its time."""
    end_s = run.steps[-1].end_s
    count = max(1, min(POINTS, int(end_s / LEAST_S)))
    width = end_s / count
    found: list[list[Outcome]] = [[] for _ in range(count)]
    for one in run.outcomes:
        found[min(count - 1, int(one.arrival.at_s / width))].append(one)
    return [((place + 0.5) * width, figures(some, width)) for place, some in enumerate(found)]


def by_version(outcomes: Iterable[Outcome]) -> Counter[str]:
    """Counts the answers of each version of the release."""
    return Counter(one.ended.predictor for one in outcomes if one.ended.answered)


def failures(outcomes: Iterable[Outcome]) -> Counter[tuple[int, str]]:
    """Counts what failed, by status and words."""
    return Counter((one.ended.status, one.ended.words[:160]) for one in outcomes if not one.ended.answered)
