"""`list` and `show`: what the catalogue has."""

from __future__ import annotations

import json as _json
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from imagegraph import words
from imagegraph.cli.inputs import Reader, taken
from imagegraph.cli.options import Added, GraphName, complete_bundle, console
from imagegraph.deploy import render
from imagegraph.errors import InvalidInput
from imagegraph.spec import graph
from imagegraph.spec.catalogue import DEFAULT_BUNDLE, Catalogue, Graph
from imagegraph.spec.interface import Interface


def list_(catalogue: Added = None) -> None:
    """List graphs and components."""
    known = Catalogue.read(catalogue or [])
    table = Table("graph", "bundles", "summary", box=None)
    for name, item in sorted(known.graphs.items()):
        table.add_row(name, " ".join(known.bundles(item.root)), item.summary)
    console.print(table, "")
    table = Table("component", "bundles", "summary", box=None)
    for name, entry in sorted(known.entries.items()):
        table.add_row(name, " ".join(entry.bundles), entry.summary)
    console.print(table)


def show(
    name: GraphName,
    bundle: Annotated[
        str, typer.Option(help="Weights to say it for", autocompletion=complete_bundle)
    ] = DEFAULT_BUNDLE,
    catalogue: Added = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON, with the JSON schema of every port")] = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Its flowchart alone, for Mermaid")] = False,
    manifest: Annotated[
        bool, typer.Option("--manifest", help="The SeldonDeployment that runs it, alone")
    ] = False,
) -> None:
    """Show a graph or a component: its tree, what it takes and what it answers."""
    if json + mermaid + manifest > 1:
        raise InvalidInput("show", "one of --json, --mermaid and --manifest", "several")
    known = Catalogue.read(catalogue or [])
    item = known.graph(name)
    if manifest:
        typer.echo(render.manifest(name, bundle, known), nl=False)
    elif mermaid:
        typer.echo(graph.mermaid(item.root))
    elif json:
        _print_json(name, item, bundle, Interface.of_graph(item.root, bundle, known))
    else:
        _print(name, item, Interface.of_graph(item.root, bundle, known))


def _print(name: str, item: Graph, interface: Interface) -> None:
    console.print(Text(name, "bold"), f" {item.summary}\n")
    console.print(graph.tree(item.root))
    table = Table("input", "takes", "by default", "meaning", box=None, pad_edge=False)
    for port in interface.inputs.values():
        table.add_row(port.name, words.takes(port), words.default(port), port.description)
    console.print("", table, "")
    table = Table("answer", "is", "", box=None, pad_edge=False)
    for port in interface.outputs.values():
        also = "can be given instead of having it read" if port.name in interface.priors else ""
        table.add_row(port.name, words.gives(port), also)
    console.print(table, "")
    reader, ports = Reader(name, interface), taken(interface)
    unnamed = [ports[port] for port in [*reader.photo_ports, *reader.word_ports]]
    usage = (port.name.upper() if port.required else f"[{port.name.upper()}]" for port in unnamed)
    console.print("imagegraph run", name, *usage, "[NAME=VALUE]...")


def _print_json(name: str, item: Graph, bundle: str, interface: Interface) -> None:
    inputs = {port.name: {**port.facts, "takes": words.takes(port)} for port in interface.inputs.values()}
    outputs = {
        port.name: {"is": words.gives(port), "prior": port.name in interface.priors, "schema": port.schema}
        for port in interface.outputs.values()
    }
    root = item.root.model_dump(mode="json", exclude_defaults=True)
    about = {"name": name, "summary": item.summary, "bundle": bundle, "graph": root}
    typer.echo(_json.dumps({**about, "inputs": inputs, "outputs": outputs}, indent=2, ensure_ascii=False))
