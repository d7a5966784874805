"""What tests of hostile requests share: ways to send them, and what a civil answer is."""

import contextlib
import socket
from typing import Any

import grpc
import httpx
import orjson
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from imagegraph.wire.grpc_messages import pb
from tests.serve.conftest import Server, request

DEADLINE_S = 5.0
REFUSED = {400, 404, 405, 408, 411, 413, 414, 415, 431, 501}
PORTS = ("number", "ratio", "flag", "text", "words", "image", "images", "box", "points")


def examples(count: int) -> settings:
    """The same requests at every run; what a request may take is the client's deadline."""
    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.large_base_example]
    return settings(max_examples=count, derandomize=True, deadline=None, suppress_health_check=slow)


def civil(answer: httpx.Response) -> int:
    """Returns the status of an answer that is one of the two that a client can use."""
    if answer.status_code == 200:
        answer.json() if answer.headers["content-type"] == "application/json" else answer.content
    else:
        assert answer.status_code in REFUSED, answer.text
        error = answer.json()["error"]
        assert 0 < len(error) < 1000, "says what is wrong and does not send the request back"
    return answer.status_code


def post(server: Server, body: bytes, path: str = "/v2/models/m/infer", **headers: str) -> int:
    with_dashes = {name.replace("_", "-"): value for name, value in headers.items()}
    return civil(server.http.post(path, content=body, headers=with_dashes, timeout=DEADLINE_S))


TEXT = st.text(max_size=20).filter(lambda text: not any("\ud800" <= one <= "\udfff" for one in text))


def tensor(**entry: Any) -> bytes:
    entry = {"name": "number", "datatype": "INT64", "shape": [1], "data": [1], **entry}
    return orjson.dumps({"inputs": [entry]})


def exchange(server: Server, *parts: bytes, end: bool = False, wait_s: float = DEADLINE_S) -> bytes:
    """Sends bytes as they are and returns what comes back until the connection rests or ends."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=wait_s) as line:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                line.sendall(part)
            if end:
                line.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while chunk := line.recv(65536):
                answer = (answer + chunk).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
                head, found, body = answer.partition(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
                if found and length and len(body) >= int(length):
                    break
        return answer


GOOD = orjson.dumps(request(number=1))
HEAD = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\n"
SIZED = HEAD + b"Content-Length: %d\r\n" % len(GOOD)


def ask(line: grpc.Channel, message: Any, **metadata: str) -> grpc.StatusCode:
    """Sends a ModelInferRequest, or bytes in its place; returns the code of the answer."""
    call = line.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer",
        request_serializer=lambda one: one if isinstance(one, bytes) else one.SerializeToString(),
        response_deserializer=pb.ModelInferResponse.FromString,
    )
    try:
        call(message, timeout=DEADLINE_S, metadata=[*metadata.items()])
        return grpc.StatusCode.OK
    except grpc.RpcError as error:
        code, details = error.code(), error.details()
    assert len(details) < 1000
    return code


ANSWERED = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
