"""Rules for Prometheus: what is recorded of a release, and who is woken by what.

The chart puts its values in place of the words in capitals, leaves the studio's out where there is none, adds
where it is written what to do, and installs them as a PrometheusRule.

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
# One failure among few requests is a large part of them, and says nothing yet.
FEWEST = 5


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
    recorded = {
        # What is promised, for dashboards: they are the same for all releases.
        "imagegraph:error_ratio:objective": "vector(ERRORS)",
        "imagegraph:slow_ratio:objective": "vector(SLOW)",
        "imagegraph:predictor_requests:increase30m": SERIES.requests("30m", "predictor", over="increase"),
        "imagegraph:predictor_error_ratio:rate30m": SERIES.errors("30m", "predictor"),
    }
    for rates in BURN_RATES.values():
        for _, long, _ in rates:
            recorded[f"imagegraph:requests:increase{long}"] = SERIES.requests(
                long, "namespace", over="increase"
            )
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
                f"{_record(ratio, short)} > {factor:g} * {budget} and "
                f"{_record(ratio, long)} * imagegraph:requests:increase{long}{RECORDED} >= {FEWEST})"
                for factor, long, short in rates
            )
            windows = " or ".join(long for _, long, _ in rates)
            alerts.append(
                _alert(
                    f"Imagegraph{name}{'BurnFast' if severity == 'page' else 'BurnSlowly'}",
                    burnt,
                    "2m" if severity == "page" else "15m",
                    severity,
                    f"{{{{ $value | humanizePercentage }}}} of requests to RELEASE {what}, over {windows}",
                    f"Of all requests at most {budget} (as a part of 1) may {what}. Going on like this, that "
                    f"is used up {'within days' if severity == 'page' else 'before the month is over'}.",
                )
            )
    return alerts


def _record(ratio: str, window: str) -> str:
    return f"imagegraph:{ratio}:rate{window}{RECORDED}"


def _saturation() -> list[dict[str, Any]]:
    pods = f"{{{SERIES.all}}}"
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
            "The queue of {{ $labels.model_name }} in RELEASE is {{ $value | humanizePercentage }} full",
            "Requests beyond it are answered 503. They come faster than {{ $labels.model_name }} computes.",
        ),
        _alert(
            "ImagegraphDeviceMemoryLow",
            f"{SERIES.free} / ignoring (kind) {total} < 0.05",
            "5m",
            "ticket",
            "{{ $labels.model_name }} of RELEASE has {{ $value | humanizePercentage }} of its GPU left",
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
            "{{ $labels.model_name }} in RELEASE cannot reach the store of results",
            "Requests are answered, but nothing is remembered, and what was known is computed again.",
        ),
    ]


def _pods() -> list[dict[str, Any]]:
    pods = f"{{{SERIES.all}}}"
    # Of pods, or of the Job that fills the volume in their stead: then they wait and are not started again.
    init = 'container="model-init",namespace="NAMESPACE",pod=~"POD"'
    failed = " or ".join(
        f"increase(kube_pod_{kind}_status_restarts_total{{{init}}}[15m]) > 0"
        for kind in ("init_container", "container")
    )
    job = 'condition="true",namespace="NAMESPACE",job_name=~"DEPLOYMENT-models-.*"'
    return [
        _alert(
            "ImagegraphPredictorDown",
            f"min by (namespace,release,predictor) (imagegraph_predictor_up{pods}) == 0",
            "2m",
            "page",
            "No requests are sent to predictor {{ $labels.predictor }} of RELEASE",
            "A node of it has no pod that is ready. Other predictors, if there are any, get its requests.",
        ),
        _alert(
            "ImagegraphGone",
            "FRONT",
            "5m",
            "page",
            "Nothing is known of {{ or $labels.model_name $labels.seldon_app `the engine` }} of RELEASE",
            "No pod of it is scraped: none runs and nobody is answered, or Prometheus cannot reach them.",
        ),
        _alert(
            "ImagegraphWeightsUnverified",
            f"{failed} or kube_job_failed{{{job}}} == 1",
            "0m",
            "ticket",
            "Weights of {{ or $labels.pod $labels.job_name }} could not be fetched or verified",
            "A pod without its weights does not start. The log of the container model-init says why.",
        ),
        _alert(
            "ImagegraphCanaryWorse",
            _worse(),
            "5m",
            "ticket",
            "{{ $labels.predictor }} of RELEASE fails {{ $value | humanizePercentage }} more than default",
            "In half an hour, and more than chance explains (95 %). `imagegraph canary status` has figures.",
        ),
    ]


def _studio() -> list[dict[str, Any]]:
    def ended(window: str, more: str = "") -> str:
        count = f"imagegraph_studio_job_seconds_count{{{SERIES.all}{more}}}"
        return f"sum by (namespace,release) (increase({count}[{window}]))"

    def answered(more: str = "") -> str:
        requests = f"imagegraph_studio_requests_total{{{SERIES.all}{more}}}"
        return f"sum by (namespace,release) (increase({requests}[10m]))"

    def stored(metric: str) -> str:
        return f"max by (namespace,release) (imagegraph_studio_{metric}{{{SERIES.all}}})"

    volume = 'kubelet_volume_stats_%s_bytes{namespace="NAMESPACE",persistentvolumeclaim="DEPLOYMENT-studio"}'
    return [
        _alert(
            "ImagegraphStudioGone",
            f"absent(imagegraph_studio_info{{{SERIES.all}}})",
            "5m",
            "page",
            "Nothing is known of RELEASE's studio",
            "No pod of it is scraped: none runs, or Prometheus cannot reach them.",
        ),
        _alert(
            "ImagegraphStudioStuck",
            f"{stored('queue_age_seconds')} > 300 unless {ended('10m')} > 0",
            "2m",
            "page",
            "Jobs of RELEASE's studio wait, the oldest for {{ $value | humanizeDuration }}, and none ends",
            "Nobody gets a picture: its pods take no jobs, or the graphs do not answer.",
        ),
        _alert(
            "ImagegraphStudioQueueFull",
            f"{stored('queue_depth')} / {stored('queue_limit')} > 0.9",
            "2m",
            "page",
            "The queue of RELEASE's studio is {{ $value | humanizePercentage }} full",
            "More jobs are refused with 503. They come faster than the graphs draw.",
        ),
        _alert(
            "ImagegraphStudioJobsFail",
            f"{part(ended('30m', FAILED_JOB), ended('30m'))} > 0.2 and {ended('30m')} > 10",
            "5m",
            "ticket",
            "{{ $value | humanizePercentage }} of the jobs of RELEASE's studio fail, over 30m",
            "Each says why on its page. Those that people cancel do not count as failed.",
        ),
        _alert(
            "ImagegraphStudioErrors",
            f"{part(answered(FAILED), answered())} > 0.05 and {answered(FAILED)} >= {FEWEST}",
            "5m",
            "page",
            "{{ $value | humanizePercentage }} of requests to RELEASE's studio fail, over 10m",
            "Its database, its object storage or a graph does not answer, or it is asked more than it can.",
        ),
        _alert(
            "ImagegraphStudioStoreFull",
            f"{volume % 'available'} / {volume % 'capacity'} < 0.1",
            "10m",
            "page",
            "The volume of RELEASE's studio has {{ $value | humanizePercentage }} left",
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
        },
    }
