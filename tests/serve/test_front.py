"""What stands before the work: addresses, paths, compressed bodies, offers of other protocols, pages."""

import gzip
import json
import socket
import time
import zlib
from collections.abc import Callable

import httpx
import pytest

from tests.serve.conftest import Server, outputs, request
from tests.serve.hostile import exchange

INFER = "/v2/models/m/infer"
BODY = json.dumps(request(number=21)).encode()
GZIP = gzip.compress(BODY, mtime=0)  # the same in every process that collects tests


def bare(body: bytes) -> bytes:
    return zlib.compress(body, wbits=-15)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", GZIP),
        ("x-gzip", GZIP),
        ("deflate", zlib.compress(BODY)),
        ("deflate", bare(BODY)),
        ("identity", BODY),
    ],
)
def test_a_compressed_body_is_read(double: Server, coding: str, body: bytes) -> None:
    answer = double.http.post(INFER, content=body, headers={"Content-Encoding": coding})
    assert outputs(answer) == {"doubled": [42]}


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("br", BODY, 415),
        ("zstd", BODY, 415),
        ("gzip, gzip", gzip.compress(GZIP, mtime=0), 415),
        ("gzip", BODY, 400),
        ("gzip", GZIP[:-5], 400),
        ("gzip", GZIP * 2, 400),
        ("gzip", b"", 400),
        ("deflate", b"x", 400),
        ("gzip", gzip.compress(bytes(65 * 2**20), 1, mtime=0), 413),
    ],
)
def test_a_body_that_cannot_be_inflated_is_refused(
    double: Server, coding: str, body: bytes, status: int
) -> None:
    answer = double.http.post(INFER, content=body, headers={"Content-Encoding": coding})
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]
    assert (answer.headers.get("accept-encoding") == "gzip, deflate") is (status == 415)


@pytest.mark.parametrize(
    "path", ["/nothing", "/v3", "/v2/repository/models/m/load", "/v2/models/m/explain", "/docs"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_is_answered_as_documented(double: Server, method: str, path: str) -> None:
    answer = double.http.request(method, path)
    assert (answer.status_code, list(answer.json())) == (404, ["error"])


def test_only_extensions_that_are_served_are_claimed(double: Server) -> None:
    assert double.http.get("/v2").json()["extensions"] == ["binary_tensor_data"]


def offered(*headers: bytes, body: bytes = BODY) -> bytes:
    lines = [b"POST %b HTTP/1.1" % INFER.encode(), b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", body])


H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")
LONG = b"Authorization: Bearer " + b"h2c" * 3000


@pytest.mark.parametrize(
    "headers",
    [
        H2C,
        (*H2C, LONG),
        (LONG, *H2C),
        (b"connection: upgrade", b"upgrade: websocket", b"sec-websocket-version: 13"),
        (b"Connection: keep-alive, Upgrade", b"Upgrade: h2c,websocket", b"Upgrade: x"),
    ],
)
@pytest.mark.parametrize("pieces", [1, 7])
def test_an_offer_of_another_protocol_is_declined_and_the_request_answered(
    double: Server, headers: tuple[bytes, ...], pieces: int
) -> None:
    sent = offered(*headers)
    step = len(sent) // pieces
    with socket.create_connection(("127.0.0.1", double.http_port), timeout=10) as line:
        for start in range(0, len(sent), step):
            line.sendall(sent[start : start + step])
            time.sleep(0.01)
        answer = b""
        while not answer.endswith(b"]}"):
            chunk = line.recv(65536)
            assert chunk, answer
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"[42]" in answer
        line.sendall(offered())  # the connection goes on
        assert line.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_offers_sent_ahead_are_declined_one_by_one(double: Server) -> None:
    with socket.create_connection(("127.0.0.1", double.http_port), timeout=10) as line:
        line.sendall(offered(*H2C) * 3)
        answer = b""
        while answer.count(b"[42]") < 3:
            chunk = line.recv(65536)
            assert chunk, answer
            answer += chunk


def test_what_looks_like_an_offer_is_left_alone(double: Server) -> None:
    body = json.dumps(request(number=21) | {"id": "\r\nUpgrade: h2c\r\n"}).encode()
    token = b"Authorization: Bearer h2c"
    answer = exchange(double, offered(token, *H2C, body=body))
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["id"] == "\r\nUpgrade: h2c\r\n"


def test_a_body_cannot_become_a_second_request(double: Server) -> None:
    hidden = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    answer = exchange(double, offered(*H2C, body=hidden))
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.fixture(scope="module")
def open_to_pages(start: Callable[..., Server]) -> Server:
    origins = ["--cors-origin", "https://app.example", "--cors-origin", "https://other.example"]
    return start("--component", "double", "--host", "127.0.0.1", *origins)


def test_pages_of_listed_origins_may_ask(open_to_pages: Server, double: Server) -> None:
    def ask(server: Server, origin: str) -> httpx.Response:
        return server.http.post(INFER, content=BODY, headers={"Origin": origin})

    answer = ask(open_to_pages, "https://other.example")
    assert answer.headers["access-control-allow-origin"] == "https://other.example"
    assert "x-request-id" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in ask(open_to_pages, "https://evil.example").headers
    assert "access-control-allow-origin" not in ask(double, "https://app.example").headers
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    may = open_to_pages.http.options(
        INFER, headers=asked | {"Access-Control-Request-Headers": "x-request-id"}
    )
    assert may.status_code == 200
    assert "POST" in may.headers["access-control-allow-methods"]


def connects(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
        return True
    except OSError:
        return False


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine knows no IPv6")
def test_all_addresses_are_served_unless_one_is_named(double: Server, open_to_pages: Server) -> None:
    for port in ("http_port", "grpc_port"):
        assert connects("127.0.0.1", getattr(double, port))
        assert connects("::1", getattr(double, port))
        assert connects("127.0.0.1", getattr(open_to_pages, port))
        assert not connects("::1", getattr(open_to_pages, port))
