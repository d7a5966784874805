"""Under Seldon's Python wrapper, asked by Seldon's own client, the class answers what our own server does."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from imagegraph.spec.graph import Node
from tests.export.conftest import Serve
from tests.export.serving import COMPONENTS, START_S, Exported, python, request, tensor
from tests.serve.conftest import Server
from tests.serve.test_manifest import manifest, predictor

READY = "/health/ping"
PATH = "/api/v1.0/predictions"
CLIENT = """
from seldon_core.seldon_client import SeldonClient
from seldon_core.utils import seldon_message_to_json
client = SeldonClient(microservice_endpoint=given["endpoint"])
def ask(**data):
    said = client.microservice(transport="rest", method="predict", **data)
    assert said.success, said.msg
    return seldon_message_to_json(said.response)
answer = {
    "json": ask(json_data=given["request"])["jsonData"],
    "text": json.loads(ask(str_data=json.dumps(given["request"]))["strData"]),
}
"""


def ask(server: Exported) -> dict[str, Any]:
    """Asks with SeldonClient, in both ways that carry V2."""
    given = {"endpoint": f"127.0.0.1:{server.port}", "request": request(server.component)}
    return python("seldon", server.folder, CLIENT, given)


@pytest.mark.parametrize("component", COMPONENTS)
def test_it_answers_seldons_client_byte_for_byte_as_we_do(
    serve: Serve, expected: Callable[[str], Any], component: str
) -> None:
    answers = ask(serve("seldon", component, ready=READY))
    assert answers["json"]["outputs"] == expected(component)
    assert answers["text"]["outputs"] == expected(component)


def test_it_answers_v2_as_a_node_of_ours_does(serve: Serve, expected: Callable[[str], Any]) -> None:
    server = serve("seldon", "depth", ready=READY)
    assert server.http.get("/v2/models/depth/ready").status_code == 200
    answer = server.post("/v2/models/whatever/infer", request("depth"))
    assert (answer.json()["id"], answer.json()["outputs"]) == ("one", expected("depth"))


def test_it_stands_in_a_graph_beside_nodes_of_ours(
    serve: Serve, start: Callable[..., Server], expected: Callable[[str], Any], tmp_path: Path
) -> None:
    root = {"name": "priors", "type": "COMBINER", "children": [{"name": "depth"}, {"name": "edges"}]}
    theirs = SimpleNamespace(http_port=serve("seldon", "depth", ready=READY).port)
    graph = manifest(tmp_path / "m.yaml", predictor(Node.model_validate(root), {"depth": theirs}))
    engine = start("--manifest", str(graph), wait=False, IMAGEGRAPH_CATALOGUE="").wait(START_S)
    answer = engine.http.post("/v2/models/any/infer", json=request("depth"), timeout=START_S)
    assert answer.status_code == 200, answer.text
    found = {one["name"]: one for one in answer.json()["outputs"]}
    assert [found["depth"]] == expected("depth")
    assert found["edges"]["data"]


def test_what_is_wrong_is_said_in_our_words(serve: Serve) -> None:
    server = serve("seldon", "depth", ready=READY)
    refused = server.post(PATH, {"jsonData": {"inputs": [tensor("image", "no picture")]}})
    assert refused.status_code == 400
    assert refused.json()["status"]["reason"] == "INVALID_ARGUMENT"
    assert "image: expected an image as base64" in refused.json()["status"]["info"]
    assert server.post(PATH, {"strData": "no JSON"}).status_code == 400
