"""`run`: a graph on this machine, once for each photo."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Annotated

import typer

from imagegraph.cli.command import given
from imagegraph.cli.inputs import Reader
from imagegraph.cli.options import (
    Added,
    Bundle,
    Debug,
    Device,
    GraphName,
    complete_input,
    deployment,
    exit_code,
    progress,
)
from imagegraph.cli.report import Folders, Json, Words
from imagegraph.cli.runs import OVERWRITE, Runs
from imagegraph.engine.context import Context
from imagegraph.errors import InvalidInput
from imagegraph.run import destination, save
from imagegraph.run.embedded import Embedded
from imagegraph.run.screen import screen
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.interface import Interface


def run(
    ctx: typer.Context,
    name: GraphName,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Photos (files, folders, patterns such as 'x/*.png', or - for what is piped in), words, "
            "and other inputs as name=value; see `imagegraph show NAME`",
            autocompletion=complete_input,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="New folder for the results; of several photos, of one for each"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option(OVERWRITE, help="Replace what an earlier run has written to --out")
    ] = False,
    open: Annotated[bool, typer.Option("--open", help="Show the results in the desktop's viewer")] = False,
    bundle: Bundle = None,
    manifest: Annotated[Path | None, typer.Option(help="A SeldonDeployment to run instead")] = None,
    catalogue: Added = None,
    device: Device = "auto",
    timeout: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds that a photo may take, the first with loading")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write one JSON object a photo, and no words")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Write the folders of the results, and no more")
    ] = False,
    debug: Debug = False,
) -> None:
    """Run a graph or a component, and write what it answers to a folder for each photo.

    Beside these options there is one for each input of the graph; see `run NAME --help`.

    Ends with 2 where you can do something about what went wrong, with 1 where not.
    """
    if overwrite and out is None:
        raise InvalidInput("overwrite", "--out beside it: without, every run has a folder of its own", "none")
    known = Catalogue.read(catalogue or [])
    chosen = deployment(name, bundle, manifest, known)
    if name not in {chosen.metadata.name, *known.graphs, *known.entries}:
        raise InvalidInput("name", f"'{chosen.metadata.name}', the graph of {manifest}, first", name)
    predictor = chosen.choose(Context().id)
    interface = Interface.of_graph(predictor.root, predictor.bundle, known)
    request = Reader(name, interface).read(inputs or [], given(ctx))
    report = (Json if json else Folders if quiet else Words)(request.several)
    replaced = save.earlier_results if overwrite else destination.nothing
    with contextlib.ExitStack() as stack:
        if request.several and out is not None and not overwrite:
            stack.enter_context(destination.new_folder(out, name, hint=OVERWRITE))
        with (
            screen(progress, quiet=quiet, lines=json) as shown,
            Embedded.of(predictor, known, device) as embedded,
        ):
            runs = Runs(name, embedded, request, report, shown, replaced)
            asyncio.run(runs.all(out, timeout))
        report.end(runs.done)
        if open and runs.done:
            runs.open()
        if runs.failed:
            typer.echo(f"error: {len(runs.failed)} of {len(request.photos)} photos failed", err=True)
            raise typer.Exit(min(map(exit_code, runs.failed)))
