"""How dashboards look: panels of one kind each, in rows, by Grafana's own builders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Rows = Mapping[str, Sequence[Any]]
# A rate needs two scrapes, and Grafana takes 15 s between them unless told; the chart puts its own there.
SCRAPED = "30s"


def dashboard(name: str, rows: Rows, variables: Sequence[Any], version: str) -> Any:
    """A dashboard with links to the others.

    Args:
        variables: what can be chosen above it, beside where the data come from.
        version: a query whose new series each are a line across all panels.
    """
    from grafana_foundation_sdk.builders import dashboard as built
    from grafana_foundation_sdk.builders import stat
    from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DashboardLinkType

    others = (
        built.DashboardLink("imagegraph")
        .type(DashboardLinkType.DASHBOARDS)
        .tags(["imagegraph"])
        .include_vars(True)
        .keep_time(True)
    )
    board = (
        built.Dashboard(f"imagegraph / {name.capitalize()}")
        .uid(f"imagegraph-{name}")
        .tags(["imagegraph"])
        .readonly()
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .link(others)
        .with_variable(built.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .annotation(
            built.AnnotationQuery()
            .name("Version")
            .datasource(_data())
            .enable(True)
            .icon_color("blue")
            .expr(version)
        )
    )
    for variable in variables:
        board = board.with_variable(variable)
    for row, panels in rows.items():
        board = board.with_row(built.Row(row))
        beside = len(panels) if len(panels) <= 4 or isinstance(panels[0], stat.Panel) else 3
        for panel in panels:
            board = board.with_panel(panel.span(24 // beside))
    return board


def written(board: Any) -> str:
    """Returns a dashboard's JSON, and adds what no builder can say: the words at a new version's line."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder

    document = json.loads(json.dumps(board.build(), cls=JSONEncoder))
    [version] = document["annotations"]["list"]
    version |= {"titleFormat": "{{release}} {{version}}", "textFormat": "begins in {{namespace}}"}
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def choice(name: str, query: str, regex: str = "", many: bool = False, first: str = "") -> Any:
    """A variable whose values a query gives; `first` is chosen when the dashboard is opened."""
    from grafana_foundation_sdk.builders import dashboard
    from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh, VariableSort

    variable = (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(_data())
        .query(query)
        .regex(regex)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(many)
        .include_all(many)
    )
    return variable.current(VariableOption(text=first, value=first)) if first else variable


def _data() -> Any:
    from grafana_foundation_sdk.models.dashboard import DataSourceRef

    return DataSourceRef(type_val="prometheus", uid="$datasource")


def _query(query: str, legend: str = "", examples: bool = False) -> Any:
    from grafana_foundation_sdk.builders import prometheus

    return prometheus.Dataquery().expr(query).legend_format(legend).exemplar(examples).interval(SCRAPED)


def number(title: str, unit: str, query: str, *limits: float, about: str = "") -> Any:
    """A number; from the last limit on it is red, from one before that yellow."""
    from grafana_foundation_sdk.builders import dashboard, stat
    from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode

    steps = [Threshold(value=None, color="green")]
    steps += [
        Threshold(value=limit, color=color)
        for limit, color in zip(limits, ("yellow", "red")[-len(limits) :], strict=False)
    ]
    colours = dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
    panel = stat.Panel().title(title).unit(unit).description(about).thresholds(colours).datasource(_data())
    panel = panel.no_value("nothing yet")
    return panel.with_target(_query(query).instant()).height(4)


def lines(
    title: str,
    unit: str,
    *queries: tuple[str, str],
    about: str = "",
    stacked: bool = False,
    examples: bool = False,
    signed: bool = False,
) -> Any:
    """A line for each series of queries, each with what its legend says; `signed` ones may be below 0."""
    from grafana_foundation_sdk.builders import common, timeseries
    from grafana_foundation_sdk.models.common import StackingMode

    panel = timeseries.Panel().title(title).unit(unit).description(about).datasource(_data())
    if not signed:
        panel = panel.min(0)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(30)
    for query, legend in queries:
        panel = panel.with_target(_query(query, legend, examples))
    return panel.height(8)


def heat(title: str, query: str) -> Any:
    """A heat map of a histogram's buckets."""
    from grafana_foundation_sdk.builders import heatmap
    from grafana_foundation_sdk.models.prometheus import PromQueryFormat

    panel = heatmap.Panel().title(title).datasource(_data())
    return panel.with_target(_query(query, "{{le}}").format(PromQueryFormat.HEATMAP)).height(8)
