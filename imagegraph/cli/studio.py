"""`studio`: the page and the API on this machine, over graphs in this process or deployed ones."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer

from imagegraph.cli.options import Added, Bundle
from imagegraph.errors import InvalidInput

SERVER = "studio.server"  # the studio knows the library, not the other way round


commands = typer.Typer(invoke_without_command=True)

Data = Annotated[Path | None, typer.Option(help="Folder of the store; by default studio-data")]


@commands.callback()
def studio(
    ctx: typer.Context,
    data: Data = None,
    host: Annotated[str | None, typer.Option(help="Listen there; by default 127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="By default 7860; 0 is one that is free")] = None,
    bundle: Bundle = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or auto")] = None,
    catalogue: Added = None,
    openapi: Annotated[
        bool, typer.Option("--openapi", help="Write the OpenAPI document, and no more")
    ] = False,
) -> None:
    """Open the studio: a page and its API. More settings by the environment, STUDIO_*: docs/studio.md."""
    if ctx.invoked_subcommand:
        return
    if openapi:
        typer.echo(_server().openapi(), nl=False)
        return
    said = _said(data=data, host=host, port=port, bundle=bundle, device=device, catalogue=catalogue)
    _server().serve(said)


@commands.command()
def backup(file: Annotated[Path, typer.Argument(help="Where nothing is yet")], data: Data = None) -> None:
    """Write all that a studio remembers to one file, also while it runs."""
    count = _server().backup(_said(data=data), file)
    typer.echo(f"{file}: {count} pictures, {file.stat().st_size / 2**20:.1f} MiB")


@commands.command()
def restore(file: Annotated[Path, typer.Argument(help="A backup")], data: Data = None) -> None:
    """Put a backup into an empty store."""
    typer.echo(f"{_server().restore(_said(data=data), file)} pictures")


def _said(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _server() -> Any:
    try:
        return importlib.import_module(SERVER)
    except ModuleNotFoundError as error:
        raise InvalidInput(
            "studio", "the extra `studio` of the package", f"no module {error.name}"
        ) from error
