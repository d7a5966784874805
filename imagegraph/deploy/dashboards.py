"""Grafana's dashboards: what whoever runs releases looks at. They name no model and no node: labels do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from imagegraph.deploy import studio_dashboard
from imagegraph.deploy.panels import Rows, choice, dashboard, heat, lines, number, written
from imagegraph.deploy.promql import Series, part

SERIES = Series('=~"$namespace"', '=~"$release"', '=~"$release"')
VERSIONS = dataclasses.replace(SERIES, predictor='!=""')
OTHERS = dataclasses.replace(SERIES, predictor='!~"default|"')
BEFORE, AFTER = (dataclasses.replace(SERIES, predictor=f'="${side}"') for side in ("before", "after"))
ALL, ENGINE = SERIES.all, SERIES.engine
RATE = "$__rate_interval"
RELEASE = "namespace,release"  # nodes and graphs of several may have the same names
PREDICT = ',phase="predict"'


def files() -> Iterator[tuple[str, str]]:
    """Yields the name of each dashboard's file and its JSON."""
    people = studio_dashboard.preferences(ALL, "$after", "$before")
    for name, rows, more in (
        ("overview", _overview(), []),
        ("graph", _graph(), []),
        ("canary", {**_canary(), **people}, _sides()),
        ("weights", _weights(), []),
        ("studio", studio_dashboard.rows(ALL, RATE), []),
    ):
        info = f"imagegraph{'_studio' if name == 'studio' else ''}_info{{{ALL}}}"
        seen = f"count by ({RELEASE},version)"
        version = f"{seen} ({info}) unless {seen} ({info} offset 1m)"
        # Of several releases at once nobody could say which version is better.
        variables = [*_releases(many=name != "canary"), *more]
        yield f"{name}.json", written(dashboard(name, rows, variables, version))


def _overview() -> Rows:
    """For whoever is on call: is anybody hurt, and by what."""
    down = f"min by (namespace,release,predictor) (imagegraph_predictor_up{{{ALL}}}) == 0"
    failed, every = _pods("requests_total", more=',code=~"5.."'), _pods("requests_total")
    together = f"{_pods('batch_size_sum')} / {_pods('batch_size_count')}"
    budget = [
        (f"imagegraph:{ratio}_ratio:rate{window}{{{ALL}}}", f"{{{{release}}}} {name}, {window}")
        for ratio, name in (("error", "failed"), ("slow", "slow"))
        for window in ("1h", "6h")
    ]
    budget += [
        (f"imagegraph:{ratio}_ratio:objective{{{ALL}}}", f"{{{{release}}}} may be {name}")
        for ratio, name in (("error", "failed"), ("slow", "slow"))
    ]
    promised = f"imagegraph:error_ratio:objective{{{ALL}}}"
    spent = f"max(imagegraph:error_ratio:rate1h{{{ALL}}} / on ({RELEASE}) {promised})"

    def by_version(query: str) -> str:
        return f'label_replace({query}, "predictor", "before one is chosen", "predictor", "")'

    return {
        "Now": [
            number("Requests", "reqps", f"sum({SERIES.requests('5m', 'release')})"),
            number("Failed", "percentunit", f"max({SERIES.errors('5m', RELEASE)})"),
            number(
                "Failed, of what may",
                "percentunit",
                spent,
                1,
                14.4,
                about="In an hour, against the objective in the chart's rules: beyond 100 % a month would "
                "have too many, beyond 1440 % somebody is woken.",
            ),
            number("95 % answered within", "s", f"max({SERIES.quantile(0.95, '5m', RELEASE)})"),
            number("Under way", "short", f"sum(imagegraph_in_flight{{{ENGINE}}})"),
            number("Predictors without pods", "short", f"count({down}) or vector(0)", 1),
            number(
                "Starts in an hour", "short", f"sum(changes({_process('start_time_seconds')}[1h:]))", 1, 5
            ),
        ],
        "Graphs": [
            lines(
                "Requests",
                "reqps",
                (by_version(SERIES.requests(RATE, f"{RELEASE},predictor")), "{{release}} {{predictor}}"),
            ),
            lines(
                "Failed",
                "percentunit",
                (by_version(SERIES.errors(RATE, f"{RELEASE},predictor")), "{{release}} {{predictor}}"),
            ),
            lines(
                "Answered within",
                "s",
                *(
                    (SERIES.quantile(part, RATE, RELEASE), f"{{{{release}}}} {part:.0%}")
                    for part in (0.5, 0.95, 0.99)
                ),
                examples=True,
            ),
            lines("Failed or slow", "percentunit", *budget, about="As the chart's rules record it."),
        ],
        "Predictors": [
            lines("Requests", "reqps", (every, "{{release}} {{model_name}}")),
            lines("Failed", "percentunit", (part(failed, every), "{{release}} {{model_name}}")),
            lines(
                "95 % answered within",
                "s",
                (
                    f"histogram_quantile(0.95, {_pods('request_seconds_bucket', 'le')})",
                    "{{release}} {{model_name}}",
                ),
            ),
        ],
        "Saturation": [
            lines(
                "Waiting",
                "short",
                (
                    f"sum by ({RELEASE},model_name) (imagegraph_queue_depth{{{ALL}}})",
                    "{{release}} {{model_name}}",
                ),
            ),
            lines(
                "Under way",
                "short",
                (
                    f"sum by ({RELEASE},model_name) (imagegraph_in_flight{{{ALL}}})",
                    "{{release}} {{model_name}}",
                ),
            ),
            lines("Computed together", "short", (together, "{{release}} {{model_name}}")),
            lines(
                "Memory of processes",
                "bytes",
                (_process("resident_memory_bytes"), "{{release}} {{model_name}} {{pod}}"),
            ),
            lines(
                "Processors",
                "short",
                (_process("cpu_seconds_total", RATE), "{{release}} {{model_name}} {{pod}}"),
            ),
            lines(
                "Free memory of devices",
                "bytes",
                (SERIES.free, "{{release}} {{model_name}} {{device}}"),
                about="With what PyTorch keeps for its next tensors.",
            ),
        ],
    }


def _graph() -> Rows:
    """For whoever wants a graph faster: where its time goes."""
    waited = f"sum by ({RELEASE},node) (rate(imagegraph_critical_path_seconds_total{{{ENGINE}}}[{RATE}]))"
    well = f'imagegraph_requests_total{{code="200",protocol!="shadow",{ENGINE}}}'
    answered = f"sum by ({RELEASE}) (rate({well}[{RATE}]))"
    calls = f"imagegraph_node_seconds_bucket{{{ENGINE}}}[{RATE}]"
    failed, called = (
        f"sum by ({RELEASE},node) (rate(imagegraph_node_seconds_count{{{ENGINE}{more}}}[{RATE}]))"
        for more in (',outcome="failed"', "")
    )
    hits, misses = (
        f"sum by ({RELEASE},node) (rate(imagegraph_cache_{kind}_total{{{ENGINE}}}[{RATE}]))"
        for kind in ("hits", "misses")
    )
    turn = f"{_pods('queue_seconds_sum')} / {_pods('queue_seconds_count')}"
    batch = f"{_pods('phase_seconds_sum', more=PREDICT)} / {_pods('phase_seconds_count', more=PREDICT)}"
    wire = _pods("phase_seconds_sum", "phase", ',phase!="predict"')
    refused = _pods("requests_total", "code", ',code=~"503|504"')
    return {
        "Time": [
            lines(
                "What an answer waits for",
                "s",
                (f"{waited} / on ({RELEASE}) group_left () {answered}", "{{release}} {{node}}"),
                stacked=True,
                about="Of nodes side by side the slowest alone; all together are the mean time of an answer.",
            ),
            lines(
                "95 % of calls within",
                "s",
                (
                    f"histogram_quantile(0.95, sum by ({RELEASE},node,le) (rate({calls})))",
                    "{{release}} {{node}}",
                ),
            ),
            lines("Failed calls", "reqps", (f"{failed} or {called} * 0", "{{release}} {{node}}")),
        ],
        "Predictors": [
            lines(
                "Waiting for their turn",
                "s",
                (turn, "{{release}} {{model_name}}"),
                about="Mean of a request.",
            ),
            lines("Computing", "s", (batch, "{{release}} {{model_name}}"), about="Mean of a batch."),
            lines(
                "Reading and writing",
                "s",
                (wire, "{{release}} {{model_name}} {{phase}}"),
                about="In each second.",
            ),
            heat(
                "Computed together", f"sum by (le) (increase(imagegraph_batch_size_bucket{{{ALL}}}[{RATE}]))"
            ),
            lines(
                "Results known already",
                "percentunit",
                (f"{hits} / ({hits} + {misses})", "{{release}} {{node}}"),
            ),
            lines("Refused or out of time", "reqps", (refused, "{{release}} {{model_name}} {{code}}")),
        ],
    }


def _canary() -> Rows:
    """For whoever decides on a version: does it answer as well as the one before."""
    both = "predictor"
    (bad, all_), (new_bad, new_all) = (
        (
            f"sum({side.requests('$window', both, ',code=~`5..`', 'increase')} or vector(0))",
            f"sum({side.requests('$window', both, over='increase')})",
        )
        for side in (BEFORE, AFTER)
    )
    difference = f"{new_bad} / {new_all} - {bad} / {all_}"
    error = (
        f"1.96 * sqrt({new_bad} * ({new_all} - {new_bad}) / {new_all} ^ 3 "
        f"+ {bad} * ({all_} - {bad}) / {all_} ^ 3)"
    )
    calls = f"rate(imagegraph_node_seconds_bucket{{{ENGINE}}}[{RATE}])"
    failed, called = (
        f"sum by (predictor,node) (rate(imagegraph_node_seconds_count{{{ENGINE}{more}}}[{RATE}]))"
        for more in (',outcome="failed"', "")
    )
    return {
        "Versions": [
            number("Answers so far", "short", f"sum({BEFORE.requests('$window', both, over='increase')})"),
            number("Answers of the new one", "short", new_all),
            number("More failures of the new one", "percentunit", difference, 0.001, 0.01),
            number("by chance at most", "percentunit", error),
        ],
        "Beside each other": [
            lines("Requests", "reqps", (VERSIONS.requests(RATE, both), "{{predictor}}")),
            lines("Failed", "percentunit", (VERSIONS.errors(RATE, both), "{{predictor}}")),
            lines(
                "Answered within",
                "s",
                *(
                    (VERSIONS.quantile(part, RATE, both), f"{{{{predictor}}}} {part:.0%}")
                    for part in (0.5, 0.95)
                ),
            ),
            lines(
                "More failures of the new one",
                "percentunit",
                (f"{difference} + {error}", "at most"),
                (difference, "difference"),
                (f"{difference} - {error}", "at least"),
                about="Of its answers in the window, with the interval that holds 95 %.",
                signed=True,
            ),
            lines(
                "95 % of calls within",
                "s",
                (f"histogram_quantile(0.95, sum by (predictor,node,le) ({calls}))", "{{predictor}} {{node}}"),
            ),
            lines("Failed calls", "reqps", (f"{failed} or {called} * 0", "{{predictor}} {{node}}")),
            lines(
                "Gets requests",
                "short",
                (f"min by (predictor) (imagegraph_predictor_up{{{ALL}}})", "{{predictor}}"),
            ),
        ],
    }


def _weights() -> Rows:
    """For whoever waits for pods: are the weights there, and what did they cost."""
    init = f"imagegraph_model_init_%s{{{ALL}}}"
    waits = (
        'kube_pod_init_container_status_ready{container="model-init",namespace=~"$namespace",'
        'pod=~"($release)-.*"}'
    )
    volume = 'kubelet_volume_stats_%s_bytes{namespace=~"$namespace",persistentvolumeclaim=~"($release)-.*"}'
    return {
        "Now": [
            number("Pods with verified weights", "short", f"sum({init % 'success'})"),
            number(
                "Pods that wait for weights",
                "short",
                f"count({waits} == 0) or vector(0)",
                1,
                about="As kube-state-metrics says.",
            ),
            number("Fetched by these pods", "bytes", f"sum({init % 'fetched_bytes'})"),
            number("Longest", "s", f"max({init % 'duration_seconds'})"),
        ],
        "Pods": [
            lines("Fetched", "bytes", (init % "fetched_bytes", "{{release}} {{model_name}} {{pod}}")),
            lines("Weights they use", "bytes", (init % "cache_bytes", "{{release}} {{model_name}} {{pod}}")),
            lines(
                "Fetched and verified in",
                "s",
                (init % "duration_seconds", "{{release}} {{model_name}} {{pod}}"),
            ),
            lines(
                "Loaded in", "s", (f"imagegraph_load_seconds{{{ALL}}}", "{{release}} {{model_name}} {{pod}}")
            ),
            lines(
                "Space left on volumes",
                "percentunit",
                (f"{volume % 'available'} / {volume % 'capacity'}", "{{persistentvolumeclaim}}"),
                about="As the kubelet says.",
            ),
        ],
    }


def _pods(metric: str, by: str = "", more: str = "") -> str:
    """What all pods of each node say of a counter, per second."""
    by = f"{RELEASE},model_name{by and f',{by}'}"
    return f'sum by ({by}) (rate(imagegraph_{metric}{{role="node",{ALL}{more}}}[{RATE}]))'


def _process(metric: str, window: str = "") -> str:
    """What processes say of themselves, without names of ours; what they are stands beside it."""
    one = f'process_{metric}{{namespace=~"$namespace"}}'
    one = f"rate({one}[{window}])" if window else one
    return f"({one} * on (namespace, pod) group_left (release, model_name) imagegraph_info{{{ALL}}})"


def _releases(many: bool) -> list[Any]:
    info = '{__name__=~"imagegraph(_studio)?_info"'
    return [
        choice("namespace", f"label_values({info}}}, namespace)", many=many),
        choice("release", f'label_values({info},namespace=~"$namespace"}}, release)', many=many),
    ]


def _sides() -> list[Any]:
    from grafana_foundation_sdk.builders.dashboard import IntervalVariable

    before, after = (
        f"query_result(count by (predictor) ({series.requests('1d', 'predictor')}))"
        for series in (VERSIONS, OTHERS)
    )
    return [
        choice("before", before, regex='/predictor="([^"]+)"/', first="default"),
        choice("after", after, regex='/predictor="([^"]+)"/'),
        IntervalVariable("window").label("Window").values("10m,30m,1h,6h,1d"),
    ]
