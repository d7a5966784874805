"""Triton itself answers what our own server answers: a component, and a graph as its ensemble."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
import pybase64
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from imagegraph.export.formats import recipe_of
from imagegraph.spec.catalogue import Catalogue
from tests.export.conftest import Serve
from tests.export.serving import Exported, request, tensor

PHOTO = pybase64.b64decode(request("depth")["inputs"][0]["data"][0])


@pytest.fixture(scope="module")
def triton(serve: Serve) -> Exported:
    """A graph of five components, each of which can be asked by itself."""
    return serve("triton", "interpret")


@pytest.fixture(params=[tritonclient.http, tritonclient.grpc], ids=["http", "grpc"])
def client(request: pytest.FixtureRequest, triton: Exported) -> Iterator[Any]:
    """One of Triton's own clients."""
    port = triton.port + (request.param is tritonclient.grpc)
    client = request.param.InferenceServerClient(f"127.0.0.1:{port}")
    yield client
    client.close()


def ask(client: Any, model: str, **values: Any) -> dict[str, Any]:
    module = tritonclient.grpc if "grpc" in type(client).__module__ else tritonclient.http
    inputs = []
    for name, (datatype, value) in values.items():
        inputs.append(module.InferInput(name, [1], datatype))
        inputs[-1].set_data_from_numpy(np.array([value], object if datatype == "BYTES" else np.int64))
    answer = client.infer(model, inputs)
    about = client.get_model_metadata(model)
    outputs = about["outputs"] if isinstance(about, dict) else about.outputs
    names = [one["name"] if isinstance(one, dict) else one.name for one in outputs]
    return {name: answer.as_numpy(name) for name in names}


def test_it_answers_byte_for_byte_as_we_do(triton: Exported, expected: Callable[[str], Any]) -> None:
    for component in ("depth", "caption"):
        answer = triton.post(f"/v2/models/{component}/infer", request(component))
        assert answer.status_code == 200, triton.log
        assert [_values(one) for one in answer.json()["outputs"]] == [
            _values(one) for one in expected(component)
        ]


def _values(output: dict[str, Any]) -> list[Any]:
    return [output[key] for key in ("name", "datatype", "shape", "data")]


def test_raw_pictures_are_answered_raw(client: Any, expected: Callable[[str], Any]) -> None:
    (depth,) = ask(client, "depth", image=("BYTES", PHOTO))["depth"]
    assert depth == pybase64.b64decode(expected("depth")[0]["data"][0])
    (text,) = ask(client, "depth", image=("BYTES", pybase64.b64encode(PHOTO)))["depth"]
    assert text.decode() == expected("depth")[0]["data"][0]


def test_an_ensemble_answers_as_our_graph_does(client: Any, start: Callable[..., Any]) -> None:
    ours = start("--graph", "interpret", IMAGEGRAPH_CATALOGUE="")
    own = ours.http.post("/v2/models/interpret/infer", json=request("depth")).json()["outputs"]
    ours.process.kill()
    answers = ask(client, "interpret", image=("BYTES", pybase64.b64encode(PHOTO)))
    assert sorted(answers) == sorted(one["name"] for one in own)
    for one in own:
        given = answers[one["name"]]
        if one["datatype"] == "BYTES":
            assert [item.decode() for item in given.reshape(-1)] == one["data"]
        else:
            assert np.array_equal(given.reshape(-1), np.array(one["data"], given.dtype), equal_nan=True)


def test_what_is_wrong_is_said_with_a_status(triton: Exported) -> None:
    refused = triton.post("/v2/models/depth/infer", {"inputs": [tensor("image", "no picture")]})
    assert refused.status_code == 400
    assert "image: expected an image as base64" in refused.json()["error"]


def test_a_client_hears_of_it_too(client: Any) -> None:
    with pytest.raises(InferenceServerException, match="image: expected an image as base64"):
        ask(client, "depth", image=("BYTES", b"no picture"))


def test_what_computes_several_at_once_gets_batches_of_triton() -> None:
    _, recipe = recipe_of("triton", "generate", "pocket", "cpu", Catalogue.read())
    config = recipe.files["models/generate/config.pbtxt"]
    assert "max_batch_size: 16" in config
    assert "dynamic_batching" in config
    assert {tuple(one["shape"]) for one in orjson.loads(recipe.request)["inputs"]} == {(1, 1)}
    _, alone = recipe_of("triton", "draw", "pocket", "cpu", Catalogue.read())
    assert "max_batch_size: 0" in alone.files["models/generate/config.pbtxt"]
