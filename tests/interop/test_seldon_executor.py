"""Seldon Core 1.17.1's executor in front of our nodes; docs/kubernetes.md has the outcome."""

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from imagegraph.image import Image
from imagegraph.spec.catalogue import DEFAULT_PATH, ROOT
from tests.cluster.kubernetes import eventually
from tests.cluster.shell import Failed
from tests.interop import seldon
from tests.serve.conftest import Server, outputs, request

Start = Callable[..., Server]
Run = Callable[..., AbstractContextManager[seldon.Executor]]

PHOTO = base64.b64encode((ROOT / "pocket" / "examples" / "scene.png").read_bytes()).decode()
CATALOGUE = """
base: none
entries:
  double: {component: tests.tiny:Double, summary: Doubles a number, bundles: {pocket: {}}}
  add: {component: tests.tiny:Add, summary: Adds a number, bundles: {pocket: {settings: {addend: 10}}}}
  faulty: {component: tests.tiny:Faulty, summary: Fails at work, bundles: {pocket: {}}}
  by-size: {component: tests.tiny:BySize, summary: Small numbers left, bundles: {pocket: {}}}
  astray: {component: tests.interop.nodes:Astray,
    summary: Chooses the child of that number, bundles: {pocket: {}}}
  source: {component: components.source:Source, summary: Echoes, bundles: {pocket: {}}}
  unite: {component: components.priors:Priors, summary: Unites, bundles: {pocket: {}}}
  identity: {component: tests.serve.serving:Identity,
    summary: Answers the picture it got, bundles: {pocket: {}}}
  asleep: {component: tests.serve.serving:Asleep, summary: Sleeps, bundles: {pocket: {}}}
  gated: {component: tests.serve.serving:Gated, summary: Loads when a file is there, bundles: {pocket: {}}}
graphs:
  chain:
    summary: A transformer before a model
    root: {name: double, type: TRANSFORMER, children: [{name: add}]}
  sum:
    summary: A number doubled, and the number itself
    root:
      name: add
      type: OUTPUT_TRANSFORMER
      children:
        - name: unite
          type: COMBINER
          children: [{name: source, type: TRANSFORMER}, {name: double}]
  ways:
    summary: One of two
    root: {name: by-size, type: ROUTER, children: [{name: left, entry: add}, {name: right, entry: double}]}
  lost:
    summary: A router that may choose a child that is not there
    root: {name: astray, type: ROUTER, children: [{name: add}, {name: double}]}
  lost-below:
    summary: The same below a combiner
    root:
      name: unite
      type: COMBINER
      children: [{name: source, type: TRANSFORMER}, {name: astray, type: ROUTER, children: [{name: double}]}]
  pictures:
    summary: A picture through two nodes
    root: {name: first, entry: identity, type: TRANSFORMER, children: [{name: second, entry: identity}]}
  fails: {summary: An error at the end, root: {name: double, type: TRANSFORMER, children: [{name: faulty}]}}
  sleeps: {summary: A slow node, root: {name: asleep}}
  loads: {summary: A node that loads, root: {name: double, type: TRANSFORMER, children: [{name: gated}]}}
"""


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("interop") / "catalogue.yaml"
    path.write_text(CATALOGUE)
    return path


@pytest.fixture(scope="session")
def node(start: Start) -> Callable[..., Server]:
    """Starts the node of a container, or gives the one that runs with those arguments already."""
    running: dict[tuple[str, ...], Server] = {}

    def started(container: dict[str, Any], **environment: str) -> Server:
        command, *options = container["args"]
        assert command == "serve"
        given = {one["name"]: one["value"] for one in container["env"] if "value" in one} | environment
        key = (*options, *given.values())
        if key not in running:
            running[key] = start(*options, wait=False, **given)
        return running[key]

    return started


@pytest.fixture
def run(node: Callable[..., Server], catalogue: Path, tmp_path: Path) -> Run:
    """Runs the executor in front of a graph's nodes, each a process as its container says."""

    @contextmanager
    def running(
        graph: str,
        *settings: str,
        catalogue: Path = catalogue,
        loaded: bool = True,
        annotations: Mapping[str, str] = {},
        **environment: str,
    ) -> Iterator[seldon.Executor]:
        program = seldon.binary("SELDON_EXECUTOR")
        document = seldon.deployment(graph, *settings, catalogue=catalogue)
        environment |= {"IMAGEGRAPH_CATALOGUE": str(catalogue)}
        nodes = {name: node(one, **environment) for name, one in seldon.containers(document).items()}
        if loaded:
            for server in nodes.values():
                server.wait(400)
        seldon.connect(document, {name: server.http_port for name, server in nodes.items()})
        with seldon.executor(program, document, annotations, tmp_path) as executor:
            yield executor

    return running


def test_a_transformer_comes_before_its_model(run: Run) -> None:
    with run("chain") as executor:
        assert outputs(executor.infer(number=4)) == {"number": [4 + 8 + 10]}


@pytest.mark.parametrize("path", ["/v2/models/infer", "/v2/models/photos/infer"])
def test_a_combiner_unites_and_an_output_transformer_comes_last(run: Run, path: str) -> None:
    """With a model's name in the path every node is asked by that name, not by its own."""
    with run("sum") as executor:
        answer = executor.http.post(path, json=request(number=4), headers={"Seldon-Puid": "r-7"})
    assert outputs(answer) == {"number": [4 + 8 + 10], "doubled": [8]}
    assert answer.json()["id"] == "r-7"


@pytest.mark.parametrize(("number", "answer"), [(4, {"number": [14]}), (40, {"doubled": [80]})])
def test_a_router_chooses_a_child(run: Run, number: int, answer: dict[str, Any]) -> None:
    with run("ways") as executor:
        assert outputs(executor.infer(number=number)) == answer


def test_a_router_out_of_range_ends_its_request_and_no_other(run: Run) -> None:
    with run("lost") as executor:
        with pytest.raises(httpx.RemoteProtocolError, match="disconnected without sending a response"):
            executor.infer(number=2)
        executor.check()
        assert outputs(executor.infer(number=1)) == {"doubled": [2]}


def test_a_router_out_of_range_below_another_node_ends_the_executor(run: Run) -> None:
    with run("lost-below") as executor:
        assert outputs(executor.infer(number=0)) == {"number": [0], "doubled": [0]}
        with pytest.raises(httpx.RemoteProtocolError):
            executor.infer(number=1)
        with pytest.raises(Failed, match="ended"):
            eventually("its end", executor.check)


@pytest.mark.parametrize(
    ("graph", "number", "status", "body"),
    [
        ("chain", "x", 400, {"error": "node 'double': number: expected a valid integer"}),
        ("sum", "x", 400, {"error": "node 'double': number: expected a valid integer"}),
        ("fails", 4, 500, {"error": "node 'faulty': ZeroDivisionError: integer division or modulo by zero"}),
        # Of a router's answer only the status remains.
        ("ways", "x", 400, {"status": {"info": "Internal service call from executor failed calling http"}}),
    ],
)
def test_a_nodes_error_reaches_the_client(
    run: Run, graph: str, number: int | str, status: int, body: dict[str, Any]
) -> None:
    with run(graph) as executor:
        answer = executor.infer(number=number)
    assert answer.status_code == status
    assert_begins(answer.json(), body)


def assert_begins(found: Any, wanted: Any) -> None:
    """Asserts that texts begin, and mappings are filled, as wanted."""
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            assert_begins(found[key], value)
    else:
        assert found[: len(wanted)] == wanted


def test_a_node_that_loads_says_so_until_it_has(run: Run, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with run("loads", loaded=False, GATE=str(gate)) as executor:
        answer = executor.infer(number=4)
        assert answer.status_code == 503
        assert answer.json() == {"error": "'gated' is still loading its weights"}
        gate.touch()
        answer = eventually(
            "its weights", lambda: (one := executor.infer(number=4)).status_code == 200 and one
        )
        assert outputs(answer) == {"slept": [4.0]}


def test_a_node_out_of_time_says_so_itself(run: Run) -> None:
    with run("sleeps", "engine.timeoutSeconds=1") as executor:
        assert outputs(executor.infer(seconds=0.1)) == {"slept": [0.1]}
        answer = executor.infer(seconds=30.0)
    assert (answer.status_code, answer.json()) == (504, {"error": "out of time in node asleep"})


def test_a_slow_node_is_given_up_by_an_executor_that_knows_a_timeout(run: Run) -> None:
    """In a pod of its own it knows none."""
    with run("sleeps", annotations={"seldon.io/rest-timeout": "1000"}) as executor:
        assert outputs(executor.infer(seconds=0.1)) == {"slept": [0.1]}
        start = time.monotonic()
        answer = executor.infer(seconds=30.0)
    assert time.monotonic() - start < 20
    assert (answer.status_code, answer.json()["status"]["status"]) == (500, "FAILURE")


def test_a_picture_of_10_mb_comes_back_byte_for_byte(run: Run) -> None:
    noise = np.random.default_rng(7).integers(0, 256, (1900, 1900, 3), dtype=np.uint8)
    picture = Image.from_array(noise).data
    assert len(picture) > 10 * 10**6
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1]}
    body = {"inputs": [{**tensor, "data": [base64.b64encode(picture).decode()]}]}
    with run("pictures") as executor:
        [answered] = outputs(executor.http.post("/v2/models/infer", json=body))["image"]
    assert base64.b64decode(answered) == picture


@pytest.mark.parametrize("graph", ["chain", "sum", "ways"])
def test_a_client_that_would_watch_gets_the_answer_at_once(run: Run, graph: str) -> None:
    with run(graph) as executor:
        headers = {"Accept": "text/event-stream"}
        answer = executor.http.post("/v2/models/infer", json=request(number=4), headers=headers)
    assert outputs(answer)["number"] in ([14], [22])


@pytest.mark.parametrize(
    ("graph", "values"),
    [
        ("reimagine", {"image": PHOTO, "seed": 7, "steps": 2, "variants": 1}),
        ("create", {"image": PHOTO, "seed": 7, "steps": 2, "variants": 1}),
        ("create", {"prompt": "a red circle", "seed": 7, "steps": 2}),
    ],
    ids=["reimagine", "create-from-a-picture", "create-from-words"],
)
def test_the_real_models_answer_bit_equal_to_one_process(
    run: Run, start: Start, graph: str, values: dict[str, Any]
) -> None:
    environment = {"OMP_NUM_THREADS": "1"}
    with run(graph, catalogue=DEFAULT_PATH, **environment) as executor:
        answer = executor.http.post("/v2/models/infer", json=request(**values))
    one_process = start("--graph", graph, IMAGEGRAPH_CATALOGUE=str(DEFAULT_PATH), **environment)
    try:
        wanted = one_process.infer(f"/v2/models/{graph}/infer", **values)
    finally:
        one_process.process.kill()
    assert outputs(answer) == outputs(wanted)
