"""The chart's rules, by promtool: each alert fires when it should, not before, and resolves."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagegraph.deploy.rules import BURN_RATES
from imagegraph.spec.catalogue import ROOT
from tests.deploy import chart

RUNBOOK = "https://wiki.example/runbook"
ON = ("--set", "monitoring.rules=true,studio.enabled=true,studio.secret=studio", "--namespace", "prod")
WHOSE = 'namespace="prod",release="photos"'
ENGINE = f'role="engine",protocol="rest",{WHOSE}'
KUBELET = 'namespace="prod",persistentvolumeclaim="photos-models"'
POD = 'namespace="prod",pod="photos-depth-0",container="depth"'
INIT = 'namespace="prod",pod="photos-depth-0",container="model-init"'
STUDIO = f'pod="photos-studio-0",{WHOSE}'
DEVICE = f'device="cuda:0",model_name="generate",{WHOSE}'


@dataclass(frozen=True)
class Case:
    """What happens step by step, and at which steps the alert is silent, fires, and is silent again."""

    series: dict[str, str]
    before: int
    firing: int
    after: int
    step_minutes: int = 1


Phases = tuple[tuple[int, int], ...]


def counted(phases: Phases) -> str:
    """A counter by phases of so many steps, and how much it grows in each step."""
    total, parts = 0, []
    for steps, growth in phases:
        parts.append(f"{total}+{growth}x{steps - 1}")
        total += growth * steps
    return " ".join(parts)


def requests(good: Phases, bad: Phases, predictor: str = "default") -> dict[str, str]:
    labels = f'{ENGINE},predictor="{predictor}"'
    return {
        f'imagegraph_requests_total{{{labels},code="200"}}': counted(good),
        f'imagegraph_requests_total{{{labels},code="500"}}': counted(bad),
    }


def durations(quick: Phases, every: Phases) -> dict[str, str]:
    labels = f'{ENGINE},predictor="default"'
    return {
        f'imagegraph_request_seconds_bucket{{{labels},le="10.0"}}': counted(quick),
        f'imagegraph_request_seconds_bucket{{{labels},le="+Inf"}}': counted(every),
        f"imagegraph_request_seconds_count{{{labels}}}": counted(every),
        f'imagegraph_requests_total{{{labels},code="200"}}': counted(every),
    }


HOUR = 60
# Of the alerts that look at days, in steps of a quarter of an hour.
DAY = 96
CASES = {
    "ImagegraphErrorsBurnFast": Case(
        requests(
            good=((2 * HOUR, 100), (HOUR, 50), (2 * HOUR, 100)),
            bad=((2 * HOUR, 0), (HOUR, 50), (2 * HOUR, 0)),
        ),
        before=110,
        firing=170,
        after=240,
    ),
    "ImagegraphLatencyBurnFast": Case(
        durations(quick=((2 * HOUR, 100), (HOUR, 10), (2 * HOUR, 100)), every=((5 * HOUR, 100),)),
        before=110,
        firing=178,
        after=240,
    ),
    "ImagegraphErrorsBurnSlowly": Case(
        requests(good=((DAY, 100), (DAY, 96), (DAY, 100)), bad=((DAY, 0), (DAY, 4), (DAY, 0))),
        before=DAY,
        firing=2 * DAY - 1,
        after=2 * DAY + DAY // 2,
        step_minutes=15,
    ),
    "ImagegraphLatencyBurnSlowly": Case(
        durations(quick=((DAY, 100), (DAY, 80), (DAY, 100)), every=((3 * DAY, 100),)),
        before=DAY,
        firing=2 * DAY - 1,
        after=2 * DAY + DAY // 2,
        step_minutes=15,
    ),
    "ImagegraphQueueFull": Case(
        {
            f'imagegraph_queue_depth{{model_name="depth",role="node",{WHOSE}}}': "10x9 120x19 3x30",
            f'imagegraph_queue_limit{{model_name="depth",role="node",{WHOSE}}}': "128x60",
        },
        before=9,
        firing=15,
        after=35,
    ),
    "ImagegraphDeviceMemoryLow": Case(
        {
            f'imagegraph_device_memory_bytes{{kind="{kind}",{DEVICE}}}': values
            for kind, values in {
                "free": "40x9 1x19 40x30",
                "reserved": "30x9 70x19 30x30",
                "allocated": "28x9 69x19 28x30",
                "total": "80x60",
            }.items()
        },
        before=9,
        firing=20,
        after=35,
    ),
    "ImagegraphOutOfMemory": Case(
        {
            f'kube_pod_container_status_last_terminated_reason{{reason="OOMKilled",{POD}}}': "_x9 1x50",
            f"kube_pod_container_status_restarts_total{{{POD}}}": "0x9 1x50",
        },
        before=8,
        firing=12,
        after=40,
    ),
    "ImagegraphCacheDiskFull": Case(
        {
            f"kubelet_volume_stats_available_bytes{{{KUBELET}}}": "50x9 5x29 50x30",
            f"kubelet_volume_stats_capacity_bytes{{{KUBELET}}}": "100x70",
        },
        before=12,
        firing=30,
        after=45,
    ),
    "ImagegraphCacheFails": Case(
        {f'imagegraph_cache_errors_total{{model_name="photos",role="engine",{WHOSE}}}': "0x9 0+5x30 150x60"},
        before=9,
        firing=30,
        after=70,
    ),
    "ImagegraphPredictorDown": Case(
        {f'imagegraph_predictor_up{{predictor="canary",role="engine",{WHOSE}}}': "1x9 0x9 1x30"},
        before=9,
        firing=15,
        after=25,
    ),
    # Its nodes live on.
    "ImagegraphGone": Case(
        {
            f'imagegraph_info{{role="engine",model_name="photos",{WHOSE}}}': "1x9 _x20 1x30",
            f'imagegraph_info{{role="node",model_name="depth",{WHOSE}}}': "1x60",
        },
        before=9,
        firing=25,
        after=35,
    ),
    "ImagegraphWeightsUnverified": Case(
        {f"kube_pod_init_container_status_restarts_total{{{INIT}}}": "0x9 1x50"},
        before=9,
        firing=12,
        after=40,
    ),
    "ImagegraphCanaryWorse": Case(
        requests(((3 * HOUR, 98),), ((3 * HOUR, 2),), "default")
        | requests(((HOUR, 49), (HOUR, 40), (HOUR, 49)), ((HOUR, 1), (HOUR, 10), (HOUR, 1)), "canary"),
        before=55,
        firing=110,
        after=170,
    ),
    "ImagegraphStudioGone": Case(
        {f"imagegraph_studio_info{{{STUDIO}}}": "1x9 _x20 1x30"}, before=9, firing=25, after=35
    ),
    "ImagegraphStudioStuck": Case(
        {
            f"imagegraph_studio_queue_age_seconds{{{STUDIO}}}": "20x9 400x29 20x30",
            f'imagegraph_studio_job_seconds_count{{graph="photos",state="done",{STUDIO}}}': counted(
                ((10, 3), (30, 0), (30, 3))
            ),
        },
        before=18,
        firing=30,
        after=45,
    ),
    "ImagegraphStudioQueueFull": Case(
        {
            f"imagegraph_studio_queue_depth{{{STUDIO}}}": "10x9 950x19 10x30",
            f"imagegraph_studio_queue_limit{{{STUDIO}}}": "1000x60",
        },
        before=9,
        firing=15,
        after=35,
    ),
    "ImagegraphStudioJobsFail": Case(
        {
            f'imagegraph_studio_job_seconds_count{{graph="photos",state="{state}",{STUDIO}}}': counted(phases)
            for state, phases in {
                "done": ((HOUR, 10), (HOUR, 5), (HOUR, 10)),
                "failed": ((HOUR, 0), (HOUR, 5), (HOUR, 0)),
            }.items()
        },
        before=55,
        firing=110,
        after=170,
    ),
    "ImagegraphStudioErrors": Case(
        {
            f'imagegraph_studio_requests_total{{code="{code}",route="/api/jobs",{STUDIO}}}': counted(phases)
            for code, phases in {
                "200": ((HOUR, 100), (HOUR, 90), (HOUR, 100)),
                "503": ((HOUR, 0), (HOUR, 10), (HOUR, 0)),
            }.items()
        },
        before=55,
        firing=100,
        after=150,
    ),
    "ImagegraphStudioStoreFull": Case(
        {
            f"kubelet_volume_stats_{kind}_bytes{{{KUBELET.replace('-models', '-studio')}}}": values
            for kind, values in {"available": "50x9 5x29 50x30", "capacity": "100x70"}.items()
        },
        before=12,
        firing=30,
        after=45,
    ),
}


# What looks bad, and is not: at the end nobody may have been woken or written to.
CALM: dict[str, dict[str, str]] = {
    "one request of three an hour fails": requests(
        good=((5 * HOUR, 0.05),), bad=((4 * HOUR, 0), (1, 1), (HOUR - 1, 0))
    ),
    "one slow answer of three an hour": durations(
        quick=((4 * HOUR, 0.05), (20, 0), (40, 0.05)), every=((5 * HOUR, 0.05),)
    ),
    "PyTorch keeps memory for its next tensors": {
        f'imagegraph_device_memory_bytes{{kind="{kind}",{DEVICE}}}': f"{gib}x300"
        for kind, gib in {"free": 1, "reserved": 78, "allocated": 20, "total": 80}.items()
    },
    "one of two requests to the studio fails": {
        f'imagegraph_studio_requests_total{{code="{code}",route="/api/jobs",{STUDIO}}}': f"{values}x300"
        for code, values in {"200": "0x280 1", "503": "0x280 1"}.items()
    },
}
EXECUTOR = 'up{namespace="prod",pod="photos-default-svc-orch-0",seldon_app="photos-default"}'
# By platform: what must live, and when it is gone nobody is answered though all others live.
FRONTS = {
    "plain": f'imagegraph_info{{role="engine",model_name="photos",{WHOSE}}}',
    "seldon": EXECUTOR,
    "kserve": f'imagegraph_info{{role="node",model_name="depth",{WHOSE}}}',
}


def groups(*settings: str) -> list[dict[str, Any]]:
    """Returns the groups of rules as the chart installs them."""
    [rule] = chart.of_kind("PrometheusRule", chart.objects(*ON, *settings))
    found: list[dict[str, Any]] = rule["spec"]["groups"]
    return found


@pytest.fixture(scope="module")
def rendered() -> list[dict[str, Any]]:
    return groups("--set", f"monitoring.runbook={RUNBOOK}")


def alerts(groups: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def series_test(
    name: str, series: dict[str, str], step_minutes: int, firing: dict[int, int], alert: str
) -> Any:
    """Returns a test for promtool.

    Args:
        series: values by series.
        firing: at which steps how many alerts fire.
        alert: matchers of the alerts that are meant.
    """
    return {
        "name": name,
        "interval": f"{step_minutes}m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{{alert},alertstate="firing"}})',
                "eval_time": f"{at * step_minutes}m",
                "exp_samples": [{"labels": "{}", "value": count}] if count else [],
            }
            for at, count in firing.items()
        ],
    }


def run(folder: Path, rules: list[dict[str, Any]], tests: list[dict[str, Any]]) -> None:
    """Lets promtool run tests of the same step."""
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": rules}))
    wanted = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": tests[0]["interval"],
        # Else at random: what is recorded a step later would be too old for who asks for it.
        "group_eval_order": [group["name"] for group in rules],
        "tests": tests,
    }
    file = folder / "tests.yaml"
    file.write_text(yaml.safe_dump(wanted))
    done = subprocess.run(
        [chart.tool("promtool"), "test", "rules", str(file)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_when_it_should_not_before_and_resolves(
    rendered: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert CASES.keys() == alerts(rendered).keys()
    for minutes in {case.step_minutes for case in CASES.values()}:
        tests = [
            series_test(
                name,
                case.series,
                minutes,
                {case.before: 0, case.firing: 1, case.after: 0},
                f'alertname="{name}"',
            )
            for name, case in CASES.items()
            if case.step_minutes == minutes
        ]
        run(tmp_path, rendered, tests)


def test_nobody_is_woken_or_written_to_for_what_only_looks_bad(
    rendered: list[dict[str, Any]], tmp_path: Path
) -> None:
    lives = dict.fromkeys((FRONTS["plain"], f"imagegraph_studio_info{{{STUDIO}}}"), "1x300")
    steps = dict.fromkeys(range(4 * HOUR, 5 * HOUR, 5), 0)
    tests = [series_test(name, lives | series, 1, steps, 'alertname!=""') for name, series in CALM.items()]
    run(tmp_path, rendered, tests)


@pytest.mark.parametrize("platform", FRONTS)
def test_it_pages_when_nobody_answers_requests_though_all_others_live(platform: str, tmp_path: Path) -> None:
    given = ("--set", f"platform={platform},studio.enabled=false")
    rules = groups(*given)
    lives = {f'imagegraph_info{{role="node",model_name="{node}",{WHOSE}}}': "1x60" for node in nodes(*given)}
    lives |= {FRONTS[platform]: "1x9 _x20 1x30"}
    run(
        tmp_path, rules, [series_test(platform, lives, 1, {9: 0, 25: 1, 35: 0}, 'alertname="ImagegraphGone"')]
    )


def test_an_executor_that_is_not_reached_is_gone(tmp_path: Path) -> None:
    rules = groups("--set", "platform=seldon,studio.enabled=false")
    series = {EXECUTOR: "1x9 0x20 1x30"}
    run(tmp_path, rules, [series_test("", series, 1, {9: 0, 25: 1, 35: 0}, 'seldon_app="photos-default"')])


def nodes(*settings: str) -> list[str]:
    return [pod.node[1] for pod in chart.pods(chart.objects(*settings)) if pod.node]


@pytest.mark.parametrize(
    ("series", "values"),
    [
        (f"kube_pod_container_status_restarts_total{{{INIT.replace('depth-0', 'models-x')}}}", "0x9 1x50"),
        ('kube_job_failed{namespace="prod",job_name="photos-models-sd15-1a2b",condition="true"}', "0x9 1x50"),
    ],
)
def test_a_job_that_cannot_fill_the_volume_is_told(
    rendered: list[dict[str, Any]], tmp_path: Path, series: str, values: str
) -> None:
    alert = 'alertname="ImagegraphWeightsUnverified"'
    run(tmp_path, rendered, [series_test("", {series: values}, 1, {9: 0, 12: 1}, alert)])


def test_the_studio_is_not_missed_where_there_is_none() -> None:
    [rule] = chart.of_kind("PrometheusRule", chart.objects("--set", "monitoring.rules=true"))
    assert not [name for name in alerts(rule["spec"]["groups"]) if "Studio" in name]


@pytest.mark.parametrize("objective", ["errors", "slow"])
def test_an_objective_that_can_never_be_missed_so_fast_that_somebody_is_woken_is_refused(
    objective: str,
) -> None:
    fastest = max(factor for rates in BURN_RATES.values() for factor, _, _ in rates)

    def taken(amount: float) -> bool:
        given = {"monitoring": {"rules": True, "objectives": {objective: amount}}}
        return chart.template(given=given).returncode == 0

    assert taken(0.99 / fastest)
    assert not taken(1 / fastest)


def test_every_alert_says_what_to_do_about_it(rendered: list[dict[str, Any]]) -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    for name, rule in alerts(rendered).items():
        assert f"\n## {name}\n" in runbook
        assert rule["annotations"]["runbook_url"] == f"{RUNBOOK}#{name.lower()}"
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}


def test_an_alert_links_to_no_page_that_is_nowhere() -> None:
    assert all(rule["annotations"].keys() == {"summary", "description"} for rule in alerts(groups()).values())


def test_nothing_of_the_template_is_left(rendered: list[dict[str, Any]]) -> None:
    words = ("NAMESPACE", "RELEASE", "DEPLOYMENT", "ERRORS", "SLOW", "LONGEST_S", "POD", "CLAIM", "FRONT")
    assert not [word for word in words if word in yaml.safe_dump(rendered)]
