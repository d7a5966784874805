"""Capacity by a ramp: the knee, what limits, what a rate needs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from release.plan import Wanted, plan, read
from release.servers import Sample, use
from release.servers import read as read_page

from imagegraph.errors import InvalidInput, UnknownName

WANTED = Wanted(rate=60, within_s=1, headroom=0.25)
IDLE = {"cores": 0.1, "computing": 0.1, "memory": 1e9, "device": 0, "device_total": 0, "queue": 0, "nodes": 1}


def step(
    rate: float, p95_s: float, refused: int = 0, lost: int = 0, **used: dict[str, Any]
) -> dict[str, Any]:
    return {
        "rate": rate, "counts": True, "requests": 100, "errors": lost, "refused": refused, "lost": lost,
        "unsent": 0, "per_s": rate,
        "p95_s": p95_s, "use": {name: {**IDLE, **more} for name, more in used.items()},
    }  # fmt: skip


def test_the_knee_is_the_last_rate_within_the_objective() -> None:
    found = plan([step(10, 0.2), step(20, 0.5), step(30, 3), step(40, 0.1)], WANTED)
    assert (found.knee, found.beyond) == (20, 30)
    assert found.broke == "95 of 100 answers took up to 3.00 s"
    assert found.whole == 4, "60 / (20 x 0.75)"
    assert found.limits is None


def test_refusals_are_beyond_the_knee_and_a_ramp_may_end_before_it() -> None:
    assert plan([step(10, 0.2), step(20, 0.2, refused=5), step(30, 9)], WANTED).beyond == 20
    assert plan([step(10, 0.2), step(20, 0.2), step(30, 0.2)], WANTED).beyond is None
    with pytest.raises(InvalidInput, match="at 10/s 95 of 100 answers took up to 5.00 s"):
        plan([step(10, 5), step(20, 5), step(30, 5)], WANTED)


@pytest.mark.parametrize(
    ("used", "limit", "gpus"),
    [
        ({"cores": 0.95}, "CPU", 0),
        ({"computing": 0.99}, "its model", 0),
        ({"computing": 0.99, "device": 4e9, "device_total": 8e10}, "GPU", 4),
        ({"device": 7.9e10, "device_total": 8e10}, "memory of the GPU", 4),
        ({"queue": 0.9}, "queue", 0),
        ({"memory": 3.9e9}, "memory", 0),
        ({}, "nothing", 0),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_limits_is_what_is_full_where_the_rate_is_no_longer_borne(
    used: dict[str, float], limit: str, gpus: int
) -> None:
    wanted = Wanted(rate=60, within_s=1, headroom=0.25, memory=4e9)
    before = {**used, "computing": 0.5}
    steps = [
        step(10, 0.2, depth={}),
        step(20, 0.5, depth=before, engine={}),
        step(30, 3, depth=used, engine={}),
    ]
    found = plan(steps, wanted)
    assert found.limits is not None
    assert (found.limits.name, found.limits.limit) == ("depth", limit)
    assert (found.limits.needed, found.limits.gpus) == (4, gpus)


def test_who_is_less_busy_needs_fewer_pods_and_pods_of_one_server_count_together() -> None:
    used = {
        "depth/10.0.0.1": {"computing": 0.8},
        "depth/10.0.0.2": {"computing": 0.8},
        "engine": {"cores": 0.2},
    }
    found = {
        one.name: one
        for one in plan([step(10, 0.2), step(20, 0.5, **used), step(30, 3, **used)], WANTED).servers
    }
    assert (found["depth"].pods, found["depth"].needed) == (2, 8), "60 / (20 / 2 x 0.75)"
    assert (found["engine"].pods, found["engine"].needed) == (1, 1), "60 / (20 x 0.85 / 0.2 x 0.75)"


def test_models_that_share_a_process_are_planned_by_its_cpus() -> None:
    shared = {"graph": {"nodes": 6, "computing": 2.9, "cores": 1.5}}
    steps = [step(10, 0.2, **shared), step(20, 0.5, **shared), step(30, 3, **shared)]
    [one] = plan(steps, replace(WANTED, cores=2)).servers
    assert (one.busy, one.limit) == (0.75, "perhaps a model")
    idle = [{**one, "use": {"graph": {**one["use"]["graph"], "computing": 0.8}}} for one in steps]
    [one] = plan(idle, replace(WANTED, cores=2)).servers
    assert one.limit == "nothing", "none of six can have been full"
    [one] = plan(steps, replace(WANTED, cores=1.5)).servers
    assert (one.busy, one.limit) == (1, "CPU")
    with pytest.raises(InvalidInput, match="--cores: expected at least 1.5, which graph used at the knee"):
        plan(steps, WANTED)


def test_replicas_of_a_server_that_nobody_saw_are_refused() -> None:
    steps = [step(10, 0.2, depth={}), step(20, 0.5, depth={}), step(30, 3, depth={})]
    with pytest.raises(UnknownName, match="Did you mean 'depth'"):
        plan(steps, replace(WANTED, replicas={"dept": 2}))


def test_lost_requests_limit_nothing_unless_a_server_was_full() -> None:
    full = {"depth": {"cores": 0.95}}
    steps = [step(10, 0.2, depth={}), step(20, 0.5, depth={})]
    late = plan([*steps, step(30, 3, lost=50, **full)], WANTED)
    assert late.broke == "50.0% failed or were refused; 50 of 100 were lost"
    assert (late.lost, late.limits and late.limits.limit) == ("", "CPU")
    assert plan([*steps, step(30, 3, lost=50)], WANTED).lost == "depth showed no metrics any more"


def test_what_is_no_ramp_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    with pytest.raises(InvalidInput, match="result.json of a run"):
        read(file)
    file.write_text(json.dumps({"steps": [step(10, 1), step(10, 1), step(30, 1)]}))
    with pytest.raises(
        InvalidInput, match="at least three rates, each above the one before, got '10, 10, 30'"
    ):
        read(file)


PAGE = """\
# HELP process_cpu_seconds_total Total
process_cpu_seconds_total 12.5
process_resident_memory_bytes 1.5e+08
imagegraph_phase_seconds_sum{model_name="m",phase="predict"} 3.0
imagegraph_phase_seconds_sum{model_name="m",phase="decode"} 9.0
imagegraph_queue_depth{model_name="m"} 64.0
imagegraph_queue_limit{model_name="m"} 128.0
"""


def test_pages_of_metrics_are_read_and_give_what_was_used_in_a_while() -> None:
    first = read_page(PAGE)
    assert first == {
        "cpu_s": 12.5, "memory": 1.5e8, "predict_s": 3.0, "queue": 64.0, "queue_limit": 128.0, "nodes": 0,
    }  # fmt: skip
    later = {**first, "cpu_s": 14.5, "predict_s": 6.6}
    found = use([Sample(1, "a", first), Sample(5, "a", later), Sample(3, "b", first)], 0, 9)
    assert found.keys() == {"a"}, "once is not enough to tell a rate"
    assert use([Sample(1, "a", first), Sample(5, "a", later)], 2, 4)["a"].cores == 0.5, "before and after do"
    assert (found["a"].cores, found["a"].computing, found["a"].queue) == (0.5, pytest.approx(0.9), 0.5)
