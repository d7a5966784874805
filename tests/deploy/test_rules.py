"""The chart's rules, by promtool: each alert fires when it should, not before, and resolves."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagegraph.spec.catalogue import ROOT
from tests.deploy import chart

ON = ("--set", "monitoring.rules=true", "--namespace", "prod")
WHOSE = 'namespace="prod",release="photos"'
ENGINE = f'role="engine",protocol="rest",{WHOSE}'
KUBELET = 'namespace="prod",persistentvolumeclaim="photos-models"'
POD = 'namespace="prod",pod="photos-depth-0",container="depth"'
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
            f'imagegraph_device_memory_bytes{{kind="free",{DEVICE}}}': "40x9 1x19 40x30",
            f'imagegraph_device_memory_bytes{{kind="total",{DEVICE}}}': "80x60",
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
    "ImagegraphGone": Case({f"imagegraph_info{{{WHOSE}}}": "1x9 _x20 1x30"}, before=9, firing=25, after=35),
    "ImagegraphWeightsUnverified": Case(
        {f'imagegraph_model_init_success{{model_name="depth",pod="photos-depth-0",{WHOSE}}}': "1x9 0x9 1x30"},
        before=9,
        firing=12,
        after=25,
    ),
    "ImagegraphCanaryWorse": Case(
        requests(((3 * HOUR, 98),), ((3 * HOUR, 2),), "default")
        | requests(((HOUR, 49), (HOUR, 40), (HOUR, 49)), ((HOUR, 1), (HOUR, 10), (HOUR, 1)), "canary"),
        before=55,
        firing=110,
        after=170,
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


@pytest.fixture(scope="module")
def rendered() -> list[dict[str, Any]]:
    """The groups of rules as the chart installs them."""
    [rule] = chart.of_kind("PrometheusRule", chart.objects(*ON))
    groups: list[dict[str, Any]] = rule["spec"]["groups"]
    return groups


def alerts(groups: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def test_every_alert_fires_when_it_should_not_before_and_resolves(
    rendered: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert CASES.keys() == alerts(rendered).keys()
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": rendered}))
    for minutes in {case.step_minutes for case in CASES.values()}:
        step = f"{minutes}m"
        tests = [
            {
                "name": name,
                "interval": step,
                "input_series": [{"series": key, "values": values} for key, values in case.series.items()],
                "promql_expr_test": [
                    {
                        "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})',
                        "eval_time": f"{at * minutes}m",
                        "exp_samples": [{"labels": "{}", "value": 1}] if at == case.firing else [],
                    }
                    for at in (case.before, case.firing, case.after)
                ],
            }
            for name, case in CASES.items()
            if case.step_minutes == minutes
        ]
        file = tmp_path / f"tests-{step}.yaml"
        wanted = {
            "rule_files": ["rules.yaml"],
            "evaluation_interval": step,
            # Else at random: what is recorded a step later would be too old for who asks for it.
            "group_eval_order": [group["name"] for group in rendered],
            "tests": tests,
        }
        file.write_text(yaml.safe_dump(wanted))
        done = subprocess.run(
            [chart.tool("promtool"), "test", "rules", str(file)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_says_what_to_do_about_it(rendered: list[dict[str, Any]]) -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    for name, rule in alerts(rendered).items():
        assert f"\n## {name}\n" in runbook
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}


def test_nothing_of_the_template_is_left(rendered: list[dict[str, Any]]) -> None:
    words = ("NAMESPACE", "RELEASE", "DEPLOYMENT", "ERRORS", "SLOW", "LONGEST_S", "POD", "CLAIM", "RUNBOOK")
    assert not [word for word in words if word in yaml.safe_dump(rendered)]
