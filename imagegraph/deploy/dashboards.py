"""Grafana's dashboards: what whoever runs releases looks at. They name no model and no node: labels do."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from imagegraph.deploy import studio_dashboard
from imagegraph.deploy.panels import Rows, choice, dashboard, heat, lines, number
from imagegraph.deploy.promql import Series, part

SERIES = Series('=~"$namespace"', '=~"$release"', '=~"$release"')
BEFORE, AFTER = (dataclasses.replace(SERIES, predictor=f'="${side}"') for side in ("before", "after"))
ALL, ENGINE = SERIES.all, SERIES.engine
RATE = "$__rate_interval"
PREDICT = ',phase="predict"'


def files() -> Iterator[tuple[str, str]]:
    """Yields the name of each dashboard's file and its JSON."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder

    people = studio_dashboard.preferences(ALL, "$after", "$before")
    for name, rows, more in (
        ("overview", _overview(), []),
        ("graph", _graph(), []),
        ("canary", {**_canary(), **people}, _sides()),
        ("weights", _weights(), []),
        ("studio", studio_dashboard.rows(ALL, RATE), []),
    ):
        info = f"imagegraph{'_studio' if name == 'studio' else ''}_info{{{ALL}}}"
        version = f"count by (version) ({info}) unless count by (version) ({info} offset 1m)"
        board = dashboard(name, rows, [*_releases(), *more], version).build()
        yield f"{name}.json", json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


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
    return {
        "Now": [
            number("Requests", "reqps", f"sum({SERIES.requests('5m', 'release')})"),
            number("Failed", "percentunit", f"max({SERIES.errors('5m', 'release')})", 0.01, 0.05),
            number("95 % answered within", "s", f"max({SERIES.quantile(0.95, '5m', 'release')})"),
            number("Under way", "short", f"sum(imagegraph_in_flight{{{ENGINE}}})"),
            number("Predictors without pods", "short", f"count({down}) or vector(0)", 1, 1),
            number(
                "Starts in an hour", "short", f"sum(changes({_process('start_time_seconds')}[1h:]))", 1, 5
            ),
        ],
        "Graphs": [
            lines(
                "Requests", "reqps", (SERIES.requests(RATE, "release,predictor"), "{{release}} {{predictor}}")
            ),
            lines(
                "Failed",
                "percentunit",
                (SERIES.errors(RATE, "release,predictor"), "{{release}} {{predictor}}"),
            ),
            lines(
                "Answered within",
                "s",
                *(
                    (SERIES.quantile(part, RATE, "release"), f"{{{{release}}}} {part:.0%}")
                    for part in (0.5, 0.95, 0.99)
                ),
                examples=True,
            ),
            lines("Failed or slow", "percentunit", *budget, about="As the chart's rules record it."),
        ],
        "Predictors": [
            lines("Requests", "reqps", (every, "{{model_name}}")),
            lines("Failed", "percentunit", (part(failed, every), "{{model_name}}")),
            lines(
                "95 % answered within",
                "s",
                (
                    f"histogram_quantile(0.95, {_pods('request_seconds_bucket', 'model_name,le')})",
                    "{{model_name}}",
                ),
            ),
        ],
        "Saturation": [
            lines(
                "Waiting",
                "short",
                (f"sum by (model_name) (imagegraph_queue_depth{{{ALL}}})", "{{model_name}}"),
            ),
            lines(
                "Under way",
                "short",
                (f"sum by (model_name) (imagegraph_in_flight{{{ALL}}})", "{{model_name}}"),
            ),
            lines("Computed together", "short", (together, "{{model_name}}")),
            lines(
                "Memory of processes", "bytes", (_process("resident_memory_bytes"), "{{model_name}} {{pod}}")
            ),
            lines("Processors", "short", (_process("cpu_seconds_total", RATE), "{{model_name}} {{pod}}")),
            lines(
                "Free memory of devices",
                "bytes",
                (f'imagegraph_device_memory_bytes{{kind="free",{ALL}}}', "{{model_name}} {{device}}"),
            ),
        ],
    }


def _graph() -> Rows:
    """For whoever wants a graph faster: where its time goes."""
    waited = f"sum by (node) (rate(imagegraph_critical_path_seconds_total{{{ENGINE}}}[{RATE}]))"
    answered = f'sum(rate(imagegraph_requests_total{{code="200",protocol!="shadow",{ENGINE}}}[{RATE}]))'
    calls = f"imagegraph_node_seconds_bucket{{{ENGINE}}}[{RATE}]"
    failed, called = (
        f"sum by (node) (rate(imagegraph_node_seconds_count{{{ENGINE}{more}}}[{RATE}]))"
        for more in (',outcome="failed"', "")
    )
    hits, misses = (
        f"sum by (node) (rate(imagegraph_cache_{kind}_total{{{ENGINE}}}[{RATE}]))"
        for kind in ("hits", "misses")
    )
    turn = f"{_pods('queue_seconds_sum')} / {_pods('queue_seconds_count')}"
    batch = f"{_pods('phase_seconds_sum', more=PREDICT)} / {_pods('phase_seconds_count', more=PREDICT)}"
    wire = _pods("phase_seconds_sum", "model_name,phase", ',phase!="predict"')
    refused = _pods("requests_total", "model_name,code", ',code=~"503|504"')
    return {
        "Time": [
            lines(
                "What an answer waits for",
                "s",
                (f"{waited} / on () group_left () {answered}", "{{node}}"),
                stacked=True,
                about="Of nodes side by side the slowest alone; all together are the mean time of an answer.",
            ),
            lines(
                "95 % of calls within",
                "s",
                (f"histogram_quantile(0.95, sum by (node,le) (rate({calls})))", "{{node}}"),
            ),
            lines("Failed calls", "reqps", (f"{failed} or {called} * 0", "{{node}}")),
        ],
        "Predictors": [
            lines("Waiting for their turn", "s", (turn, "{{model_name}}"), about="Mean of a request."),
            lines("Computing", "s", (batch, "{{model_name}}"), about="Mean of a batch."),
            lines("Reading and writing", "s", (wire, "{{model_name}} {{phase}}"), about="In each second."),
            heat(
                "Computed together", f"sum by (le) (increase(imagegraph_batch_size_bucket{{{ALL}}}[{RATE}]))"
            ),
            lines("Results known already", "percentunit", (f"{hits} / ({hits} + {misses})", "{{node}}")),
            lines("Refused or out of time", "reqps", (refused, "{{model_name}} {{code}}")),
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
    return {
        "Versions": [
            number("Answers so far", "short", f"sum({BEFORE.requests('$window', both, over='increase')})"),
            number("Answers of the new one", "short", new_all),
            number("More failures of the new one", "percentunit", difference, 0.001, 0.01),
            number("by chance at most", "percentunit", error),
        ],
        "Beside each other": [
            lines("Requests", "reqps", (SERIES.requests(RATE, both), "{{predictor}}")),
            lines("Failed", "percentunit", (SERIES.errors(RATE, both), "{{predictor}}")),
            lines(
                "Answered within",
                "s",
                *(
                    (SERIES.quantile(part, RATE, both), f"{{{{predictor}}}} {part:.0%}")
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
            ),
            lines(
                "95 % of calls within",
                "s",
                (f"histogram_quantile(0.95, sum by (predictor,node,le) ({calls}))", "{{predictor}} {{node}}"),
            ),
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
    volume = 'kubelet_volume_stats_%s_bytes{namespace=~"$namespace",persistentvolumeclaim=~"($release)-.*"}'
    return {
        "Now": [
            number("Pods with verified weights", "short", f"sum({init % 'success'})"),
            number("Pods without", "short", f"count({init % 'success'} == 0) or vector(0)", 1, 1),
            number("Fetched by these pods", "bytes", f"sum({init % 'fetched_bytes'})"),
            number("Longest", "s", f"max({init % 'duration_seconds'})"),
        ],
        "Pods": [
            lines("Fetched", "bytes", (init % "fetched_bytes", "{{model_name}} {{pod}}")),
            lines("Weights they use", "bytes", (init % "cache_bytes", "{{model_name}} {{pod}}")),
            lines("Fetched and verified in", "s", (init % "duration_seconds", "{{model_name}} {{pod}}")),
            lines("Loaded in", "s", (f"imagegraph_load_seconds{{{ALL}}}", "{{model_name}} {{pod}}")),
            lines(
                "Space left on volumes",
                "percentunit",
                (f"{volume % 'available'} / {volume % 'capacity'}", "{{persistentvolumeclaim}}"),
                about="As the kubelet says.",
            ),
        ],
    }


def _pods(metric: str, by: str = "model_name", more: str = "") -> str:
    """What all nodes' pods say of a counter, per second."""
    return f'sum by ({by}) (rate(imagegraph_{metric}{{role="node",{ALL}{more}}}[{RATE}]))'


def _process(metric: str, window: str = "") -> str:
    """What processes say of themselves, without names of ours; what they are stands beside it."""
    one = f'process_{metric}{{namespace=~"$namespace"}}'
    one = f"rate({one}[{window}])" if window else one
    return f"({one} * on (namespace, pod) group_left (release, model_name) imagegraph_info{{{ALL}}})"


def _releases() -> list[Any]:
    info = '{__name__=~"imagegraph(_studio)?_info"'
    return [
        choice("namespace", f"label_values({info}}}, namespace)", many=True),
        choice("release", f'label_values({info},namespace=~"$namespace"}}, release)', many=True),
    ]


def _sides() -> list[Any]:
    from grafana_foundation_sdk.builders.dashboard import IntervalVariable

    seen = f"query_result(count by (predictor) ({SERIES.requests('1d', 'predictor')}))"
    return [
        choice("before", seen, regex='/predictor="([^"]+)"/'),
        choice("after", seen, regex='/predictor="([^"]+)"/'),
        IntervalVariable("window").label("Window").values("10m,30m,1h,6h,1d"),
    ]
