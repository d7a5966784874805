"""`export`: a component for another server."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from imagegraph.cli.options import Bundle, Device, complete_component, console
from imagegraph.export import folder, formats
from imagegraph.run.destination import fill, new_folder, nothing
from imagegraph.spec.catalogue import DEFAULT_BUNDLE, Catalogue


def export(
    component: Annotated[
        str,
        typer.Argument(
            help="A component of the catalogue, or a graph for triton", autocompletion=complete_component
        ),
    ],
    format: Annotated[
        str,
        typer.Option(help=f"One of {', '.join(formats.names())}", autocompletion=lambda: formats.names()),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A new or empty folder; by default one in out")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what an earlier export has written to --out")
    ] = False,
    bundle: Bundle = None,
    device: Device = "auto",
) -> None:
    """Write a folder that serves a component in another framework, by that framework's own command.

    Its README says what is to be installed, and how the server is started and asked.
    """
    catalogue = Catalogue.read()
    exported, recipe = formats.recipe_of(format, component, bundle or DEFAULT_BUNDLE, device, catalogue)

    def earlier(place: Path) -> Collection[str]:
        """Names the files of the export that is there, which may be of another format."""
        before = folder.earlier(place)
        if before is None:
            return folder.names(recipe)
        return folder.names(formats.recipe_of(*before, device, catalogue)[1])

    replaced = earlier if overwrite else nothing
    with new_folder(out, f"{component}-{format}", replaced) as place:
        write = partial(folder.write, format=format, exported=exported, recipe=recipe)
        for path in fill(place, write, replaced):
            console.print(path)
