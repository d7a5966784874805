"""A session of clicks on one photo: it is embedded once, and what is no prompt for it costs nothing."""

import base64
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from imagegraph.spec.catalogue import DEFAULT_PATH, ROOT
from tests.serve.conftest import Server, outputs

PHOTO = base64.b64encode((ROOT / "pocket/examples/scene.png").read_bytes()).decode()


@pytest.fixture(scope="module")
def server(start: Callable[..., Server]) -> Server:
    return start("--graph", "cut-out", "--cache-mib", "16", IMAGEGRAPH_CATALOGUE=str(DEFAULT_PATH))


def ask(server: Server, **prompts: list[Any]) -> httpx.Response:
    inputs = [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [PHOTO]}]
    for name, (shape, data) in prompts.items():
        datatype = "INT64" if name == "labels" else "FP32"
        inputs.append({"name": name, "datatype": datatype, "shape": shape, "data": data})
    return server.http.post("/v2/models/any/infer", json={"inputs": inputs})


def hits(answer: httpx.Response) -> str:
    return answer.json().get("parameters", {}).get("cache_hits", "")


def test_a_further_click_embeds_nothing(server: Server) -> None:
    first = ask(server, points=([1, 1, 2], [60, 60]))
    assert len(outputs(first)["masks"]) == 1
    assert hits(first) == ""
    for further in (
        {"points": ([1, 1, 2], [20, 100])},
        {"points": ([1, 2, 2], [60, 60, 20, 100]), "labels": ([1, 2], [1, 0])},
        {"boxes": ([2, 4], [10, 10, 60, 60, 40, 40, 100, 100])},
        {},
    ):
        answer = ask(server, **further)
        assert outputs(answer)["masks"]
        assert hits(answer) == "embed-picture"


@pytest.mark.parametrize(
    ("prompts", "field"),
    [
        ({"boxes": ([1, 4], [10, 10, 129, 60])}, "boxes[0]"),
        ({"boxes": ([1, 4], [60, 10, 10, 60])}, "boxes[0]"),
        ({"boxes": ([257, 4], [10, 10, 60, 60] * 257)}, "boxes"),
        ({"points": ([1, 1, 2], [130, 5])}, "points[0][0]"),
        ({"points": ([257, 1, 2], [5, 5] * 257)}, "points"),
        ({"labels": ([1, 1], [1])}, "points"),
    ],
)
def test_a_bad_prompt_is_refused_by_name(server: Server, prompts: dict[str, Any], field: str) -> None:
    answer = ask(server, **prompts)
    assert answer.status_code == 400
    assert f"{field}: expected" in answer.text
