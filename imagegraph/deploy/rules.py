"""Rules for Prometheus: what is recorded of a release, and who is woken by what.

The chart puts its values in place of the words in capitals, and installs them as a PrometheusRule.

Source: Google, The Site Reliability Workbook (2018), chapter 5, for burn rates by two windows.
"""

from __future__ import annotations

from typing import Any

from imagegraph.deploy.promql import Series, part

SERIES = Series('="NAMESPACE"', '="RELEASE"', '="DEPLOYMENT"')
RECORDED = '{namespace="NAMESPACE",release="RELEASE"}'
FAILED, FAILED_JOB = ',code=~"5.."', ',state="failed"'
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
# By severity: how many times faster than the objective allows, over a long and a short window. The first
# spends 2 % of a month's errors in an hour, the last 10 % in three days.
BURN_RATES = {
    "page": ((14.4, "1h", "5m"), (6.0, "6h", "30m")),
    "ticket": ((3.0, "1d", "2h"), (1.0, "3d", "6h")),
}


def groups() -> list[dict[str, Any]]:
    """Returns the groups of rules in Prometheus' own words."""
    return [
        {"name": "imagegraph-RELEASE-requests", "rules": _recorded()},
        {"name": "imagegraph-RELEASE-objectives", "rules": _objectives()},
        {"name": "imagegraph-RELEASE-saturation", "rules": _saturation()},
        {"name": "imagegraph-RELEASE-pods", "rules": _pods()},
        {"name": "imagegraph-RELEASE-studio", "rules": _studio()},
    ]


def _recorded() -> list[dict[str, Any]]:
    """What dashboards and alerts ask for often, or over days."""
    nodes = f'imagegraph_node_seconds_bucket{{role="engine",{SERIES.all}}}'
    recorded = {
        "imagegraph:requests:rate5m": SERIES.requests("5m", "predictor,code"),
        "imagegraph:request_seconds:p95_5m": SERIES.quantile(0.95, "5m", "predictor"),
        "imagegraph:predictor_requests:increase30m": SERIES.requests("30m", "predictor", over="increase"),
        "imagegraph:predictor_error_ratio:rate30m": SERIES.errors("30m", "predictor"),
        "imagegraph:node_seconds:p95_5m": (
            f"histogram_quantile(0.95, sum by (predictor,node,le) (rate({nodes}[5m])))"
        ),
    }
    for window in WINDOWS:
        # Of the release as a whole: whoever asks does not see which version answers.
        recorded[f"imagegraph:error_ratio:rate{window}"] = SERIES.errors(window, "namespace")
        recorded[f"imagegraph:slow_ratio:rate{window}"] = SERIES.slow(window, "namespace", "LONGEST_S")
    return [
        {"record": name, "expr": query, "labels": {"namespace": "NAMESPACE", "release": "RELEASE"}}
        for name, query in recorded.items()
    ]


def _objectives() -> list[dict[str, Any]]:
    alerts = []
    for severity, rates in BURN_RATES.items():
        for name, ratio, budget, what in (
            ("Errors", "error_ratio", "ERRORS", "fail"),
            ("Latency", "slow_ratio", "SLOW", "take longer than LONGEST_S s"),
        ):
            burnt = " or ".join(
                f"({_record(ratio, long)} > {factor:g} * {budget} and "
                f"{_record(ratio, short)} > {factor:g} * {budget})"
                for factor, long, short in rates
            )
            alerts.append(
                _alert(
                    f"Imagegraph{name}{'BurnFast' if severity == 'page' else 'BurnSlowly'}",
                    burnt,
                    "2m" if severity == "page" else "15m",
                    severity,
                    f"{{{{ $value | humanizePercentage }}}} of requests {what}",
                    f"Of all requests at most {budget} (as a part of 1) may {what}. Going on like this, that "
                    f"is used up {'within days' if severity == 'page' else 'before the month is over'}.",
                )
            )
    return alerts


def _record(ratio: str, window: str) -> str:
    return f"imagegraph:{ratio}:rate{window}{RECORDED}"


def _saturation() -> list[dict[str, Any]]:
    pods = f"{{{SERIES.all}}}"
    free = f'imagegraph_device_memory_bytes{{kind="free",{SERIES.all}}}'
    total = f'imagegraph_device_memory_bytes{{kind="total",{SERIES.all}}}'
    container = 'namespace="NAMESPACE",pod=~"POD"'
    killed = f'kube_pod_container_status_last_terminated_reason{{reason="OOMKilled",{container}}}'
    restarted = f"increase(kube_pod_container_status_restarts_total{{{container}}}[10m])"
    claim = '{namespace="NAMESPACE",persistentvolumeclaim=~"CLAIM"}'
    return [
        _alert(
            "ImagegraphQueueFull",
            f"imagegraph_queue_depth{pods} / (imagegraph_queue_limit{pods} > 0) > 0.9",
            "2m",
            "page",
            "The queue of {{ $labels.model_name }} is {{ $value | humanizePercentage }} full",
            "Requests beyond it are answered 503. They come faster than {{ $labels.model_name }} computes.",
        ),
        _alert(
            "ImagegraphDeviceMemoryLow",
            f"{free} / ignoring (kind) {total} < 0.05",
            "5m",
            "ticket",
            "{{ $labels.model_name }} has {{ $value | humanizePercentage }} of {{ $labels.device }} left",
            "The next large request may be answered 503 for want of memory.",
        ),
        _alert(
            "ImagegraphOutOfMemory",
            f"{killed} == 1 and on (namespace, pod, container) {restarted} > 0",
            "0m",
            "page",
            "{{ $labels.pod }} was ended since it held more memory than its limit",
            "Requests under way in it were lost. kube-state-metrics says so.",
        ),
        _alert(
            "ImagegraphCacheDiskFull",
            f"kubelet_volume_stats_available_bytes{claim} / kubelet_volume_stats_capacity_bytes{claim} < 0.1",
            "10m",
            "ticket",
            "Volume {{ $labels.persistentvolumeclaim }} has {{ $value | humanizePercentage }} left",
            "Weights of another bundle or version may not fit.",
        ),
        _alert(
            "ImagegraphCacheFails",
            f"sum by (namespace,release,model_name) (rate(imagegraph_cache_errors_total{pods}[5m])) > 0",
            "10m",
            "ticket",
            "{{ $labels.model_name }} cannot reach the store of results",
            "Requests are answered, but nothing is remembered, and what was known is computed again.",
        ),
    ]


def _pods() -> list[dict[str, Any]]:
    pods = f"{{{SERIES.all}}}"
    init = 'container="model-init",namespace="NAMESPACE",pod=~"POD"'
    failed = f"kube_pod_init_container_status_restarts_total{{{init}}}"
    return [
        _alert(
            "ImagegraphPredictorDown",
            f"min by (namespace,release,predictor) (imagegraph_predictor_up{pods}) == 0",
            "2m",
            "page",
            "No requests are sent to predictor {{ $labels.predictor }}",
            "A node of it has no pod that is ready. Other predictors, if there are any, get its requests.",
        ),
        _alert(
            "ImagegraphGone",
            f"absent(imagegraph_info{pods})",
            "5m",
            "page",
            "Nothing is known of release RELEASE",
            "No pod of it is scraped: none runs, or Prometheus cannot reach them.",
        ),
        _alert(
            "ImagegraphWeightsUnverified",
            f"imagegraph_model_init_success{pods} == 0 or increase({failed}[15m]) > 0",
            "0m",
            "ticket",
            "Weights of {{ $labels.pod }} could not be fetched or verified",
            "A pod without its weights does not start. The log of its container model-init says why.",
        ),
        _alert(
            "ImagegraphCanaryWorse",
            _worse(),
            "5m",
            "ticket",
            "{{ $labels.predictor }} fails {{ $value | humanizePercentage }} more often than the default",
            "In half an hour, and more than chance explains (95 %). `imagegraph canary status` has figures.",
        ),
    ]


def _studio() -> list[dict[str, Any]]:
    def ended(window: str, more: str = "") -> str:
        count = f"imagegraph_studio_job_seconds_count{{{SERIES.all}{more}}}"
        return f"sum by (namespace,release) (increase({count}[{window}]))"

    def answered(more: str = "") -> str:
        requests = f"imagegraph_studio_requests_total{{{SERIES.all}{more}}}"
        return f"sum by (namespace,release) (rate({requests}[10m]))"

    def stored(metric: str) -> str:
        return f"max by (namespace,release) (imagegraph_studio_{metric}{{{SERIES.all}}})"

    volume = 'kubelet_volume_stats_%s_bytes{namespace="NAMESPACE",persistentvolumeclaim="DEPLOYMENT-studio"}'
    return [
        _alert(
            "ImagegraphStudioStuck",
            f"{stored('queue_age_seconds')} > 300 unless {ended('10m')} > 0",
            "2m",
            "page",
            "Jobs of the studio wait, the oldest for {{ $value | humanizeDuration }}, and none ends",
            "Nobody gets a picture: its pods take no jobs, or the graphs do not answer.",
        ),
        _alert(
            "ImagegraphStudioQueueFull",
            f"{stored('queue_depth')} / {stored('queue_limit')} > 0.9",
            "2m",
            "page",
            "The studio's queue is {{ $value | humanizePercentage }} full",
            "More jobs are refused with 503. They come faster than the graphs draw.",
        ),
        _alert(
            "ImagegraphStudioJobsFail",
            f"{part(ended('30m', FAILED_JOB), ended('30m'))} > 0.2 and {ended('30m')} > 10",
            "5m",
            "ticket",
            "{{ $value | humanizePercentage }} of the studio's jobs fail",
            "Each says why on its page. Those that people cancel do not count as failed.",
        ),
        _alert(
            "ImagegraphStudioErrors",
            f"{part(answered(FAILED), answered())} > 0.05",
            "5m",
            "page",
            "{{ $value | humanizePercentage }} of requests to the studio fail",
            "Its database, its object storage or a graph does not answer, or it is asked more than it can.",
        ),
        _alert(
            "ImagegraphStudioStoreFull",
            f"{volume % 'available'} / {volume % 'capacity'} < 0.1",
            "10m",
            "page",
            "The studio's volume has {{ $value | humanizePercentage }} left",
            "When it is full, pictures, ratings and jobs cannot be kept any more.",
        ),
    ]


def _worse() -> str:
    """How much more often a version fails than the default does, where chance does not explain it.

    Source: the normal approximation of the difference of two proportions, one-sided.
    """

    def of(predictor: str) -> tuple[str, str, str]:
        match = RECORDED.replace("}", predictor + "}")
        ratio = f"imagegraph:predictor_error_ratio:rate30m{match}"
        requests = f"imagegraph:predictor_requests:increase30m{match}"
        return ratio, requests, f"{ratio} * (1 - {ratio}) / {requests}"

    ratio, requests, variance = of("")
    default, _, default_variance = of(',predictor="default"')
    beside = "on (namespace, release) group_left ()"
    return (
        f"({ratio} - {beside} {default}) > 1.645 * sqrt({variance} + {beside} ({default_variance})) "
        f"and {requests} >= 20"
    )


def _alert(name: str, query: str, for_: str, severity: str, summary: str, description: str) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": query,
        "for": for_,
        "labels": {"severity": severity, "namespace": "NAMESPACE", "release": "RELEASE"},
        "annotations": {
            "summary": summary,
            "description": description,
            "runbook_url": f"RUNBOOK#{name.lower()}",
        },
    }
