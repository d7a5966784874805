"""What several commands share: options, the console, and which graph they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from imagegraph.deploy import render
from imagegraph.errors import InvalidInput
from imagegraph.observe import logs
from imagegraph.observe.logs import LogFormat, LogLevel
from imagegraph.spec import strict_yaml
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.seldon import SeldonDeployment

console = Console(markup=False)  # what users and components say is no markup

DEFAULT_BUNDLE = render.DEFAULT_BUNDLE

GraphName = Annotated[str, typer.Argument(help="A graph or a component of the catalogue")]
Added = Annotated[
    list[Path] | None,
    typer.Option(
        "--catalogue", help="Entries and graphs of your own, beside the project's; can be given several times"
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda or auto")]


def _show_log(debug: bool) -> bool:
    if debug:
        logs.configure(LogLevel.DEBUG, LogFormat.TEXT)
    return debug


Debug = Annotated[
    bool, typer.Option("--debug", callback=_show_log, help="Show where something failed, line by line")
]


def deployment(
    name: str, bundle: str | None, manifest: Path | None, catalogue: Catalogue
) -> SeldonDeployment:
    """The graph to run: of a manifest file, or of the catalogue as it is now, rendered as `generate` does.

    Files that `generate` has written are never run by name: the catalogue may say otherwise by now.
    """
    if manifest is None:
        text = render.manifest(name, bundle or DEFAULT_BUNDLE, catalogue)
        return strict_yaml.parse(text, SeldonDeployment, name)
    if bundle is not None:
        raise InvalidInput("bundle", "no --bundle beside --manifest, which names its own", bundle)
    return SeldonDeployment.read(manifest)
