"""`list` and `show`: what the catalogue has."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from imagegraph.cli.options import DEFAULT_BUNDLE, Added, GraphName, console
from imagegraph.spec import graph
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.graph import Input


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
    name: GraphName, bundle: Annotated[str, typer.Option()] = DEFAULT_BUNDLE, catalogue: Added = None
) -> None:
    """Show a graph: its tree, what goes in and out, and a Mermaid flowchart."""
    known = Catalogue.read(catalogue or [])
    item = known.graph(name)
    signatures = known.signatures(item.root, bundle)
    console.print(Text(name, "bold"), f" {item.summary}\n")
    console.print(graph.tree(item.root), highlight=False)
    table = Table("input", "type", "default", "meaning", box=None)
    for port_name, one in graph.inputs(item.root, signatures).items():
        defaults = known.entry(one.entry).variant(bundle).defaults
        default = _default_text(one, defaults.get(port_name, one.port.default))
        table.add_row(port_name, f"{one.port.datatype}{list(one.port.shape)}", default, one.port.description)
    console.print("", table, "")
    console.print("answers:", ", ".join(sorted(graph.outputs(item.root, signatures))), "\n")
    console.print(graph.mermaid(item.root), highlight=False)


def _default_text(one: Input, default: Any) -> str:
    if one.required:
        return "required"
    return "" if default in (None, "", {}) else str(default)
