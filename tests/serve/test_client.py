"""The Python client against a real server."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imagegraph.client import Answer, AsyncClient, Client
from imagegraph.errors import DeadlineExceeded, ImagegraphError, InvalidInput, Unavailable, UnknownName
from imagegraph.image import Image
from imagegraph.spec.catalogue import ROOT
from tests.serve.conftest import Server

PHOTO = Image((ROOT / "pocket" / "examples" / "photo.jpg").read_bytes())


@pytest.fixture(scope="module")
def asleep(start: Callable[..., Server]) -> str:
    return f"http://127.0.0.1:{start('--component', 'asleep').http_port}"


@pytest.fixture(scope="module")
def echo(start: Callable[..., Server]) -> str:
    return f"http://127.0.0.1:{start('--component', 'echo').http_port}"


@pytest.fixture(scope="module")
def paint(start: Callable[..., Server]) -> str:
    return f"http://127.0.0.1:{start('--component', 'paint').http_port}"


def test_values_go_and_come_as_python_has_them(paint: str) -> None:
    with Client(paint) as client:
        assert client.ready()
        assert client.metadata("paint")["inputs"][0]["name"] == "image"
        answer = client.infer("paint", image=PHOTO, seed=3, request_id="r1")
    assert answer.id == "r1"
    assert answer["seeds"] == [3, 4]
    assert answer["steered_by"] == ["depth", "combined"]
    assert answer["numbers"] == [0.5, 1.5]
    assert [picture.size for picture in answer["pictures"]] == [PHOTO.size] * 2
    assert set(answer) == {"pictures", "seeds", "steered_by", "order", "depth", "numbers"}


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("watched", [False, True], ids=["infer", "stream"])
def test_values_are_what_metadata_say_however_they_look(echo: str, count: int, watched: bool) -> None:
    """Lists of one, texts that begin as pictures do, and pictures in JSON, where they are text."""
    said = {
        "text": ["RIFF and PNG", "iVBORw0KGgo=", "\x7fELF"][count],
        "words": ["/9j/ is no photo", "UklGR"][:count],
        "number": 7,
        "numbers": [3, 4][:count],
        "image": PHOTO,
        "images": [PHOTO, PHOTO][:count],
        "box": {"left": 0.5},
        "points": np.zeros((count, 2), np.float32),
    }
    with Client(echo) as client:
        answer = list(client.stream("echo", **said))[-1] if watched else client.infer("echo", **said)
    assert isinstance(answer, Answer)
    again = {name.removesuffix("_again"): value for name, value in answer.items()}
    assert np.array_equal(again.pop("points"), said.pop("points"))
    assert again == said


def test_metadata_say_what_is_no_text_and_which_pixels_are_a_picture(echo: str) -> None:
    with Client(echo) as client:
        inputs = {one.pop("name"): one for one in client.metadata("echo")["inputs"]}
    assert "content_type" not in inputs["text"]["parameters"]
    assert inputs["box"]["parameters"]["content_type"] == "application/json"
    pixels = "UINT8 [h, w, 3] or [h, w], or UINT16 [h, w]"
    for name, shape in (("image", [1]), ("images", [-1])):
        known = {"content_type": "image/*", "pixels": pixels}
        assert (inputs[name]["datatype"], inputs[name]["shape"]) == ("BYTES", shape)
        assert known.items() <= inputs[name]["parameters"].items()


def test_pictures_are_taken_as_programs_have_them(paint: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(PHOTO.data)
    photo = PHOTO.rgb()
    with Client(paint) as client:
        for one in (path, str(path), PHOTO.data, photo, np.asarray(photo)):
            assert client.infer("paint", image=one)["pictures"][0].size == PHOTO.size
        answer = client.infer("paint", image=path, pictures=[path, photo])
        assert len(answer.pictures) == 4
        with pytest.raises(InvalidInput, match="image: expected a file with a picture, got 'no.png"):
            client.infer("paint", image="no.png")


def test_a_picture_has_what_its_entry_says_of_it(paint: str) -> None:
    with Client(paint) as client:
        answer = client.infer("paint", seed=3)
    assert [(one.index, one.seed, one.steered_by, one.scores) for one in answer.pictures] == [
        (1, 4, "combined", {"numbers": 1.5}),
        (0, 3, "depth", {"numbers": 0.5}),
    ]
    assert answer.timings.keys() == {"paint"}


def test_what_was_read_is_not_read_again(start: Callable[..., Server]) -> None:
    with Client(f"http://127.0.0.1:{start('--graph', 'sum').http_port}") as client:
        answer = client.infer("sum", number=1)
        assert dict(answer.priors) == {"doubled": 2}
        again = client.infer("sum", number=1, **answer.priors)
        assert again == answer
        assert again.parameters["cache_hits"] == "double"
        assert again.timings["double"] < 1


def test_the_client_without_async_works_where_a_loop_runs(paint: str) -> None:
    async def main() -> list[int]:
        with Client(paint) as client:
            return [len(client.infer("paint", seed=3).pictures), len(list(client.stream("paint", seed=3)))]

    assert asyncio.run(main()) == [2, 4]


def test_several_answers_at_once(asleep: str) -> None:
    async def main() -> list[float]:
        async with AsyncClient(asleep) as client:
            answers = await asyncio.gather(*(client.infer("m", seconds=n / 100) for n in range(5)))
        return [answer["slept"] for answer in answers]

    assert asyncio.run(main()) == [0.0, 0.01, 0.02, 0.03, 0.04]


def test_errors_are_the_servers(asleep: str) -> None:
    with Client(asleep) as client:
        with pytest.raises(ImagegraphError, match="seconds: expected a valid number") as caught:
            client.infer("m", seconds="soon")
        assert caught.value.status == 400
        assert isinstance(caught.value, InvalidInput)
        assert (caught.value.field, caught.value.got, caught.value.node) == ("seconds", "4 bytes", "asleep")
        with pytest.raises(UnknownName, match="unknown predictor 'x'. Available: default"):
            client.infer("m", seconds=0.0, predictor="x")
        with pytest.raises(DeadlineExceeded):
            client.infer("m", seconds=20.0, timeout_s=0.3)
    with Client("http://127.0.0.1:1") as nowhere:
        assert not nowhere.ready()
        with pytest.raises(Unavailable, match="cannot reach"):
            nowhere.infer("m")
