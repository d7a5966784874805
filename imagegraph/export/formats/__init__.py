"""The formats: a file for each, which is all that there is of one; its name is the file's.

A format has `recipe(exported)`, which returns what its folder has; see `folder.Recipe`. One whose framework
runs graphs has `graph_recipe(exported)` as well.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Protocol, cast, runtime_checkable

from imagegraph.errors import InvalidInput, UnknownName
from imagegraph.export.exported import Exported
from imagegraph.export.folder import Recipe
from imagegraph.export.graph import ExportedGraph
from imagegraph.spec.catalogue import Catalogue

Target = Exported | ExportedGraph


class Format(Protocol):
    """What the module of a format has."""

    def recipe(self, exported: Exported) -> Recipe:
        """Returns what serves the component.

        Raises:
            ImagegraphError: the format cannot carry it.
        """


@runtime_checkable
class GraphFormat(Format, Protocol):
    """The module of a format that can carry a graph, too."""

    def graph_recipe(self, exported: ExportedGraph) -> Recipe:
        """Returns what serves the graph.

        Raises:
            ImagegraphError: the format cannot carry it.
        """


def recipe_of(
    format: str, name: str, bundle: str, device: str, catalogue: Catalogue
) -> tuple[Target, Recipe]:
    """Returns what is exported under a component's or a graph's name, and what serves it.

    A name that both have means the graph, where the format can carry one.

    Raises:
        UnknownName: there is no such format, component, graph or bundle.
        InvalidInput: a graph, which the format cannot carry.
        ImagegraphError: the format cannot carry it.
    """
    found = find(format)
    if name in catalogue.graphs and isinstance(found, GraphFormat):
        graph = ExportedGraph.of(name, bundle, device, catalogue)
        return graph, found.graph_recipe(graph)
    if name in catalogue.graphs and name not in catalogue.entries:
        able = ", ".join(one for one in names() if isinstance(find(one), GraphFormat))
        raise InvalidInput("component", f"no graph, but for {able}", name)
    exported = Exported.of(name, bundle, device, catalogue)
    return exported, found.recipe(exported)


def names() -> list[str]:
    """Returns the names of all formats, as the command line has them."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def find(name: str) -> Format:
    """Returns a format.

    Raises:
        UnknownName: lists those there are.
    """
    if name not in names():
        raise UnknownName("format", name, names())
    return cast(Format, importlib.import_module(f"{__name__}.{name.replace('-', '_')}"))
