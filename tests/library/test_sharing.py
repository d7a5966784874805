"""Graphs of one process share their models, and the last one that is closed lets go of them."""

import gc
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import imagegraph
from imagegraph.engine.background import background
from imagegraph.library.local import LocalGraph
from imagegraph.spec.catalogue import ROOT

SCENE = ROOT / "pocket" / "examples" / "scene.png"


def component(graph: imagegraph.Graph) -> Any:
    assert isinstance(graph, LocalGraph)
    assert graph._embedded
    call = graph._embedded._call
    return background.run(call._loader.component(graph._embedded.root.entry))


@pytest.mark.parametrize(
    ("name", "bundle", "model"),
    [
        ("depth", "pocket", lambda reader: reader._model),
        ("pose", "photo", lambda reader: reader._detector._model._session),
    ],
    ids=["torch", "onnx"],
)
def test_models_are_loaded_once_and_are_gone_with_the_last_graph(
    name: str, bundle: str, model: Callable[[Any], Any]
) -> None:
    graphs = [imagegraph.load(name, bundle=bundle, device="cpu") for _ in range(2)]
    first, second = (component(one) for one in graphs)
    assert first is not second
    assert model(first) is model(second)
    alive = weakref.ref(model(first))
    del first, second
    answer = graphs[0](SCENE)
    graphs[0].close()
    assert graphs[1](SCENE) == answer
    assert alive()
    graphs[1].close()
    end = time.monotonic() + 60
    while alive() and time.monotonic() < end:
        gc.collect()
        time.sleep(0.05)
    assert alive() is None, "a graph that is closed, or an answer, holds none"
    assert answer[name].size
