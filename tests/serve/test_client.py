"""The Python client against a real server."""

import asyncio
from collections.abc import Callable

import pytest

from imagegraph.catalogue import ROOT
from imagegraph.client import AsyncClient, Client
from imagegraph.errors import DeadlineExceeded, ImagegraphError, Unavailable
from imagegraph.image import Image
from tests.serve.conftest import Server

PHOTO = Image((ROOT / "pocket" / "examples" / "photo.jpg").read_bytes())


@pytest.fixture(scope="module")
def asleep(start: Callable[..., Server]) -> str:
    return f"http://127.0.0.1:{start('--component', 'asleep').http_port}"


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
        with pytest.raises(DeadlineExceeded):
            client.infer("m", seconds=20.0, timeout_s=0.3)
    with Client("http://127.0.0.1:1") as nowhere:
        assert not nowhere.ready()
        with pytest.raises(Unavailable, match="cannot reach"):
            nowhere.infer("m")
