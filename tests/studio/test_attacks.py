"""What somebody may try: each of it is refused or does no harm."""

import contextlib
import io
import json
import socket
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import PngImagePlugin

from imagegraph.run.provenance import KEY
from studio.api import downloads, guard
from studio.api.guard import AT_ONCE, BODIES, WAITING
from studio.settings import Token
from studio.store import gallery
from studio.store.database import CONNECTIONS
from studio.store.provenance import OTHERS
from tests.studio.serving import SCENE, Studio, running, settings, wait_for

OTHER = {"name": "painter", "bundle": "b", "port": "pictures", "picture": 0}
EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def upload(studio: Studio, data: bytes, name: str = "x.png") -> Any:
    return studio.post("/api/pictures", files={"files": (name, data)})


def png(**text: str) -> bytes:
    about = PngImagePlugin.PngInfo()
    for key, value in text.items():
        about.add_itxt(key, value)
    buffer = io.BytesIO()
    Pillow.fromarray(np.full((32, 32, 3), 7, np.uint8)).save(buffer, "PNG", pnginfo=about)
    return buffer.getvalue()


def bomb(side: int) -> bytes:
    """Returns a PNG that says to be huge, in few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(side), 9) * 2
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data",
    [
        SVG,
        b"<html>" + EVIL.encode(),
        b"GIF89a" + bytes(100),
        b"%PDF-1.4",
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff" + bytes(20),
        bomb(60_000),
        bomb(2**31 - 1),
        SCENE.read_bytes()[:200],
        SVG.rjust(5000),
    ],
    ids=["svg", "html", "gif", "pdf", "empty", "only-magic", "no-jpeg", "bomb", "huge", "cut", "late-svg"],
)
def test_what_is_no_picture_or_too_large_is_refused(studio: Studio, data: bytes) -> None:
    answer = upload(studio, data)
    assert answer.status_code in (400, 413, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_picture_with_a_page_in_it_is_served_as_a_picture_that_runs_nothing(studio: Studio) -> None:
    data = png(**{"comment": EVIL}) + EVIL.encode()
    (picture,) = upload(studio, data, f"../../{EVIL}.html").json()
    for url in (picture["url"], picture["thumbnail"], f"/api/contents/{picture['hash']}"):
        answer = studio.get(url)
        assert answer.headers["content-type"].startswith("image/")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    saved = studio.get(picture["url"], params={"download": True}).headers["content-disposition"]
    assert saved == f'attachment; filename="upload-{picture["id"]}.png"'


def test_html_in_words_stays_words(studio: Studio) -> None:
    job = studio.run("painter", {"prompt": EVIL})
    picture = job["pictures"][0]
    url = f"/api/pictures/{picture['id']}"
    assert studio.patch(url, json={"note": EVIL}).json()["note"] == EVIL
    assert studio.post("/api/boards", json={"name": EVIL}).json()["name"] == EVIL
    for path in (url, "/api/boards", "/api/pictures", f"/api/jobs/{job['id']}"):
        answer = studio.get(path)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    refused = studio.get(f"/api/graphs/{EVIL.replace('/', '')}")
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "record",
    [
        EVIL,
        "{}",
        "[" * 100_000,
        json.dumps({"name": EVIL, "bundle": "../..", "graph": {"name": "a"}, "nodes": {}, "parameters": {}}),
        json.dumps({"name": "painter", "bundle": "b", "graph": {"name": "a"}, "nodes": {}, "sources": {},
                    "picture": 0, "parameters": {"prompt": "\x00", "image": "/etc/passwd"}}),
        json.dumps({"name": "painter", "bundle": "b", "graph": {"name": "a"}, "nodes": {}, "sources": {},
                    "picture": 0, "parameters": {"seed": 1e400, "prompt": "\ud800"}}),
        json.dumps({**OTHER, "parameters": {"seed": 10**30}}),
        json.dumps({**OTHER, "about": {"seeds": [-(2**70)]}}),
    ],
    ids=["html", "empty", "deep", "lacking", "zero", "surrogate", "large", "large-list"],
)  # fmt: skip
def test_hostile_provenance_does_no_harm(studio: Studio, record: str) -> None:
    try:
        data = png(**{KEY if "graph" in record else OTHERS: record})
    except UnicodeEncodeError:
        pytest.skip("PNG has no such text")
    answer = upload(studio, data)
    assert answer.status_code == 201
    assert studio.get(f"/api/pictures/{answer.json()[0]['id']}").status_code == 200
    assert studio.get("/api/pictures", params={"kind": "upload"}).status_code == 200
    assert studio.get("/api/pictures.zip", params={"ids": answer.json()[0]["id"]}).status_code == 200


@pytest.mark.parametrize(
    "value",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1:1/x.png",
        "https://example.org/x.png",
        "s3://bucket/x.png",
        "gopher://x",
        str(SCENE),
        {"picture": "../../etc/passwd"},
        {"picture": ["x"]},
        {"url": "http://127.0.0.1/"},
        {"path": "/etc/passwd"},
        17,
        ["/etc/passwd"],
    ],
    ids=str,
)
def test_no_path_and_no_address_is_read_for_a_picture(studio: Studio, value: Any) -> None:
    answer = studio.post("/api/graphs/paint/jobs", json={"inputs": {"image": value}})
    assert answer.status_code in (400, 404), answer.text
    assert "root:" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2f..%2fetc/passwd",
        "/assets/../../settings.py",
        "/assets/%2e%2e/%2e%2e/app.py",
        "//etc/passwd",
        "/api/contents/..%2f..%2fstudio.sqlite",
        "/api/contents/" + "." * 64,
        "/api/pictures/..%2f..%2fstudio.sqlite/file",
        "/api/exports/..%2fpreferences.parquet",
        "/%00",
        "/api/jobs/%00",
        "/api/boards/%ff",
    ],
)
def test_no_path_leads_out(studio: Studio, path: str) -> None:
    answer = studio.get(path)
    assert answer.status_code in (400, 404, 405, 422), answer.text
    assert "root:" not in answer.text
    assert "import" not in answer.text


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "x" * 2001], ids=["zero", "surrogate", "long"])
def test_text_that_no_database_takes_is_refused(studio: Studio, text: str) -> None:
    body = json.dumps({"inputs": {"prompt": text}})
    headers = {"Content-Type": "application/json"}
    assert studio.post("/api/graphs/painter/jobs", content=body, headers=headers).status_code == 400
    note = json.dumps({"note": text * 10})
    picture = studio.run("painter", {})["pictures"][0]["id"]
    assert studio.patch(f"/api/pictures/{picture}", content=note, headers=headers).status_code == 422
    assert studio.get("/api/pictures", params={"graph": "a\x00b"}).status_code == 422


@pytest.mark.parametrize(
    "body",
    [b"[" * 50_000, b'{"inputs": 1e999}', b'{"inputs": {"seed": ' + b"9" * 5000 + b"}}", b"\xff", b"{"],
)
def test_hostile_json_is_refused(studio: Studio, body: bytes) -> None:
    for path in ("/api/graphs/painter/jobs", "/api/boards", "/api/generate"):
        answer = studio.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 404, 422), answer.text


def test_inputs_are_no_place_to_keep_megabytes_in(studio: Studio) -> None:
    before = studio.get("/api/jobs").json()["total"]
    for inputs in ({"prompt": "x" * 2**20}, {"steps": [0] * 2**19}):
        answer = studio.post("/api/graphs/painter/jobs", json={"inputs": inputs})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (413, "inputs")
    assert studio.get("/api/jobs").json()["total"] == before


def test_many_large_bodies_at_once_do_not_fill_the_memory(tmp_path: Path) -> None:
    body = b"-" * (2**20 - 200)
    head = f"POST /api/boards HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2**20}\r\n\r\n".encode()
    with running(settings(tmp_path, body_mib=1)) as studio, contextlib.ExitStack() as stack:
        address = studio.base_url.host, int(studio.base_url.port or 0)

        def send() -> socket.socket:
            one = stack.enter_context(socket.create_connection(address, 30))
            one.sendall(head + body)
            return one

        slow = [send() for _ in range(BODIES)]  # none of them ends
        refused = wait_for(lambda: (got := send().recv(4096)).startswith(b"HTTP/1.1 503") and got)
        assert b"retry-after: 1" in refused.lower()
        assert studio.get("/api/boards").status_code == 200
        for one in slow:
            one.close()
        assert wait_for(lambda: studio.post("/api/boards", json={"name": "mine"}).status_code in (201, 409))


def test_an_archive_does_not_fill_the_disk(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    studio.run("painter", {"prompt": "large"})
    assert studio.get("/api/pictures.zip", params={"q": "large"}).status_code == 200
    monkeypatch.setattr(downloads, "MOST_BYTES", 10)
    refused = studio.get("/api/pictures.zip", params={"q": "large"})
    assert refused.status_code == 413
    assert "GiB" in refused.json()["detail"]


def test_a_name_that_leads_here_is_none_of_ours(studio: Studio) -> None:
    answer = studio.get("/api/me", headers={"Host": "evil.example"})
    assert answer.status_code == 421
    for host in ("localhost", "LocalHost:7860", "127.0.0.1:7860", "[::1]:7860"):
        assert studio.get("/api/me", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_a_strange_page_changes_nothing(studio: Studio, kind: str) -> None:
    before = studio.get("/api/jobs").json()["total"]
    headers = {"Origin": "https://evil.example", "Content-Type": kind}
    answer = studio.post("/api/graphs/painter/jobs", content=b'{"inputs": {}}', headers=headers)
    assert answer.status_code == 403
    assert studio.get("/api/jobs").json()["total"] == before


def test_every_answer_says_what_a_browser_may_do(studio: Studio) -> None:
    for path in ("/", "/api/graphs", "/api/nothing", "/gallery"):
        headers = studio.get(path).headers
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "server" not in headers


def test_words_for_a_search_are_no_language(studio: Studio) -> None:
    for words in ('"', "a OR b", "NEAR(", "said:", "a* -b", "');--", "& | !", "\\", "%", "日本", "ʼ" * 300):
        assert studio.get("/api/pictures", params={"q": words}).status_code == 200, words


def test_nothing_is_written_outside_the_store(studio: Studio, tmp_path: Path) -> None:
    upload(studio, png(), "../../../../tmp/evil.png")
    upload(studio, png(), str(tmp_path / "evil.png"))
    assert not list(tmp_path.iterdir())
    assert not Path("/tmp/evil.png").exists()


def test_a_fault_of_ours_says_nothing_to_the_client_and_all_to_the_log(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("a name of ours")

    monkeypatch.setattr(gallery, "page", broken)
    answer = studio.get("/api/pictures")
    assert (answer.status_code, answer.json()["detail"]) == (500, "KeyError")
    (told,) = (one for one in caplog.records if one.name == "studio.api")
    assert told.getMessage() == "GET /api/pictures"
    assert told.exc_info
    assert told.exc_info[0] is KeyError


def noise(side: int) -> bytes:
    """Returns a picture that no compression makes smaller."""
    pixels = np.random.default_rng(side).integers(0, 255, (side, side, 3), np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "PNG", compress_level=0)
    return file.getvalue()


def slow(stack: contextlib.ExitStack, studio: Studio, path: str, expected: bytes = b"200") -> socket.socket:
    """Asks for something and reads only how its answer begins."""
    url = studio.base_url
    one = stack.enter_context(socket.socket())
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.settimeout(60)
    one.connect((url.host, url.port))
    one.sendall(f"GET {path} HTTP/1.1\r\nHost: {url.host}\r\n\r\n".encode())
    assert one.recv(12) == b"HTTP/1.1 " + expected
    return one


def test_who_reads_slowly_keeps_nobody_waiting(studio: Studio) -> None:
    upload(studio, noise(1800))
    with contextlib.ExitStack() as stack:
        for _ in range(AT_ONCE + 1):
            slow(stack, studio, "/api/pictures.zip")
        for _ in range(AT_ONCE):
            assert studio.get("/api/boards").status_code == 200


@pytest.mark.parametrize("path", ["/api/exports/ratings.jsonl", "/api/exports/ratings.parquet"])
def test_who_reads_slowly_holds_no_connection_to_the_database(
    studio: Studio, path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setitem(guard.MOST_EACH, "downloads", CONNECTIONS + 1)
    (picture,) = upload(studio, noise(1200)).json()
    studio.put(f"/api/pictures/{picture['id']}/rating", json={"stars": 5})
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS + 1):
            slow(stack, studio, path)
        assert studio.post("/api/boards", json={"name": path}, timeout=5).status_code == 201
    wait_for(lambda: not list(tmp_path.iterdir()))  # whose readers have left, goes


def test_downloads_of_one_person_are_limited(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(guard.MOST_EACH, "downloads", 2)
    upload(studio, noise(1800))
    with contextlib.ExitStack() as stack:
        for expected in (b"200", b"200", b"429"):
            slow(stack, studio, "/api/pictures.zip", expected)
    wait_for(lambda: studio.get("/api/pictures.zip").status_code == 200)


def test_who_waits_or_sends_slowly_keeps_nobody_else_out(tmp_path: Path) -> None:
    names = ("vic", "max")
    tokens = tuple(Token(name=one, role="maker", token=f"{one}-secret") for one in names)
    known = settings(tmp_path, tokens=tokens, jobs_at_once=1)
    with running(known) as studio, contextlib.ExitStack() as stack:
        by = {one: {"Authorization": f"Bearer {one}-secret"} for one in names}
        begun = studio.post(
            "/api/graphs/painter/jobs", json={"inputs": {"steps": 1000, "step_s": 1}}, headers=by["vic"]
        ).json()
        address = studio.base_url.host, int(studio.base_url.port or 0)

        def ask(method: str, path: str, more: str, name: str = "vic") -> socket.socket:
            one = stack.enter_context(socket.create_connection(address, 30))
            said = f"Host: localhost\r\nAuthorization: Bearer {name}-secret\r\n{more}\r\n"
            one.sendall(f"{method} {path} HTTP/1.1\r\n{said}".encode())
            return one

        for _ in range(guard.MOST_EACH["waits"]):
            assert ask("GET", f"/api/jobs/{begun['id']}/events", "").recv(12) == b"HTTP/1.1 200"
        refused = studio.get(f"/api/jobs/{begun['id']}", params={"wait": 9}, headers=by["vic"])
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        for _ in range(AT_ONCE + WAITING):
            ask("PUT", f"/api/pictures/{'0' * 24}/rating", "Content-Length: 100\r\n")  # none of them ends
        # Some more, in place of those that the looks below keep out.
        for _ in range(guard.MOST_EACH["posts"] + WAITING):
            ask("POST", "/api/boards", "Content-Length: 100\r\n")
        wait_for(lambda: studio.post("/api/boards", json={"name": "x"}, headers=by["vic"]).status_code == 429)
        assert studio.get("/api/boards", headers=by["vic"]).status_code == 200, "what is short is never long"
        assert studio.get("/", headers=by["vic"]).status_code in (200, 404)
        assert studio.post("/api/boards", json={"name": "x"}, headers=by["max"]).status_code == 201
        assert ask("GET", f"/api/jobs/{begun['id']}/events", "", "max").recv(12) == b"HTTP/1.1 200"
        studio.delete(f"/api/jobs/{begun['id']}", headers=by["vic"])
