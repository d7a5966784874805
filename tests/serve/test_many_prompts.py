"""As many prompts as a request may have are drawn, one more is refused before anything is."""

import base64
from collections.abc import Callable

import numpy as np
import pytest

from components.plan import MOST_PICTURES
from imagegraph.image import Image
from imagegraph.spec.catalogue import DEFAULT_PATH
from pocket.world import COLOURS, SHAPES
from tests.serve.conftest import Server, outputs, request

PATH = "/v2/models/any/infer"
QUICK = {"steps": 1, "width": 64, "height": 64, "guidance": 1.0}
PROMPTS = [
    f"a {colour} {shape} left of a {other} {shape}"
    for shape in SHAPES
    for colour in COLOURS
    for other in COLOURS
    if colour != other
][:MOST_PICTURES]


@pytest.fixture(scope="module")
def server(start: Callable[..., Server]) -> Server:
    return start("--component", "generate", IMAGEGRAPH_CATALOGUE=str(DEFAULT_PATH))


def test_256_prompts_are_drawn_and_each_as_if_it_were_alone(server: Server) -> None:
    assert len(set(PROMPTS)) == 256
    answer = outputs(server.http.post(PATH, json=request(prompts=PROMPTS, seed=5, **QUICK), timeout=500))
    assert answer["prompts"] == PROMPTS
    assert answer["seeds"] == list(range(5, 261))
    assert len(answer["pictures"]) == 256
    for index in (0, 255):
        alone = outputs(server.infer(PATH, prompt=PROMPTS[index], seed=5 + index, **QUICK))["pictures"]
        assert np.abs(pixels(answer["pictures"][index]) - pixels(alone[0])).max() <= 2


def test_one_prompt_more_is_refused_by_name(server: Server) -> None:
    answer = server.infer(PATH, prompts=[*PROMPTS, "a red cone"], seed=5, **QUICK)
    assert answer.status_code == 400
    assert "prompts: expected" in answer.text


def pixels(text: str) -> np.ndarray:
    return np.asarray(Image(base64.b64decode(text)).rgb(), np.int16)
