"""The same, asked for by many at once: done once, and nobody is told of a fault."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagegraph.image import Image
from studio.settings import Token
from studio.store import decoding
from tests.studio.conftest import NewDatabase
from tests.studio.painter import paint
from tests.studio.serving import Studio, running, settings

MANY = 12
ROUNDS = 4  # who meets whom is left to chance


def at_once(studio: Studio, ask: Callable[[httpx.Client], httpx.Response]) -> list[httpx.Response]:
    """Has many ask at the same moment."""
    clients = [httpx.Client(base_url=studio.base_url, timeout=60) for _ in range(MANY)]
    for one in clients:
        one.get("/api/health/ready")  # so that all are connected
    with ThreadPoolExecutor(MANY) as pool:
        answers = list(pool.map(ask, clients))
    for one in clients:
        one.close()
    return answers


@pytest.mark.parametrize("round", range(ROUNDS))
def test_one_picture_that_comes_many_times_is_one(studio: Studio, round: int) -> None:
    data = paint(5000 + round).data
    answers = at_once(studio, lambda client: client.post("/api/pictures", files={"files": data}))
    assert Counter(one.status_code for one in answers) == {201: MANY}
    assert len({one.json()[0]["id"] for one in answers}) == 1


@pytest.mark.parametrize("round", range(ROUNDS))
def test_stars_boards_and_pictures_on_them_are_noted_once(studio: Studio, round: int) -> None:
    (picture,) = studio.post("/api/pictures", files={"files": paint(6000 + round).data}).json()
    url = f"/api/pictures/{picture['id']}/rating"
    rated = at_once(studio, lambda client: client.put(url, json={"stars": 4}))
    assert Counter(one.status_code for one in rated) == {200: MANY}
    named = at_once(studio, lambda client: client.post("/api/boards", json={"name": f"many {round}"}))
    assert Counter(one.status_code for one in named) == {201: 1, 409: MANY - 1}
    (board,) = (one.json()["id"] for one in named if one.status_code == 201)
    ids = {"ids": [picture["id"]]}
    put = at_once(studio, lambda client: client.put(f"/api/boards/{board}/pictures", json=ids))
    assert {(one.status_code, one.json()["count"]) for one in put} == {(200, 1)}
    changes = {**ids, "stars": 2, "board": board, "starred": True}
    changed = at_once(studio, lambda client: client.post("/api/pictures/changes", json=changes))
    assert Counter(one.status_code for one in changed) == {200: MANY}


@pytest.mark.parametrize("round", range(ROUNDS))
def test_what_is_deleted_meanwhile_is_not_there(studio: Studio, round: int) -> None:
    (picture,) = studio.post("/api/pictures", files={"files": paint(7000 + round).data}).json()
    board = studio.post("/api/boards", json={"name": f"gone {round}"}).json()["id"]
    turns = iter(range(MANY))

    def ask(client: httpx.Client) -> Any:
        match next(turns) % 3:
            case 0:
                return client.delete(f"/api/boards/{board}")
            case 1:
                return client.patch(f"/api/boards/{board}", json={"name": "other"})
            case _:
                return client.put(f"/api/boards/{board}/pictures", json={"ids": [picture["id"]]})

    assert {one.status_code for one in at_once(studio, ask)} <= {200, 204, 404, 409}


def test_so_many_pixels_are_decoded_at_once_and_no_more(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "HERE", decoding.Pixels(2 * 32 * 32))
    lock, own, most, now = threading.Lock(), Image.own, 0, 0

    def counted(image: Image) -> Any:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with lock:
            now -= 1
        return own(image)

    monkeypatch.setattr(Image, "own", counted)
    left = iter(range(MANY))
    answers = at_once(
        studio,
        lambda client: client.post("/api/pictures", files={"files": paint(8000 + next(left)).data}),
    )
    assert Counter(one.status_code for one in answers) == {201: MANY}
    assert most == 2


def test_uploads_at_once_do_not_pass_the_limit_of_stored_bytes(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    token = Token(name="max", token="max-secret")
    known = settings(tmp_path, user_mib=1, tokens=(token,), database=new_database())
    scene = paint(1).data
    pictures = [scene + bytes([place]) * (400_000 - len(scene)) for place in range(MANY)]
    with running(known) as studio:
        left = iter(pictures)
        headers = {"Authorization": "Bearer max-secret"}
        answers = at_once(
            studio, lambda client: client.post("/api/pictures", files={"files": next(left)}, headers=headers)
        )
        assert Counter(one.status_code for one in answers) == {201: 2, 413: MANY - 2}
