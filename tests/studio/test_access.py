"""Who may do what, and within which limits."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.settings import Settings, Token
from studio.store import gallery
from tests.studio.conftest import NewDatabase
from tests.studio.serving import SCENE, Studio, running, settings

TOKENS = (
    Token(name="ann", role="admin", token="ann-secret"),
    Token(name="max", role="maker", sha256=hashlib.sha256(b"max-secret").hexdigest()),
    Token(name="eve", role="maker", token="eve-secret"),
    Token(name="vic", role="viewer", token="vic-secret"),
)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio with tokens."""
    limits = {"user_jobs": 2, "user_mib": 1, "body_mib": 2, "megapixels": 0.2}
    with running(settings(tmp_path_factory.mktemp("closed"), tokens=TOKENS, **limits)) as client:
        yield client


def by(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}-secret"}


def test_nobody_without_a_token_is_let_in(closed: Studio) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic YW5uOnNlY3JldA=="}):
        answer = closed.get("/api/pictures", headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert closed.get("/api/health/ready").status_code == 200


def test_roles_may_do_more_and_more(closed: Studio) -> None:
    begin = {"json": {"inputs": {"prompt": "mine"}}, "params": {"wait": 20}}
    assert closed.post("/api/graphs/painter/jobs", headers=by("vic"), **begin).status_code == 403
    assert closed.post("/api/graphs/painter/load", headers=by("vic")).status_code == 403, "it takes memory"
    job = closed.post("/api/graphs/painter/jobs", headers=by("max"), **begin).json()
    assert job["owner"] == "max"
    url = f"/api/pictures/{job['pictures'][0]['id']}"
    assert closed.get(url, headers=by("vic")).status_code == 200
    assert closed.delete(url, headers=by("vic")).status_code == 403
    assert closed.delete(url, headers=by("eve")).status_code == 403, "it is another maker's"
    assert closed.delete(url, headers=by("ann")).status_code == 204
    assert closed.post(f"{url}/restore", headers=by("max")).status_code == 200
    assert closed.get("/api/me", headers=by("vic")).json()["role"] == "viewer"


def test_everybody_may_star_a_picture_but_its_note_is_its_owners(closed: Studio) -> None:
    begin = {"json": {"inputs": {"prompt": "noted"}}, "params": {"wait": 20}}
    job = closed.post("/api/graphs/painter/jobs", headers=by("max"), **begin).json()
    url = f"/api/pictures/{job['pictures'][0]['id']}"
    assert closed.patch(url, json={"note": "mine"}, headers=by("max")).json()["note"] == "mine"
    both = {"note": "eve was here", "starred": True}
    assert closed.patch(url, json=both, headers=by("eve")).status_code == 403
    shown = closed.get(url, headers=by("eve")).json()
    assert (shown["note"], shown["starred"]) == ("mine", False), "nothing of it is done"
    assert closed.patch(url, json={"starred": True}, headers=by("eve")).json()["starred"]
    assert closed.patch(url, json={"note": "by ann"}, headers=by("ann")).json()["note"] == "by ann"


def test_a_cookie_stands_for_the_token_and_no_other_page_may_use_it(closed: Studio) -> None:
    assert closed.post("/api/session", json={"token": "wrong"}).status_code == 401
    answer = closed.post("/api/session", json={"token": "max-secret"})
    cookie = answer.headers["set-cookie"].lower()
    assert answer.status_code == 204
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    jar = {"Cookie": "studio_token=max-secret"}
    assert closed.get("/api/me", headers=jar).json()["name"] == "max"
    for origin in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        answer = closed.post("/api/boards", json={"name": "x"}, headers={**jar, **origin})
        assert answer.status_code == 403
    own = {"Origin": str(closed.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert closed.post("/api/boards", json={"name": "x"}, headers={**jar, **own}).status_code == 201
    closed.cookies.clear()


def test_jobs_at_once_are_limited_for_each_person(closed: Studio) -> None:
    slow = {"inputs": {"step_s": 0.2, "steps": 200}}
    url = "/api/graphs/painter/jobs"
    ids = [closed.post(url, json=slow, headers=by("eve")).json()["id"] for _ in range(2)]
    refused = closed.post(url, json=slow, headers=by("eve"))
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    other = closed.post(url, json=slow, headers=by("max"))
    assert other.status_code == 202
    for id in (*ids, other.json()["id"]):
        assert closed.delete(f"/api/jobs/{id}", headers=by("ann")).status_code == 202


def test_who_has_no_room_is_told_before_anything_is_drawn_and_nothing_is_half_kept(tmp_path: Path) -> None:
    url, scene = "/api/graphs/painter/jobs", SCENE.read_bytes()
    with running(settings(tmp_path, user_mib=1, jobs_at_once=1)) as studio:
        fill = scene + bytes(2**20 - 1 - len(scene))  # a picture that leaves a single byte
        (filling,) = studio.post("/api/pictures", files={"files": fill}).raise_for_status().json()
        again = studio.post("/api/pictures", files={"files": fill})
        assert again.status_code == 201, "it is there already"
        begun, waiting = (
            studio.post(url, json={"inputs": {"variants": 4, "step_s": 0.2, "seed": seed}}).json()["id"]
            for seed in (100, 200)
        )
        drawn = studio.get(f"/api/jobs/{begun}", params={"wait": 60}).json()
        assert (drawn["state"], len(drawn["pictures"])) == ("done", 4), "what was begun is kept whole"
        failed = studio.get(f"/api/jobs/{waiting}", params={"wait": 60}).json()
        assert (failed["state"], failed["pictures"]) == ("failed", [])
        assert failed["error"]["allowed_bytes"] == 2**20 < failed["error"]["used_bytes"]
        refused = studio.post(url, json={"inputs": {}})
        assert (refused.status_code, refused.headers["content-type"]) == (413, "application/problem+json")
        told = refused.json()
        assert told["used_bytes"] > told["allowed_bytes"] == 2**20
        assert told["errors"][0]["field"] == "stored_mib"
        assert studio.get("/api/jobs").json()["total"] == 2
        assert studio.get("/api/me").json()["limits"]["stored_mib_used"] >= 1
        assert studio.delete(f"/api/pictures/{filling['id']}").status_code == 204
        assert studio.run("painter", {"prompt": "room again"})["state"] == "done"


def test_stored_bytes_bodies_and_pixels_are_limited(closed: Studio) -> None:
    import numpy as np

    from imagegraph.image import Image

    rng = np.random.default_rng(0)

    def upload(height: int, width: int) -> int:
        noise = Image.from_array(rng.integers(0, 256, (height, width, 3), np.uint8)).data
        return closed.post("/api/pictures", files={"files": noise}, headers=by("max")).status_code

    assert [upload(440, 440), upload(440, 440)] == [201, 413], "one MiB for each"
    assert upload(500, 500) == 413, "too many pixels"
    assert upload(1000, 800) == 413, "too large a body"
    stream = closed.post("/api/pictures", content=(bytes(2**20) for _ in range(4)), headers=by("max"))
    assert stream.status_code in (413, 422), "a body whose length nobody says"


def test_no_way_leads_past_the_limit_of_stored_bytes(tmp_path: Path, new_database: NewDatabase) -> None:
    scene = SCENE.read_bytes()
    first, second = (scene + bytes([place]) * (600_000 - len(scene)) for place in (1, 2))
    known = settings(tmp_path, user_mib=1, database=new_database())

    def upload(data: bytes) -> Any:
        return studio.post("/api/pictures", files={"files": data})

    def stored() -> set[str]:
        folder = known.data / "pictures"
        return {one.name for one in folder.rglob("*") if one.is_file() and "thumbnails" not in str(one)}

    with running(known) as studio:
        (one,) = upload(first).json()
        before = stored()
        assert upload(second).status_code == 413
        assert stored() == before, "nothing of what is refused is stored"
        studio.delete(f"/api/pictures/{one['id']}")
        (other,) = upload(second).json()
        again = [
            upload(first),
            studio.post(f"/api/pictures/{one['id']}/restore"),
            studio.post("/api/pictures/changes", json={"ids": [one["id"], other["id"]], "deleted": False}),
        ]
        assert [answer.status_code for answer in again] == [413] * 3
        assert again[1].json()["allowed_bytes"] == 2**20
        assert studio.get("/api/pictures").json()["total"] == 1
        studio.delete(f"/api/pictures/{other['id']}")
        both = studio.post("/api/pictures/changes", json={"ids": [one["id"], other["id"]], "deleted": False})
        assert both.status_code == 413, "there is room for one of them"
        assert upload(first).json()[0]["id"] == one["id"]


def test_requests_a_minute_are_limited(tmp_path: Path) -> None:
    with running(settings(tmp_path, tokens=TOKENS, user_requests=5)) as studio:
        answers = [studio.get("/api/me", headers=by("max")) for _ in range(7)]
        assert [one.status_code for one in answers] == [200] * 5 + [429] * 2
        assert 0 < int(answers[-1].headers["retry-after"]) <= 61
        assert answers[-1].json()["status"] == 429
        assert studio.get("/api/me", headers=by("eve")).status_code == 200


def test_a_header_is_believed_of_a_trusted_proxy_alone(tmp_path: Path) -> None:
    header = {"X-Forwarded-User": "ann", "X-Forwarded-For": "10.0.0.1"}
    known = {"user_header": "X-Forwarded-User", "admins": ("ann",)}
    with running(settings(tmp_path / "a", trusted_proxies=("127.0.0.0/8",), **known)) as studio:
        assert studio.get("/api/me", headers=header).json()["role"] == "admin"
        assert studio.get("/api/me", headers={"X-Forwarded-User": "bob"}).json()["role"] == "maker"
        assert studio.get("/api/me").status_code == 401
    with running(settings(tmp_path / "b", trusted_proxies=("10.0.0.0/8",), **known)) as studio:
        assert studio.get("/api/me", headers=header).status_code == 401


def test_a_proxy_tells_one_user_whom_nobody_else_can_be(tmp_path: Path) -> None:
    known = {"user_header": "X-Forwarded-User", "admins": ("Jürgen",), "trusted_proxies": ("127.0.0.0/8",)}
    with running(settings(tmp_path, **known)) as studio:

        def me(*names: str) -> Any:
            return studio.get("/api/me", headers=[(b"X-Forwarded-User", one.encode()) for one in names])

        assert me("Jürgen").json()["name"] == "Jürgen"
        assert me("Jürgen").json()["role"] == "admin"
        assert me("a" * 100).status_code == 200
        for names in (("Jürgen", "eve"), ("eve", "eve"), ("a" * 101,), ("",), ()):
            assert me(*names).status_code == 401, names
        latin = studio.get("/api/me", headers=[(b"X-Forwarded-User", "Jürgen".encode("latin-1"))])
        assert latin.status_code == 401


def test_pages_of_listed_origins_may_ask(tmp_path: Path) -> None:
    with running(settings(tmp_path, cors_origins=("https://ours.example",))) as studio:
        ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        ours = studio.options("/api/boards", headers={**ask, "Origin": "https://ours.example"})
        assert ours.headers["access-control-allow-origin"] == "https://ours.example"
        theirs = studio.options("/api/boards", headers={**ask, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in theirs.headers
        board = studio.post("/api/boards", json={"name": "x"}, headers={"Origin": "https://ours.example"})
        assert board.status_code == 201


def test_more_at_once_than_can_be_answered_are_asked_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end, page = threading.Event(), threading.Event(), gallery.page

    def slowly(*known: Any) -> Any:
        begun.set()
        may_end.wait(20)
        return page(*known)

    monkeypatch.setattr(gallery, "page", slowly)
    with running(settings(tmp_path, requests_at_once=1)) as studio:
        answers: list[int] = []
        looking = threading.Thread(target=lambda: answers.append(studio.get("/api/pictures").status_code))
        looking.start()
        assert begun.wait(10)
        busy = studio.get("/api/me")
        assert (busy.status_code, int(busy.headers["retry-after"])) == (503, 1)
        may_end.set()
        looking.join()
        assert answers == [200]
        assert studio.get("/api/me").status_code == 200


def test_a_studio_for_everybody_must_know_whom_to_let_in() -> None:
    from imagegraph.errors import InvalidInput

    for wrong in ({"host": "0.0.0.0"}, {"host": "::"}, {"user_header": "X-User"}):
        with pytest.raises(InvalidInput):
            Settings(**wrong).check()
    Settings(host="0.0.0.0", tokens=TOKENS).check()
    Settings(host="::1").check()
