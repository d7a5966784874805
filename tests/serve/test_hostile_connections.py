"""Hostile connections to a real node: broken, slow and silent ones; nobody else waits for them."""

import contextlib
import json
import socket
import time
from pathlib import Path

import pytest

from tests.serve.conftest import Server, request, resident_bytes
from tests.serve.hostile import DEADLINE_S, GOOD, HEAD, SIZED, exchange, post


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500, id="tls"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="http2"),
        pytest.param(b"\r\n" * 10 + b"GARBAGE\r\n\r\n", id="garbage"),
        pytest.param(b"POST /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", id="no ascii"),
        pytest.param(b"CONNECT example:443 HTTP/1.1\r\nHost: x\r\n\r\n", id="connect"),
        pytest.param(b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n", id="no address"),
        pytest.param(SIZED + b"Content-Length: 3\r\n\r\n" + GOOD, id="two lengths"),
        pytest.param(SIZED + b"Transfer-Encoding: chunked\r\n\r\n" + GOOD, id="length and chunks"),
        pytest.param(HEAD + b"Content-Length: -5\r\n\r\n", id="negative length"),
        pytest.param(HEAD + b"Content-Length: 1e3\r\n\r\n", id="length in words"),
        pytest.param(HEAD + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n", id="endless length"),
        pytest.param(HEAD + b"Content-Length: 9999999999\r\n\r\n", id="ten gigabytes"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nxx\r\n0\r\n\r\n", id="wrong chunk size"
        ),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc\r\n0\r\n\r\n", id="short chunk"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n", id="endless chunk"),
        pytest.param(HEAD + b"Transfer-Encoding: x\r\n\r\n" + GOOD, id="unknown transfer"),
        pytest.param(HEAD + b"A\x00B: c\r\n\r\n", id="nul in a header"),
        pytest.param(HEAD + b"No-Colon\r\n\r\n", id="header without colon"),
        pytest.param(
            SIZED + b"Inference-Header-Content-Length: %s\r\n\r\n" % (b"9" * 5000) + GOOD, id="digits"
        ),
        pytest.param(SIZED + b"X-Request-Timeout: nan\r\n\r\n" + GOOD, id="timeout nan"),
        pytest.param(SIZED + b"X-Request-Timeout: -1\r\n\r\n" + GOOD, id="timeout negative"),
        pytest.param(SIZED + b"X-Predictor: %s\r\n\r\n" % (b"x" * 5000) + GOOD, id="unknown predictor"),
        pytest.param(HEAD + b"X-A: b\r\n" * 30_000 + b"\r\n", id="many headers"),
        pytest.param(HEAD + b"X-A: " + b"b" * 1_000_000 + b"\r\n\r\n", id="long header"),
        pytest.param(b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\n\r\n", id="long path"),
    ],
)
def test_broken_http_is_refused(everything: Server, sent: bytes) -> None:
    answer = exchange(everything, sent)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 ", b"HTTP/1.1 405 ", b"HTTP/1.1 413 ")), answer
    assert post(everything, GOOD) == 200


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(SIZED + b"\r\n" + GOOD[:-5], id="half a body"),
        pytest.param(SIZED[:-7], id="half a head"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", id="half a chunk"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_a_client_that_leaves_in_the_middle_is_forgotten(everything: Server, sent: bytes) -> None:
    for end in (False, True):
        with socket.create_connection(("127.0.0.1", everything.http_port), timeout=DEADLINE_S) as line:
            line.sendall(sent)
            if end:
                line.shutdown(socket.SHUT_WR)
                assert b" 200 " not in line.recv(65536)
    assert post(everything, GOOD) == 200


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(SIZED + b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n" + GOOD, id="h2c"),
        pytest.param(SIZED + b"Expect: 100-continue\r\n\r\n" + GOOD, id="expect"),
        pytest.param(SIZED + b"X-Request-Id: a\x80\xff\r\n\r\n" + GOOD, id="request id"),
        pytest.param(SIZED + b"traceparent: 00-zz-zz-01\r\n\r\n" + GOOD, id="traceparent"),
        pytest.param(SIZED + b"Accept: text/\xff;q=x\r\n\r\n" + GOOD, id="accept"),
        pytest.param(SIZED.replace(b"/m/", b"/%00%ff%2e%2e%0d%0a/") + b"\r\n" + GOOD, id="name"),
    ],
)
def test_odd_but_lawful_http_is_answered(everything: Server, sent: bytes) -> None:
    assert b"HTTP/1.1 200 OK\r\n" in exchange(everything, sent)


def test_requests_sent_ahead_are_answered_in_order(everything: Server) -> None:
    sent = b"".join(SIZED + b"X-Request-Id: %d\r\n\r\n" % index + GOOD for index in range(50))
    with socket.create_connection(("127.0.0.1", everything.http_port), timeout=DEADLINE_S) as line:
        line.sendall(sent)
        answer = b""
        while answer.count(b"HTTP/1.1 200 OK") < 50 or not answer.endswith(b"}"):
            answer += line.recv(65536)
    ids = [int(part.split(b"\r\n")[0]) for part in answer.split(b"x-request-id: ")[1:]]
    assert ids == list(range(50))


def test_a_body_that_never_comes_ends_with_the_requests_time(hasty: Server) -> None:
    start = time.monotonic()
    answer = exchange(hasty, SIZED + b"\r\n" + GOOD[:5])
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert 0.9 < time.monotonic() - start < 3


def test_a_head_that_never_ends_closes_the_connection(hasty: Server) -> None:
    start = time.monotonic()
    assert exchange(hasty, HEAD + b"X-A: ") == b""
    assert exchange(hasty) == b""
    assert 1.8 < time.monotonic() - start < 5


LARGE = json.dumps(request(text="x" * 10_000_000)).encode()


def ask_largely(server: Server) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", server.http_port), timeout=DEADLINE_S)
    line.sendall(b"POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\n")
    line.sendall(b"Content-Length: %d\r\n\r\n" % len(LARGE) + LARGE)
    return line


def test_an_answer_that_nobody_reads_is_forgotten_with_its_connection(echo: Server) -> None:
    with ask_largely(echo) as line:
        assert line.recv(1) == b"H"

    def open_files() -> int:
        return len(list(Path(f"/proc/{echo.process.pid}/fd").iterdir()))

    before, memory = open_files(), resident_bytes(echo)
    lines = [ask_largely(echo) for _ in range(10)]
    for one in lines:
        assert one.recv(1) == b"H"
    assert open_files() > before + 5
    end = time.monotonic() + 20
    while open_files() > before and time.monotonic() < end:
        time.sleep(0.1)
    assert open_files() <= before
    assert resident_bytes(echo) - memory < 5 * len(LARGE)
    for one in lines:
        one.close()


def test_an_answer_that_is_read_slowly_arrives(echo: Server) -> None:
    start = time.monotonic()
    with ask_largely(echo) as line:
        received = b""
        while not received.endswith(b"]}"):
            time.sleep(0.2)
            received += line.recv(500_000, socket.MSG_WAITALL if len(received) < 9_000_000 else 0)
    assert time.monotonic() - start > 3, "longer than it may do nothing"
    assert received.startswith(b"HTTP/1.1 200 ")
    assert len(received) > 10_000_000


def test_slow_clients_do_not_hold_up_the_others(hasty: Server) -> None:
    slow = [socket.create_connection(("127.0.0.1", hasty.http_port), timeout=DEADLINE_S) for _ in range(200)]
    try:
        end = time.monotonic() + 3
        while time.monotonic() < end and slow:
            start = time.monotonic()
            assert post(hasty, GOOD) == 200
            assert time.monotonic() - start < 0.5
            for line in slow:
                with contextlib.suppress(ConnectionError):
                    line.sendall(b"P")
            time.sleep(0.2)
        closed = 0
        for line in slow:
            line.settimeout(0.1)
            with contextlib.suppress(TimeoutError):
                with contextlib.suppress(ConnectionError):
                    while line.recv(65536):
                        pass
                closed += 1
        assert closed == len(slow)
    finally:
        for line in slow:
            line.close()


def test_a_grpc_client_that_answers_no_ping_is_let_go(echo: Server) -> None:
    with socket.create_connection(("127.0.0.1", echo.grpc_port), timeout=20) as line:
        line.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0")
        with contextlib.suppress(ConnectionResetError):
            while line.recv(65536):
                pass  # and says nothing
