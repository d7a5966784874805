"""A custom prediction routine under Google's own server answers what our own server answers."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.export.conftest import Serve
from tests.export.serving import COMPONENTS, request


def instance(component: str) -> dict[str, Any]:
    """Returns the same request as an instance: values by name."""
    return {
        one["name"]: one["data"] if one["name"] == "seeds" else one["data"][0]
        for one in request(component)["inputs"]
    }


@pytest.mark.parametrize("component", COMPONENTS)
def test_it_answers_byte_for_byte_as_we_do(
    serve: Serve, expected: Callable[[str], Any], component: str
) -> None:
    server = serve("vertex-cpr", component, ready="/health")
    answer = server.post("/predict", {"instances": [instance(component)]})
    assert answer.status_code == 200, answer.text
    (row,) = answer.json()["predictions"]
    values = {name: value if isinstance(value, list) else [value] for name, value in row.items()}
    assert values == {one["name"]: one["data"] for one in expected(component)}


def test_several_instances_share_parameters(serve: Serve) -> None:
    server = serve("vertex-cpr", "caption", ready="/health")
    photo = {"image": {"b64": instance("caption")["image"]}}
    answer = server.post("/predict", {"instances": [photo, photo], "parameters": {"caption_tokens": 2}})
    one, other = (row["caption"] for row in answer.json()["predictions"])
    assert one == other
    assert 1 <= len(one.split()) <= 2


def test_what_is_wrong_is_said_in_our_words(serve: Serve) -> None:
    server = serve("vertex-cpr", "depth", ready="/health")
    refused = server.post("/predict", {"instances": [{"image": "no picture"}]})
    assert refused.status_code == 400
    assert "image: expected an image as base64" in refused.json()["error"]
    assert "instances: expected" in server.post("/predict", {"inputs": []}).json()["error"]
