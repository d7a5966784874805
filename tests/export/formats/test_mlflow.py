"""A model folder that MLflow serves, and loads, answers what our own server answers."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.export.conftest import Serve
from tests.export.serving import COMPONENTS, programs, python, request, tensor

PATH = "/invocations"


@pytest.mark.parametrize("component", COMPONENTS)
def test_it_answers_byte_for_byte_as_we_do(
    serve: Serve, expected: Callable[[str], Any], component: str
) -> None:
    server = serve("mlflow", component, ready="/ping")
    answer = server.post(PATH, request(component))
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"]["outputs"] == expected(component)


def test_what_is_wrong_is_said_in_our_words(serve: Serve) -> None:
    server = serve("mlflow", "depth", ready="/ping")
    refused = server.post(PATH, {"inputs": [tensor("image", "no picture")]})
    assert (refused.status_code, refused.json()["error_code"]) == (400, "BAD_REQUEST")
    assert "image: expected an image as base64" in refused.json()["message"]
    assert server.post(PATH, {"inputs": [tensor("imago", "no picture")]}).status_code == 404


def test_the_model_is_loaded_from_python_too(serve: Serve, expected: Callable[[str], Any]) -> None:
    programs("mlflow")
    server = serve("mlflow", "caption", ready="/ping")
    code = "import mlflow; answer = mlflow.pyfunc.load_model('model').predict(given['inputs'])"
    answer = python("mlflow", server.folder, code, request("caption"))
    assert answer["outputs"] == expected("caption")
