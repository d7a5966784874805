"""The page's files: compressed as they were built, and nothing beside them."""

import gzip
import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from studio.settings import Settings
from tests.studio.serving import Studio, running, settings

SCRIPT = b"console.log('page');" * 100
FIRST_LOAD = 150_000  # bytes of compressed script


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("page")
    page = folder / "dist"
    (page / "assets").mkdir(parents=True)
    (page / "index.html").write_text("<!doctype html>")
    (page / "index.html.gz").write_bytes(gzip.compress(b"<!doctype html>"))
    (page / "assets" / "index-abc.js").write_bytes(SCRIPT)
    (page / "assets" / "index-abc.js.gz").write_bytes(gzip.compress(SCRIPT))
    (page / "assets" / "index-abc.js.br").write_bytes(b"brotli")
    (page / "assets" / "plain-abc.css").write_text("a {}")
    (folder / "secret.js").write_text("secret")
    with running(settings(folder, page=page)) as client:
        yield client


def raw(served: Studio, path: str, **headers: str) -> tuple[httpx.Headers, bytes]:
    """Returns what is sent, as it is sent."""
    with served.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        return answer.headers, b"".join(answer.iter_raw())


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("identity", None),
        ("br; q=0.0, gzip;q=0", None),
    ],
)
def test_a_browser_gets_the_smallest_that_it_can_read(
    served: Studio, accepted: str, coding: str | None
) -> None:
    headers, data = raw(served, "/assets/index-abc.js", **{"Accept-Encoding": accepted})
    assert headers.get("content-encoding") == coding
    assert headers["content-type"].partition(";")[0] in ("text/javascript", "application/javascript")
    assert headers["vary"] == "Accept-Encoding"
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert int(headers["content-length"]) == len(data)
    assert {"br": data == b"brotli", "gzip": data[:2] == b"\x1f\x8b", None: data == SCRIPT}[coding]


def test_what_was_not_compressed_is_sent_as_it_is(served: Studio) -> None:
    headers, data = raw(served, "/assets/plain-abc.css", **{"Accept-Encoding": "br, gzip"})
    assert (headers.get("content-encoding"), data) == (None, b"a {}")


def test_the_page_itself_is_asked_for_again_and_sent_only_when_it_changed(served: Studio) -> None:
    both = [served.get("/", headers={"Accept-Encoding": one}) for one in ("gzip", "identity")]
    assert [one.text for one in both] == ["<!doctype html>"] * 2
    assert both[0].headers["cache-control"] == "no-cache"
    tags = [one.headers["etag"] for one in both]
    assert tags[0] != tags[1], "each coding is a representation of its own"
    for path in ("/", "/index.html"):
        again = served.get(path, headers={"Accept-Encoding": "gzip", "If-None-Match": tags[0]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tags[0]
        assert "frame-ancestors 'none'" in again.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/", "/index.html", "/assets/plain-abc.css"])
def test_a_file_is_told_of_without_being_sent(served: Studio, path: str) -> None:
    head, whole = served.head(path), served.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert {**head.headers, "date": ""} == {**whole.headers, "date": ""}
    assert served.head("/nothing.js").status_code == 404
    assert served.head("/api/me").headers["allow"] == "GET"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.js",
        "/%2e%2e/secret.js",
        "/assets/..%2f..%2fsecret.js",
        "/assets",
        "/assets/",
        "/nothing.js",
        "/assets/%00.js",
        "/" + "a" * 300,
    ],
)
def test_nothing_else_is_served(served: Studio, path: str) -> None:
    answer = served.get(path)
    assert answer.status_code == 404, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_first_load_of_the_built_page_is_small(tmp_path: Path) -> None:
    page = Settings().page
    if not (page / "index.html").is_file() and not os.environ.get("CI"):
        pytest.skip("the page is not built")
    with running(settings(tmp_path)) as studio:
        scripts = re.findall(r'(?:src|href)="(/assets/[^"]+\.js)"', studio.get("/").text)
        assert scripts
        for coding in ("br", "gzip"):
            sent = [raw(studio, one, **{"Accept-Encoding": coding}) for one in scripts]
            assert {headers["content-encoding"] for headers, _ in sent} == {coding}
            assert sum(len(data) for _, data in sent) < FIRST_LOAD
