"""Canaries: compare a new version with the old one, promote it, take it back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from imagegraph import __version__
from imagegraph.deploy import helm, render
from imagegraph.deploy.figures import Figures, Prometheus
from imagegraph.deploy.helm import Release, Revision
from imagegraph.deploy.verdict import Limits, objections
from imagegraph.errors import ImagegraphError, InvalidInput, Unavailable
from imagegraph.spec.catalogue import ROOT

commands = typer.Typer(
    no_args_is_help=True, help="Compare a canary with the default, promote it or take it back."
)
console = Console()

ReleaseName = Annotated[str, typer.Argument(metavar="RELEASE", help="Release of the chart")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Its namespace")]
Canary = Annotated[str, typer.Option("--canary", help="Name of the predictor beside the default")]
Chart = Annotated[
    str | None,
    typer.Option(help="Chart to upgrade with: folder, file, oci://…", show_default="that of this program"),
]
Url = Annotated[str, typer.Option("--prometheus", envvar="PROMETHEUS_URL", help="URL of Prometheus")]
Window = Annotated[str, typer.Option(help="How far to look back")]
Match = Annotated[str, typer.Option(help="More matchers of the metrics, such as 'cluster=\"a\"'")]
Requests = Annotated[int, typer.Option(min=1, help="Fewest requests on each side")]
Slowdown = Annotated[float, typer.Option(min=1, help="Longest times, as a multiple of the default's")]

CHART = str(ROOT / render.CHART)
ENGINES_S = 300  # that all engines may take to change
ROOM_S = 15  # that one may wait for room which the canary may have, when it is rolled back
DEFAULTS = Limits()


@commands.command()
def status(
    name: ReleaseName,
    namespace: Namespace = "default",
    canary: Canary = "canary",
    prometheus: Url = "http://localhost:9090",
    window: Window = "30m",
    match: Match = "",
    min_requests: Requests = DEFAULTS.requests,
    max_slowdown: Slowdown = DEFAULTS.slowdown,
) -> None:
    """Compare error rate and latency of both sides."""
    limits = Limits(requests=min_requests, slowdown=max_slowdown)
    source = Prometheus(prometheus, window, match)
    chosen = _release(name, namespace)
    found = _compare(chosen, chosen.settings(), canary, source, limits)
    console.print("\n".join(found) if found else "it may be promoted", soft_wrap=True)


@commands.command()
def promote(
    name: ReleaseName,
    namespace: Namespace = "default",
    canary: Canary = "canary",
    prometheus: Url = "http://localhost:9090",
    window: Window = "30m",
    match: Match = "",
    min_requests: Requests = DEFAULTS.requests,
    max_slowdown: Slowdown = DEFAULTS.slowdown,
    chart: Chart = None,
) -> None:
    """Make the canary's version the default, unless its figures speak against it."""
    limits = Limits(requests=min_requests, slowdown=max_slowdown)
    chosen, newest = _upgradable(name, namespace, chart)
    given, settings = chosen.values(), chosen.settings()
    found = _compare(chosen, settings, canary, Prometheus(prometheus, window, match), limits)
    if found:
        raise ImagegraphError(f"'{canary}' is not promoted: {'; '.join(found)}")
    steps = helm.promotion(settings["predictors"], canary)
    _take(chosen, newest, given, steps, seldon=settings["platform"] == "seldon", patient=True)


@commands.command()
def rollback(
    name: ReleaseName,
    namespace: Namespace = "default",
    canary: Canary = "canary",
    chart: Chart = None,
) -> None:
    """Give all traffic back to the default and take the canary away, whatever state it is in."""
    chosen, newest = _upgradable(name, namespace, chart)
    given, settings = chosen.values(), chosen.settings()
    predictors, seldon = settings["predictors"], settings["platform"] == "seldon"
    if canary not in predictors and (chosen.rollout.remove(canary) or newest.is_changing):
        console.print(f"no values name '{canary}' any more; what an upgrade has left of it goes")
        steps = [predictors]
    else:
        steps = helm.rollback(predictors, canary)
    if seldon and not _is_well(chosen, predictors, canary):
        # Seldon's operator changes no traffic before every pod is ready: those of the canary may never be.
        steps = steps[-1:]
    if newest.is_changing:
        for revision in chosen.rollout.give_up_upgrades():
            console.print(f"revision {revision} was still under way: it is given up")
    _take(chosen, newest, given, steps, seldon=seldon, patient=False)
    if not seldon:
        chosen.rollout.remove(canary)


def _release(name: str, namespace: str, chart: str | None = None) -> Release:
    helm = render.find_helm(ROOT)
    if helm is None:
        raise ImagegraphError("helm is not here; install it, or build it by `make cluster-tools`")
    return Release(name, namespace, helm, chart or CHART)


def _upgradable(name: str, namespace: str, chart: str | None) -> tuple[Release, Revision]:
    chosen = _release(name, namespace, chart)
    newest = chosen.newest()
    # Another version of the chart would change more than predictors: the image's default tag, for one.
    if chart is None and newest.version != __version__:
        expected = f"that of '{name}', version {newest.version}: say where it is by --chart"
        raise InvalidInput("chart", expected, f"version {__version__} of this program")
    return chosen, newest


def _compare(
    chosen: Release, settings: dict[str, Any], canary: str, source: Prometheus, limits: Limits
) -> list[str]:
    """Prints both sides; returns what speaks against the canary."""
    predictors = settings["predictors"]
    helm.beside_default(predictors, canary)
    table = Table("predictor", "traffic", "pods ready", "requests", "errors", "mean s", "p95 s", box=None)
    sides: dict[str, Figures] = {}
    found: list[str] = []
    platform = settings["platform"]
    # Executors name the SeldonDeployment, pods of ours the release.
    name = (settings.get("fullnameOverride") if platform == "seldon" else "") or chosen.name
    for side in ("default", canary):
        figures = sides[side] = source.figures(name, chosen.namespace, side, platform)
        if not source.is_asked(chosen.name, chosen.namespace, side):
            found.append(f"no requests are sent to '{side}': a node of it has no pod that is ready")
        ready, pods = chosen.rollout.ready(side)
        if ready < pods or not pods:
            found.append(f"'{side}' has {ready} of {pods} pods ready")
        predictor = predictors[side]
        table.add_row(
            side,
            f"{'copies of ' if predictor.get('shadow') else ''}{predictor.get('traffic', 0)} %",
            f"{ready}/{pods}",
            str(figures.requests),
            f"{figures.errors} ({figures.error_rate:.2%})",
            *("" if value is None else f"{value:.3f}" for value in (figures.mean_s, figures.p95_s)),
        )
    console.print(table)
    return found + objections(sides["default"], sides[canary], limits)


def _is_well(chosen: Release, predictors: Mapping[str, Any], canary: str) -> bool:
    """Whether the canary gets traffic, and all its pods are ready."""
    ready, pods = chosen.rollout.ready(canary)
    return bool(predictors.get(canary, {}).get("traffic")) and ready == pods > 0


def _take(
    chosen: Release,
    newest: Revision,
    given: Mapping[str, Any],
    steps: list[dict[str, Any]],
    *,
    seldon: bool,
    patient: bool,
) -> None:
    """Upgrades step by step; every one ends when engines split requests as it says.

    Args:
        newest: the revision that its values were read from.
        given: these values, which change in their predictors alone.
        patient: the first step ends only when all pods are ready, and it must end well.
    """
    for number, predictors in enumerate(steps, 1):
        if chosen.newest().number != newest.number + number - 1:
            raise Unavailable(f"somebody else changes '{chosen.name}', too; look at it, and try again")
        last = number == len(steps)
        console.print(f"step {number} of {len(steps)}: {json.dumps(predictors)}", soft_wrap=True)
        chosen.upgrade({**given, "predictors": predictors}, wait=patient and not last)
        if seldon:
            if not last:
                # helm does not wait for Seldon's operator, and only that knows when nobody asks the canary.
                console.print(
                    "once the SeldonDeployment is Available, `canary rollback` takes the canary away"
                )
            return
        try:
            chosen.rollout.wait_for_engines(ENGINES_S, room_s=ENGINES_S if patient or last else ROOM_S)
        except ImagegraphError as error:
            if patient or last:
                raise
            # It may be the canary's part of the document that it cannot read, or the canary's room that it
            # waits for. Those before answer meanwhile.
            console.print(f"{error}; the canary goes all the same", soft_wrap=True)
