"""The engine's cache in front of pods: another version of a node is never answered for by the one before."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imagegraph.calls.cached import BELIEVED_S
from imagegraph.spec.catalogue import ROOT
from imagegraph.spec.graph import Node
from tests.calls.test_redis_store import Redis
from tests.serve.conftest import Server, outputs, request
from tests.serve.test_manifest import manifest, predictor, requests_of

Start = Callable[..., Server]

CODE = """
from typing import TypedDict
from imagegraph.component import Component

class Answer(TypedDict):
    build: int

class Tell(Component):
    def predict(self, number: int) -> Answer:
        return {{"build": {build}}}
"""
CATALOGUE = """
base: none
entries:
  tell: {component: told:Tell, summary: Tells its build, bundles: {pocket: {}}}
  user:
    component: tests.tiny:User
    summary: Uses double
    uses: {twice: double}
    bundles: {pocket: {}}
  double: {component: tests.tiny:Double, summary: Doubles, bundles: {pocket: {}}}
graphs: {}
"""


class Images:
    """Starts processes of the same arguments and another code, as of images."""

    def __init__(self, start: Start, folder: Path) -> None:
        self._start = start
        self._folder = folder
        (folder / "catalogue.yaml").write_text(CATALOGUE)

    def start(self, build: int, *arguments: str, wait: bool = True) -> Server:
        code = self._folder / f"build-{build}"
        code.mkdir(exist_ok=True)
        (code / "told.py").write_text(CODE.format(build=build))
        environment = {
            "PYTHONPATH": os.pathsep.join([str(code), str(ROOT)]),
            "IMAGEGRAPH_CATALOGUE": str(self._folder / "catalogue.yaml"),
        }
        return self._start(*arguments, wait=wait, **environment)


@pytest.fixture
def images(start: Start, tmp_path: Path) -> Images:
    return Images(start, tmp_path)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    yield server
    server.stop()


def told(engine: Server, **headers: str) -> tuple[int, Any]:
    """Asks; returns the build that answered and which nodes' results were known."""
    answer = engine.http.post("/v2/models/m/infer", json=request(number=1), headers=headers)
    return outputs(answer)["build"][0], answer.json().get("parameters", {}).get("cache_hits")


@pytest.mark.parametrize(("type_", "shared"), [("REST", False), ("GRPC", True)])
def test_a_canary_and_a_replaced_pod_are_never_answered_with_what_was_known_before(
    images: Images, tmp_path: Path, redis: Redis, type_: str, shared: bool
) -> None:
    cache = ("--cache-redis", redis.url) if shared else ("--cache-mib", "10")
    pods = [images.start(build, "--component", "tell", wait=False) for build in (1, 2)]
    sides = []
    for name, pod, traffic in zip(("default", "canary"), [pod.wait() for pod in pods], (80, 20), strict=True):
        side = predictor(Node(name="tell"), {}, name=name, traffic=traffic)
        port = {"REST": {"httpPort": pod.http_port}, "GRPC": {"grpcPort": pod.grpc_port}}[type_]
        side["graph"]["endpoint"] = {"service_host": "127.0.0.1", "type": type_, **port}
        sides.append(side)
    engine = images.start(1, "--manifest", str(manifest(tmp_path / "m.yaml", *sides)), *cache)
    for build, name in ((1, "default"), (2, "canary")):
        assert told(engine, **{"X-Predictor": name}) == (build, None)
        assert told(engine, **{"X-Predictor": name}) == (build, "tell")

    pods[0].process.kill()
    pods[0].process.wait()
    ports = "--http-port", str(pods[0].http_port), "--grpc-port", str(pods[0].grpc_port)
    again = images.start(3, "--component", "tell", *ports, wait=False)
    again.http = pods[0].http
    again.wait()
    time.sleep(BELIEVED_S)  # what the old pod said may be believed for so long
    assert told(engine, **{"X-Predictor": "default"}) == (3, None)
    end = time.monotonic() + 30
    while (answer := told(engine, **{"X-Predictor": "default"})) != (3, "tell"):
        assert answer == (3, None), "asked anew until the pod has named its version"
        assert time.monotonic() < end
        time.sleep(0.1)
    assert told(engine, **{"X-Predictor": "canary"}) == (2, "tell")
    assert requests_of(pods[1]) == 1


def test_a_component_in_the_engine_uses_others_whose_nodes_are_in_pods(
    images: Images, tmp_path: Path
) -> None:
    double = {"name": "double", "type": "TRANSFORMER"}
    root = Node.model_validate({"name": "user", "type": "OUTPUT_TRANSFORMER", "children": [double]})
    pod = images.start(1, "--component", "double", "--type", "TRANSFORMER")
    path = manifest(tmp_path / "m.yaml", predictor(root, {"double": pod}))
    engine = images.start(1, "--manifest", str(path))
    assert outputs(engine.infer(number=4))["number"] == [8]


def test_metadata_and_answers_name_the_version_of_a_node(images: Images) -> None:
    pod = images.start(1, "--component", "tell")
    (version,) = pod.http.get("/v2/models/tell").json()["versions"]
    assert version.startswith("sha256:")
    assert pod.infer(number=1).json()["model_version"] == version
