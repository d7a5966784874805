"""Graphs of one process share their models, and the last one that is closed lets go of them."""

import subprocess
import sys

import pytest

# In a process of its own: other tests may hold the same models.
SHARE = """
import gc, sys, time, weakref
import imagegraph
from imagegraph.engine.background import background
from imagegraph.spec.catalogue import ROOT

SCENE = ROOT / "pocket/examples/scene.png"
name, bundle, *path = sys.argv[1:]

def model(graph):
    embedded = graph._embedded
    found = background.run(embedded._local._loader.component(embedded.root.entry))
    for part in path:
        found = getattr(found, part)
    return found

graphs = [imagegraph.load(name, bundle=bundle, device="cpu") for _ in range(2)]
first, second = map(model, graphs)
assert first is second
alive = weakref.ref(first)
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
"""


@pytest.mark.parametrize(
    "arguments",
    [["depth", "pocket", "_model"], ["pose", "photo", "_detector", "_model", "_session"]],
    ids=["torch", "onnx"],
)
def test_models_are_loaded_once_and_are_gone_with_the_last_graph(arguments: list[str]) -> None:
    subprocess.run([sys.executable, "-c", SHARE, *arguments], check=True, timeout=200)
