"""A service of BentoML answers what our own server answers, by V2 at V2's path."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.export.conftest import Serve
from tests.export.serving import COMPONENTS, request, tensor


@pytest.mark.parametrize("component", COMPONENTS)
def test_it_answers_byte_for_byte_as_we_do(
    serve: Serve, expected: Callable[[str], Any], component: str
) -> None:
    server = serve("bentoml", component, ready="/readyz")
    answer = server.post(f"/v2/models/{component}/infer", request(component))
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"] == "one"
    assert answer.json()["outputs"] == expected(component)


def test_what_is_wrong_is_said_in_our_words(serve: Serve) -> None:
    server = serve("bentoml", "depth", ready="/readyz")
    path = "/v2/models/depth/infer"
    refused = server.post(path, {"inputs": [tensor("image", "no picture")]})
    assert refused.status_code == 400
    assert "image: expected an image as base64" in refused.text
    assert server.post(path, {"inputs": [tensor("imago", "no picture")]}).status_code == 404


def test_only_the_outputs_that_are_asked_for_come(serve: Serve) -> None:
    server = serve("bentoml", "generate", ready="/readyz")
    answer = server.post("/v2/models/generate/infer", request("generate") | {"outputs": [{"name": "seeds"}]})
    assert [(one["name"], one["data"]) for one in answer.json()["outputs"]] == [("seeds", [7, 9])]
