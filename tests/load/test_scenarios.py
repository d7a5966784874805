"""What scenarios say, and how one that is wrong is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from release import arrivals, figures, scenario, verdict
from release.open_loop import Outcome, Run
from release.scenario import Scenario
from release.ways import Ended

from imagegraph.errors import InvalidDocument, UnknownName

GOOD = """\
summary: One
phases:
  - {rate: 2, seconds: 3}
requests:
  - {way: binary}
thresholds: {errors: 0}
"""


def made(**changed: Any) -> Scenario:
    return Scenario.model_validate({**yaml.safe_load(GOOD), **changed})


@pytest.mark.parametrize("path", sorted(scenario.FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_ours_can_be_read(path: Path) -> None:
    assert scenario.read(path.stem).seconds > 0


@pytest.mark.parametrize("path", sorted(scenario.FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_server_that_dies_breaks_each_of_ours(path: Path) -> None:
    run = Run(read := scenario.read(path.stem), arrivals.steps(read))
    for one in arrivals.arrivals(read, 0):
        status = 200 if one.at_s < 0.9 * read.seconds else 0
        run.outcomes.append(Outcome(one, one.at_s, one.at_s + 0.01, Ended(status, predictor="default")))
    assert not all(one.passed for one in verdict.thresholds(run, figures.figures(figures.counted(run), 1)))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("rate: 2", "rate: 0", ":3: phases.0.rate: Input should be greater than 0, got 0"),
        ("rate: 2", "rate: .inf", ":3: phases.0.rate: Input should be a finite number, got inf"),
        ("rate: 2", "rates: 2", ":3: phases.0.rates: unknown key"),
        ("rate: 2", "rate: 2, to: 5", ":3: phases.0.to: expected steps beside it, got none"),
        ("rate: 2", "rate: 2, counts: false", ":2: phases: expected one that counts, got warm-ups alone"),
        ("binary", "soap", ":5: requests.0.way: Input should be 'binary', 'json', 'grpc', 'stream', 'job'"),
        ("- {way: binary}", "- {way: job}\n  - {way: json}", ":6: requests.1.way: expected what one server"),
        ("- {way: binary}", "- {way: json}\n  - {way: json}", ":6: requests.1.way: expected every way once"),
        ("- {way: binary}", "- {way: job}\nsplit: true", ":6: split: expected ways of a graph"),
        ("errors: 0", "errors: 2", ":6: thresholds.errors: Input should be less than or equal to 1, got 2"),
        ("{errors: 0}", "{}", ":6: thresholds: expected at least one of errors, lost, p50_seconds"),
        (
            "{errors: 0}",
            "{retry_after: 1}",
            ":6: thresholds: expected at least one of errors, lost, p50_seconds",
        ),
        (
            "thresholds",
            "kill: {at_seconds: 3}\nthresholds",
            ":6: kill.at_seconds: expected less than 3, when",
        ),
        ("summary: One\n", "", ":1: summary: Field required"),
    ],
)
def test_a_wrong_one_is_refused_with_the_line_and_what_was_expected(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(InvalidDocument) as error:
        scenario.read(str(file))
    assert f"{file}{said}" in str(error.value)


def test_an_unknown_one_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'smoke'"):
        scenario.read("smok")


def test_constant_arrivals_are_equally_far_apart_and_steps_follow_each_other() -> None:
    ramp = made(arrivals="constant", phases=[{"rate": 1, "to": 3, "steps": 3, "seconds": 6}])
    due = list(arrivals.arrivals(ramp, 0))
    assert [one.at_s for one in due] == pytest.approx(
        [0, 1, 2, 2.5, 3, 3.5, 4, 4 + 1 / 3, 4 + 2 / 3, 5, 5 + 1 / 3, 5 + 2 / 3]
    )
    assert [one.step for one in due] == [0, 0, *[1] * 4, *[2] * 6]
    assert [one.number for one in due] == list(range(12))


def test_poisson_arrivals_are_as_many_as_asked_and_scatter_as_such_do() -> None:
    due = list(arrivals.arrivals(made(phases=[{"rate": 50, "seconds": 400}]), 3))
    counts = [0] * 400
    for one in due:
        counts[int(one.at_s)] += 1
    mean = sum(counts) / 400
    variance = sum((count - mean) ** 2 for count in counts) / 399
    assert mean == pytest.approx(50, rel=0.05)
    assert variance == pytest.approx(50, rel=0.3), "of a Poisson process both are the rate"
    assert due == list(arrivals.arrivals(made(phases=[{"rate": 50, "seconds": 400}]), 3))


def test_ways_have_their_shares() -> None:
    both = made(
        phases=[{"rate": 100, "seconds": 100}], requests=[{"way": "grpc", "share": 3}, {"way": "json"}]
    )
    ways = [one.way for one in arrivals.arrivals(both, 0)]
    assert ways.count("grpc") / len(ways) == pytest.approx(0.75, abs=0.03)


def test_all_rates_can_be_multiplied() -> None:
    ramp = made(phases=[{"rate": 1, "seconds": 1}, {"rate": 1, "to": 3, "steps": 2, "seconds": 2}]).times(4)
    assert [step.rate for step in arrivals.steps(ramp)] == [4, 4, 12]
