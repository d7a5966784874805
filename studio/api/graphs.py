"""Graphs: what they are, what they take, how they are."""

from __future__ import annotations

from fastapi import APIRouter

from imagegraph.errors import ImagegraphError
from studio.api import shapes, views
from studio.api.access import Maker, Viewer
from studio.api.context import Open

router = APIRouter(tags=["graphs"])


@router.get("/graphs")
def list_graphs(studio: Open, person: Viewer) -> list[shapes.GraphSummary]:
    """Lists graphs, then components that can be run by themselves."""
    found = []
    for one in studio.backends:
        try:
            found.append(views.summary(one))
        except ImagegraphError as error:  # its server is away; the others are not
            found.append(views.away(one, error))
    return found


@router.get("/graphs/{name}")
def show_graph(name: str, studio: Open, person: Viewer) -> shapes.Graph:
    """Shows a graph: its tree, and a form for what it takes."""
    return views.graph(studio.backends.find(name))


@router.post("/graphs/{name}/load", status_code=202)
def load_graph(name: str, studio: Open, person: Maker) -> shapes.GraphSummary:
    """Begins to load a graph's weights, so that its first job need not wait for them."""
    backend = studio.backends.find(name)
    backend.open(backend.version(None))
    return views.summary(backend)
