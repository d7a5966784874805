"""`export`: a component for another server."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from imagegraph.cli.options import DEFAULT_BUNDLE, console
from imagegraph.deploy import triton
from imagegraph.run.destination import fill, new_folder
from imagegraph.spec.catalogue import Catalogue


class Format(StrEnum):
    """What can be written."""

    TRITON = "triton"


def export(
    component: Annotated[str, typer.Argument(help="A component of the catalogue, its weights ONNX files")],
    format: Annotated[Format, typer.Option(help="For which server")] = Format.TRITON,
    bundle: Annotated[str, typer.Option()] = DEFAULT_BUNDLE,
    out: Annotated[Path | None, typer.Option(help="A new or empty folder; by default one in out")] = None,
) -> None:
    """Write a component's networks for another server, each as it is: a model repository of Triton."""
    entry = Catalogue.read().entry(component)
    files = triton.models(component, entry.weights(bundle, "cpu"))
    with new_folder(out, f"{component}-{format}") as folder:
        for path in fill(folder, lambda staged: triton.write(staged, files)):
            console.print(path)
