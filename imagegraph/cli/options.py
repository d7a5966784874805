"""What several commands share: options, consoles, what shells complete, and which graph they run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from imagegraph import words
from imagegraph.deploy import render
from imagegraph.errors import ImagegraphError, InvalidDocument, InvalidInput
from imagegraph.observe import logs
from imagegraph.observe.logs import LogFormat, LogLevel
from imagegraph.spec import strict_yaml
from imagegraph.spec.catalogue import DEFAULT_BUNDLE, Catalogue
from imagegraph.spec.interface import Interface
from imagegraph.spec.seldon import SeldonDeployment

UNBROKEN = 10_000  # characters in a line of a table that nobody looks at on a screen

# What users and components say is no markup.
console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else UNBROKEN)
# What happens meanwhile is none of the results.
progress = Console(markup=False, highlight=False, stderr=True)


def complete_graph(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Returns the graphs that begin so, with their summaries; nothing where the catalogue cannot be read."""
    return _complete(ctx, incomplete, lambda known: known.graphs)


def complete_component(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Returns the components that begin so, as `complete_graph` does."""
    return _complete(ctx, incomplete, lambda known: known.entries)


def complete_either(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Returns graphs and components that begin so."""
    return _complete(ctx, incomplete, lambda known: {**known.graphs, **known.entries})


def _complete(
    ctx: typer.Context, incomplete: str, choose: Callable[[Catalogue], Iterable[str]]
) -> list[tuple[str, str]]:
    try:
        known = Catalogue.read(ctx.params.get("catalogue") or [])
    except ImagegraphError:
        return []
    return [
        (name, known.graph(name).summary) for name in sorted(choose(known)) if name.startswith(incomplete)
    ]


def complete_bundle(ctx: typer.Context, incomplete: str) -> list[str]:
    """Returns the bundles that begin so, those in which the graph exists."""
    try:
        catalogue = Catalogue.read(ctx.params.get("catalogue") or [])
        name = ctx.params.get("name") or ctx.params.get("component") or ctx.params.get("graph_name")
        names = [name] if name else [*catalogue.entries]
        found = [bundle for one in names for bundle in catalogue.bundles(catalogue.graph(one).root)]
    except ImagegraphError:
        return []
    return sorted({bundle for bundle in found if bundle.startswith(incomplete)})


def complete_input(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Returns the inputs of the graph that begin so, or behind `name=` the values of a choice.

    Of no beginning it returns nothing, so that shells offer files.
    """
    name, equals, begun = incomplete.rpartition("=")
    before = ctx.params.get("inputs") or []
    if not equals and before:  # perhaps of bash, for which a word ends at =
        *others, last = before
        name = others[-1] if last == "=" and others else last if not begun else ""
    if not name and not begun:
        return []
    try:
        catalogue, bundle = Catalogue.read(ctx.params.get("catalogue") or []), ctx.params.get("bundle")
        root = catalogue.graph(ctx.params["name"]).root
        ports = Interface.of_graph(root, bundle or DEFAULT_BUNDLE, catalogue).inputs
    except (ImagegraphError, KeyError):
        return []
    if name:
        choices = words.choices(ports[name]) if name in ports else []
        return [(f"{name}{equals}{one}" if equals else one, "") for one in choices if one.startswith(begun)]
    return [(f"{one}=", port.description) for one, port in ports.items() if one.startswith(incomplete)]


def exit_code(error: ImagegraphError) -> int:
    """Returns 2 where who asked can do something about an error, 1 where not."""
    return 2 if 400 <= error.status < 499 or isinstance(error, InvalidDocument) else 1


GraphName = Annotated[
    str, typer.Argument(help="A graph or a component of the catalogue", autocompletion=complete_either)
]
Added = Annotated[
    list[Path] | None,
    typer.Option(
        "--catalogue", help="Entries and graphs of your own, beside the project's; can be given several times"
    ),
]
Bundle = Annotated[
    str | None, typer.Option(help="Weights to use: pocket, photo, sd15, …", autocompletion=complete_bundle)
]
Device = Annotated[
    str, typer.Option(help="cpu, cuda or auto", autocompletion=lambda: ["auto", "cpu", "cuda"])
]


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
