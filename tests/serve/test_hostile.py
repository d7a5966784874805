"""Hostile requests to a real node: answered or refused in words, in time, and nothing of them stays."""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagegraph.message import DATATYPES
from imagegraph.wire.grpc_messages import pb, stubs
from tests.serve.conftest import Server, request, resident_bytes

Start = Callable[..., Server]
DEADLINE_S = 5.0
REFUSED = {400, 404, 405, 408, 411, 413, 414, 415, 431, 501}
PORTS = ("number", "ratio", "flag", "text", "words", "image", "images", "box", "points")


def examples(count: int) -> settings:
    """The same requests at every run; what a request may take is the client's deadline."""
    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.large_base_example]
    return settings(max_examples=count, derandomize=True, deadline=None, suppress_health_check=slow)


@pytest.fixture(scope="module")
def node(start: Start) -> Server:
    return start("--component", "everything")


@pytest.fixture(scope="module")
def combiner(start: Start) -> Server:
    return start("--component", "unite")


@pytest.fixture(scope="module")
def router(start: Start) -> Server:
    return start("--component", "by-size")


@pytest.fixture(scope="module")
def hasty(start: Start) -> Server:
    """A node that gives no request more than a second."""
    return start("--component", "everything", "--timeout", "1")


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
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(PORTS) | JSON,
        "datatype": st.sampled_from([*DATATYPES, "BYTES"]) | JSON,
        "shape": st.lists(st.integers(0, 3), max_size=3) | JSON,
        "data": st.lists(st.floats() | st.integers(-(2**63), 2**64 - 1) | TEXT, max_size=9) | JSON,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 40)}) | JSON,
    },
)
# Well-formed but for its values, so that it comes as far as the ports.
PLAUSIBLE = st.builds(
    lambda name, kind, data, nested: {
        "name": name,
        "datatype": kind,
        "shape": [len(data) // 2, 2] if nested and len(data) % 2 == 0 else [len(data)],
        "data": data,
    },
    st.sampled_from(PORTS),
    st.sampled_from([*DATATYPES, "BYTES"]),
    st.lists(st.integers(-300, 300), max_size=4)
    | st.lists(st.floats(width=16), max_size=4)
    | st.lists(st.booleans(), max_size=4)
    | st.lists(TEXT | JSON.map(json.dumps), max_size=4),
    st.booleans(),
)
BODY = st.fixed_dictionaries(
    {"inputs": st.lists(PLAUSIBLE, max_size=3) | st.lists(TENSOR | JSON, max_size=2)},
    optional={
        "id": JSON,
        "parameters": st.fixed_dictionaries({"binary_data_output": JSON}) | JSON,
        "outputs": st.lists(TENSOR | JSON, max_size=2) | JSON,
    },
)


@examples(400)
@given(body=BODY | JSON)
def test_any_json_is_answered_or_refused(node: Server, body: Any) -> None:
    post(node, json.dumps(body).encode())


@examples(150)
@given(instances=JSON | st.lists(st.dictionaries(st.sampled_from(PORTS), JSON), max_size=3), common=JSON)
def test_any_instances_are_answered_or_refused(node: Server, instances: Any, common: Any) -> None:
    body = {"instances": instances, "parameters": common}
    post(node, json.dumps(body).encode(), "/v1/models/m:predict")


@examples(300)
@given(body=BODY, binary=st.binary(max_size=60), lie=st.integers(-3, 3) | st.integers(-(2**70), 2**70))
def test_lies_about_binary_lengths_are_refused(node: Server, body: Any, binary: bytes, lie: int) -> None:
    head = json.dumps(body).encode()
    post(node, head + binary, inference_header_content_length=str(len(head) + lie))


@examples(300)
@given(
    kind=st.sampled_from(["INT64", "FP32", "BYTES", "BOOL", "FP16"]),
    name=st.sampled_from(PORTS),
    shape=st.lists(st.integers(0, 4) | st.integers(0, 2**40), max_size=4),
    binary=st.binary(max_size=64),
)
def test_any_raw_tensor_is_answered_or_refused(
    node: Server, kind: str, name: str, shape: list[int], binary: bytes
) -> None:
    tensor = {"name": name, "datatype": kind, "shape": shape, "parameters": {"binary_data_size": len(binary)}}
    head = orjson.dumps({"inputs": [tensor]})
    post(node, head + binary, inference_header_content_length=str(len(head)))


@examples(150)
@given(
    body=st.binary(max_size=200) | st.text(max_size=50).map(lambda text: text.encode("utf-16")),
    type_=st.sampled_from(["application/json", "text/plain", "application/x-protobuf", "?", ""]),
    encoding=st.sampled_from(["", "gzip", "br", "chunked"]),
    length=st.none() | st.text("0123456789-+e.x", max_size=30),
)
def test_any_bytes_under_any_label_are_refused(
    node: Server, body: bytes, type_: str, encoding: str, length: str | None
) -> None:
    headers = {} if length is None else {"inference_header_content_length": length}
    assert post(node, body, content_type=type_, content_encoding=encoding, **headers) != 200


@examples(200)
@given(body=JSON | st.lists(BODY, max_size=3) | st.dictionaries(TEXT, BODY, max_size=3))
def test_any_answers_are_combined_or_refused(combiner: Server, body: Any) -> None:
    post(combiner, json.dumps(body).encode(), "/v2/models/m/aggregate")
    post(combiner, json.dumps(body).encode())


@examples(100)
@given(body=BODY | JSON)
def test_any_message_is_routed_or_refused(router: Server, body: Any) -> None:
    post(router, json.dumps(body).encode(), "/v2/models/m/route")


def tensor(**entry: Any) -> bytes:
    entry = {"name": "number", "datatype": "INT64", "shape": [1], "data": [1], **entry}
    return orjson.dumps({"inputs": [entry]})


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 5_000_000, id="deep"),
        pytest.param(b'{"inputs":' * 500_000 + b"1" + b"}" * 500_000, id="deep objects"),
        pytest.param(tensor().replace(b"[1]}", b"[" * 900 + b"1,1" + b"]" * 900 + b"}"), id="nested"),
        pytest.param(tensor(shape=[0, 2**31, 2**31]), id="empty but large"),
        pytest.param(tensor(shape=[2**31 - 1]), id="more than there is"),
        pytest.param(tensor().replace(b"[1]", b"[1e400]"), id="infinite"),
        pytest.param(tensor().replace(b"[1]", b"[" + b"9" * 5_000 + b"]"), id="long number"),
        pytest.param(tensor().replace(b"[1]", b"[NaN]"), id="nan"),
        pytest.param(tensor(name="x" * 1_000_000, datatype="FP8"), id="long name"),
        pytest.param(tensor(datatype="FP" * 1_000_000), id="long datatype"),
        pytest.param(tensor(name="ratio", datatype="BYTES", data=["x" * 5_000_000]), id="long text"),
        pytest.param(tensor(name="image", datatype="BYTES", data=["A" * 5_000_000]), id="no picture"),
        pytest.param(tensor(name="box", datatype="BYTES", data=["[" * 100_000]), id="deep text"),
        pytest.param(tensor(name="box", datatype="BYTES", data=['{"a":' * 900 + "1" + "}" * 900]), id="box"),
        pytest.param(b'{"inputs":[' + b"{}," * 300_000 + b"{}]}", id="many tensors"),
        pytest.param(tensor().replace(b'"number"', b'"\xff\xfe"'), id="no utf-8"),
        pytest.param(tensor().replace(b'"number"', b'"\\ud800"'), id="half a character"),
        pytest.param(b"\xef\xbb\xbf" + tensor(name="flag"), id="byte order mark"),
    ],
)
def test_what_shall_tire_the_node_is_refused_at_once(node: Server, body: bytes) -> None:
    start = time.monotonic()
    assert post(node, body) != 200
    assert time.monotonic() - start < 2


MANY = (3000, 4000, 3)  # what a client of Triton sends as a picture


def raw(name: str, datatype: str, shape: tuple[int, ...], size: int) -> tuple[bytes, str]:
    tensor = {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}
    head = orjson.dumps({"inputs": [tensor]})
    return head + bytes(size), str(len(head))


@pytest.mark.parametrize(
    ("name", "datatype", "shape", "size", "status"),
    [
        *(
            (name, "UINT8", MANY, 36_000_000, 400)
            for name in ("number", "ratio", "flag", "text", "words", "box")
        ),
        ("seed", "FP64", (6_000_000,), 48_000_000, 400),
        ("words", "INT8", (36_000_000,), 36_000_000, 413),
        ("image", "UINT8", MANY, 36_000_000, 200),
        ("image", "UINT8", (1, *MANY), 36_000_000, 200),
        ("image", "INT8", MANY, 36_000_000, 400),
        ("text", "BYTES", (8_000_000,), 32_000_000, 413),
        ("unread", "BYTES", (8_000_000,), 32_000_000, 413),
    ],
)
def test_many_values_are_refused_or_one_picture_at_once(
    node: Server, name: str, datatype: str, shape: tuple[int, ...], size: int, status: int
) -> None:
    body, length = raw(name, datatype, shape, size)
    assert post(node, body, inference_header_content_length=length) == status
    call = pb.ModelInferRequest(raw_input_contents=[bytes(size)])
    call.inputs.add(name=name, datatype=datatype, shape=shape)
    with grpc.insecure_channel(f"127.0.0.1:{node.grpc_port}") as channel:
        done = stubs.GRPCInferenceServiceStub(channel).ModelInfer.future(call, timeout=DEADLINE_S)
        done.exception()
        assert dict(done.trailing_metadata()).get("x-status", "200") == str(status), done.details()


def test_a_picture_that_unpacks_to_gigabytes_is_refused_by_its_header(node: Server) -> None:
    header = (
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    )
    message = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1]}]}
    binary = len(header).to_bytes(4, "little") + header
    message["inputs"][0]["parameters"] = {"binary_data_size": len(binary)}
    head = orjson.dumps(message)
    assert post(node, head + binary, inference_header_content_length=str(len(head))) in (400, 413)


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
def test_broken_http_is_refused(node: Server, sent: bytes) -> None:
    answer = exchange(node, sent)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 ", b"HTTP/1.1 405 ", b"HTTP/1.1 413 ")), answer
    assert post(node, GOOD) == 200


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(SIZED + b"\r\n" + GOOD[:-5], id="half a body"),
        pytest.param(SIZED[:-7], id="half a head"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", id="half a chunk"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_a_client_that_leaves_in_the_middle_is_forgotten(node: Server, sent: bytes) -> None:
    for end in (False, True):
        with socket.create_connection(("127.0.0.1", node.http_port), timeout=DEADLINE_S) as line:
            line.sendall(sent)
            if end:
                line.shutdown(socket.SHUT_WR)
                assert b" 200 " not in line.recv(65536)
    assert post(node, GOOD) == 200


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
def test_odd_but_lawful_http_is_answered(node: Server, sent: bytes) -> None:
    assert b"HTTP/1.1 200 OK\r\n" in exchange(node, sent)


def test_requests_sent_ahead_are_answered_in_order(node: Server) -> None:
    sent = b"".join(SIZED + b"X-Request-Id: %d\r\n\r\n" % index + GOOD for index in range(50))
    with socket.create_connection(("127.0.0.1", node.http_port), timeout=DEADLINE_S) as line:
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


@pytest.fixture(scope="module")
def echo(start: Start) -> Server:
    """A node that answers what it got; nobody may do nothing for two seconds."""
    return start("--component", "source", "--type", "TRANSFORMER", "--timeout", "2")


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


@pytest.fixture(scope="module")
def line(node: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{node.grpc_port}") as channel:
        yield channel


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
CONTENTS = st.builds(
    pb.InferTensorContents,
    int64_contents=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    int_contents=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
    uint_contents=st.lists(st.integers(0, 2**32 - 1), max_size=3),
    fp32_contents=st.lists(st.floats(width=32), max_size=3),
    fp64_contents=st.lists(st.floats(), max_size=3),
    bool_contents=st.lists(st.booleans(), max_size=3),
    bytes_contents=st.lists(st.binary(max_size=20), max_size=3),
)
GRPC_TENSOR = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=st.sampled_from(PORTS) | TEXT,
    datatype=st.sampled_from([*DATATYPES, "BYTES"]) | TEXT,
    shape=st.lists(st.integers(0, 3) | st.integers(-(2**63), 2**63 - 1), max_size=4),
    contents=CONTENTS,
)
GRPC_REQUEST = st.builds(
    pb.ModelInferRequest,
    model_name=TEXT,
    id=TEXT,
    inputs=st.lists(GRPC_TENSOR, max_size=2),
    raw_input_contents=st.just([]) | st.lists(st.binary(max_size=40), max_size=3),
)


@examples(400)
@given(message=GRPC_REQUEST)
def test_any_grpc_request_is_answered_or_refused(line: grpc.Channel, message: Any) -> None:
    assert ask(line, message) in ANSWERED


@examples(100)
@given(message=st.binary(max_size=100))
def test_bytes_that_are_no_grpc_message_end_that_call_alone(line: grpc.Channel, message: bytes) -> None:
    # gRPC's own library answers what it cannot parse, and has no better code for it.
    assert ask(line, message) in {*ANSWERED, grpc.StatusCode.UNKNOWN}


def test_grpc_messages_and_metadata_are_limited(line: grpc.Channel) -> None:
    assert ask(line, b"x" * (64 * 2**20 + 1)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ask(line, pb.ModelInferRequest(), **{"x-a": "b" * 100_000}) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ask(line, pb.ModelInferRequest(), **{"x-predictor": "b" * 1000}) is grpc.StatusCode.NOT_FOUND


def test_thousands_of_hostile_requests_leave_nothing_behind(node: Server, line: grpc.Channel) -> None:
    picture = tensor(name="image", datatype="BYTES", data=["A" * 200_000])
    binary = tensor(parameters={"binary_data_size": 8})
    half = SIZED + b"\r\n" + GOOD[:-5]

    def assault(rounds: int) -> None:
        for index in range(rounds):
            assert post(node, GOOD, x_request_id=f"id-{index}") == 200
            assert post(node, tensor(name=f"name-{index}"), f"/v2/models/model-{index}/infer") == 200
            assert post(node, picture) == 400
            assert post(node, tensor(datatype="x" * 20_000)) == 400
            assert post(node, binary + bytes(8), inference_header_content_length=str(len(binary))) == 200
            assert post(node, GOOD, x_predictor=f"predictor-{index}") == 404
            assert node.http.get(f"/nothing/{index}").status_code == 404
            with socket.create_connection(("127.0.0.1", node.http_port), timeout=DEADLINE_S) as leaving:
                leaving.sendall(half)
            assert ask(line, pb.ModelInferRequest(model_name=f"m-{index}", id=f"{index}")) in ANSWERED

    assault(100)  # pools and caches fill
    before = resident_bytes(node)
    assault(300)
    assert resident_bytes(node) - before < 8 * 2**20
    assert f"name-{1}" not in node.http.get("/metrics").text
