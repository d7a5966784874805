"""From a graph's name, file or URL to what can be called.

import imagegraph

reimagine = imagegraph.load("reimagine")
answer = reimagine("photo.jpg", prompt="a red cone")
answer.best.image.show()
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path

from imagegraph.engine.context import Context
from imagegraph.errors import InvalidInput
from imagegraph.library.graph import Graph
from imagegraph.library.local import LocalGraph
from imagegraph.run.embedded import Embedded
from imagegraph.spec.catalogue import DEFAULT_BUNDLE, Catalogue
from imagegraph.spec.seldon import SeldonDeployment

_URL = re.compile(r"(?P<base>https?://.+?)(/v2/models/(?P<model>[^/]+).*)?/?")


def load(
    graph: str | PathLike[str],
    *,
    bundle: str | None = None,
    device: str = "auto",
    catalogue: Catalogue | str | PathLike[str] | Sequence[str | PathLike[str]] = (),
) -> Graph:
    """Returns a graph to call; the weights load in the background, and calls wait for them.

    Graphs of one process share the models that they have in common. Close it, or use it as a context manager,
    to let go of them.

    Args:
        graph: a name of the catalogue (a graph or a component), a manifest's file (.yaml), or the URL of a
            served graph: `http://localhost:8080`, with or without `/v2/models/NAME`.
        bundle: the weights: pocket (the default), sd15, …
        device: cpu, cuda or auto (cuda if there is one).
        catalogue: files with entries and graphs of your own beside the project's, or a whole catalogue.

    Raises:
        UnknownName: there is no such graph, or not in that bundle.
        Unavailable: nothing answers at the URL.
    """
    name = fspath(graph)
    if url := _URL.fullmatch(name):
        chosen = ("bundle", bundle, None), ("catalogue", catalogue, ()), ("device", device, "auto")
        for option, value, default in chosen:
            if value != default:
                raise InvalidInput(option, "none beside a URL: the server has chosen", value)
        from imagegraph.library.served import ServedGraph  # with its HTTP client, which nobody else needs

        return ServedGraph(url["base"], url["model"] or "graph")
    if not isinstance(catalogue, Catalogue):
        added = [catalogue] if isinstance(catalogue, (str, PathLike)) else catalogue
        catalogue = Catalogue.read([Path(one) for one in added])
    if name.endswith((".yaml", ".yml")):
        if bundle is not None:
            raise InvalidInput("bundle", "none beside a manifest, which names its own", bundle)
        deployment = SeldonDeployment.read(Path(name))
        predictor = deployment.choose(Context().id)
        return LocalGraph(deployment.metadata.name, Embedded.of(predictor, catalogue, device))
    root = catalogue.graph(name).root
    return LocalGraph(name, Embedded(root, bundle or DEFAULT_BUNDLE, catalogue, device))
