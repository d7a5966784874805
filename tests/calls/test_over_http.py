"""Nodes over HTTP, each a handler behind a socket."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
import pytest
from aiohttp import web

from imagegraph import image
from imagegraph.calls import over_grpc, over_http
from imagegraph.calls.over_grpc import GrpcCall
from imagegraph.calls.over_http import HttpCall
from imagegraph.calls.placement import PortsCall
from imagegraph.engine import walk
from imagegraph.engine.context import Context, Event
from imagegraph.errors import (
    Cancelled,
    DeadlineExceeded,
    ImagegraphError,
    Unavailable,
    Unsupported,
)
from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.signature import Signature
from imagegraph.spec.graph import Node, NodeType
from imagegraph.wire import progress_frames, tensors, v2_json
from tests import tiny

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def http(handler: Handler) -> AsyncIterator[HttpCall]:
    """An HttpCall to the nodes a and b, both behind `handler`, over a socket."""
    app = web.Application(client_max_size=2**30)
    app.router.add_post("/v2/models/{node}/{method}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses
    url = f"127.0.0.1:{runner.addresses[0][1]}"
    call = HttpCall({"a": url, "b": url})
    try:
        yield call
    finally:
        await call.close()
        await runner.cleanup()


def ask(
    handler: Handler, node: Node, message: Message | None = None, context: Context | None = None
) -> Message:
    async def main() -> Message:
        async with http(handler) as call:
            return await walk.run(node, message or Message({"x": 1}, id="7"), call, context)

    return asyncio.run(main())


async def binary(request: web.Request) -> web.Response:
    """Answers the request's own values, in binary."""
    length = request.headers.get(v2_json.HEADER_LENGTH)
    message = v2_json.decode(await request.read(), None if length is None else int(length))
    body, head = v2_json.encode(Message(message.values, message.id, request.match_info["node"]), "outputs")
    return web.Response(body=body, headers={v2_json.HEADER_LENGTH: str(head)})


def answers(body: bytes | str, status: int = 200, **headers: str) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers=headers)

    return handler


def test_messages_travel_over_a_socket_bit_by_bit():
    values = {"noise": np.random.default_rng(0).normal(size=(3, 5)), "photo": b"\xff\xd8\xff", "text": "ä"}
    answer = ask(binary, Node(name="a"), Message(values, id="7"))
    assert np.array_equal(answer.values["noise"].array(), values["noise"])
    assert answer.values["photo"].data == [b"\xff\xd8\xff"]
    assert answer.values["text"].data == ["ä".encode()]
    assert (answer.id, answer.origin) == ("7", "a")


def test_a_combiner_gets_its_childrens_answers_and_a_router_chooses():
    seen: list[tuple[str, str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        node, method = request.match_info["node"], request.match_info["method"]
        seen.append((node, method, request.headers["X-Request-Id"]))
        if method == "route":
            head = int(request.headers[v2_json.HEADER_LENGTH])
            assert v2_json.decode(await request.read(), head).values["x"].array().tolist() == [1]
            return web.json_response([1])
        if method == "aggregate":
            head = int(request.headers[v2_json.HEADER_LENGTH])
            parts = v2_json.decode_request(await request.read(), head).messages
            body, _ = v2_json.encode(Message({"parts": len(parts)}), "outputs", binary=False)
            return web.Response(body=body)
        return await binary(request)

    children = ({"name": "c"}, {"name": "a", "type": "COMBINER", "children": [{"name": "b"}]})
    root = Node.model_validate({"name": "r", "type": "ROUTER", "children": children})

    async def main() -> Message:
        async with http(handler) as call:
            call._endpoints = {name: call._endpoints["a"] for name in "abr"}
            return await walk.run(root, Message({"x": 1}, id="7"), call, Context(id="7"))

    assert asyncio.run(main()).values["parts"].array().tolist() == [1]
    assert seen == [("r", "route", "7"), ("b", "infer", "7"), ("a", "aggregate", "7")]


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, ImagegraphError, False),
        (404, ImagegraphError, False),
        (413, ImagegraphError, False),
        (429, Unavailable, True),
        (499, Cancelled, False),
        (500, ImagegraphError, False),
        (501, Unsupported, False),
        (503, Unavailable, True),
        (504, DeadlineExceeded, False),
    ],
)
@pytest.mark.parametrize("body", ['{"error": "steps: too many"}', "steps: too many", b"steps: too many\xff"])
def test_a_nodes_error_keeps_status_and_words(status, kind, retryable, body):
    with pytest.raises(kind, match="node 'a': steps: too many") as caught:
        ask(answers(body, status), Node(name="a"))
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.retryable) == (status, retryable)


@pytest.mark.parametrize(
    "handler",
    [
        answers("<html>"),
        answers(b""),
        answers(b"\xff\xfe"),
        answers("[]"),
        answers("{}"),
        answers('{"outputs": [{}]}'),
        answers('{"outputs": []}', **{v2_json.HEADER_LENGTH: "many"}),
        answers('{"outputs": []}', **{v2_json.HEADER_LENGTH: "99"}),
        answers('{"outputs": []}', **{v2_json.HEADER_LENGTH: "²"}),
    ],
)
def test_an_answer_that_is_no_v2_is_the_nodes_fault(handler):
    with pytest.raises(ImagegraphError, match=r"node 'a': answered") as caught:
        ask(handler, Node(name="a"))
    assert caught.value.status == 500


@pytest.mark.parametrize("body", ["", "0", "[]", "[0, 1]", "[true]", "[0.0]", '["0"]', '{"data": 0}', "[0"])
def test_a_route_that_is_no_index_is_the_nodes_fault(body):
    root = Node.model_validate({"name": "a", "type": "ROUTER", "children": [{"name": "b"}]})
    with pytest.raises(ImagegraphError, match="node 'a': answered .* not a JSON list of one index"):
        ask(answers(body), root)


def test_a_node_of_another_make_answers_a_watched_request_as_ever():
    heard: list[Event] = []

    async def handler(request: web.Request) -> web.Response:
        assert request.headers["X-Progress"] == "true"
        return await binary(request)

    answer = ask(handler, Node(name="a"), context=Context(listener=heard.append))
    assert answer.values["x"].array().tolist() == [1]
    assert [event.kind for event in heard] == ["started", "finished"]


def test_steps_are_told_as_they_come_and_the_answer_behind_them_is_whole():
    picture = bytes(range(256)) * 40_000
    heard: list[Event] = []
    halfway = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": progress_frames.FRAMES})
        await stream.prepare(request)
        for message in (progress_frames.step(0, 2, None), progress_frames.step(1, 2, b"png")):
            await stream.write(progress_frames.frame(*v2_json.encode(message, "outputs")))
        await asyncio.wait_for(halfway.wait(), 10)
        await stream.write(progress_frames.frame(*v2_json.encode(Message({"photo": picture}), "outputs")))
        return stream

    def listen(event: Event) -> None:
        heard.append(event)
        if event.done == 1:
            halfway.set()

    answer = ask(handler, Node(name="a"), context=Context(listener=listen))
    assert answer.values["photo"].data == [picture]
    assert [(event.kind, event.done, event.total) for event in heard[1:3]] == [
        ("progress", 0, 2),
        ("progress", 1, 2),
    ]
    assert heard[1].preview is None
    assert heard[2].preview().data == b"png"


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"", Unavailable, "ended without an answer"),
        (
            progress_frames.frame(*v2_json.encode(progress_frames.step(0, 2, None), "outputs"))[:-3],
            Unavailable,
            "ended without",
        ),
        (progress_frames.frame(b"{}", 2), ImagegraphError, "answered no V2 response"),
        (
            progress_frames.frame(*v2_json.encode(progress_frames.failure(503, "no room"), "outputs")),
            Unavailable,
            "no room",
        ),
        (
            progress_frames.frame(*v2_json.encode(progress_frames.failure(400, "steps: many"), "outputs")),
            ImagegraphError,
            "steps: m",
        ),
    ],
)
def test_steps_that_break_off_are_the_nodes_fault(body, kind, words):
    handler = answers(body, **{"Content-Type": progress_frames.FRAMES})
    with pytest.raises(kind, match=f"node 'a': .*{words}") as caught:
        ask(handler, Node(name="a"), context=Context(listener=lambda event: None))
    assert type(caught.value) is kind


def test_a_node_that_nobody_serves_is_unavailable():
    async def main() -> None:
        call = HttpCall({"a": "127.0.0.1:1"})
        with pytest.raises(Unavailable, match="node 'a': cannot reach http://127.0.0.1:1/v2"):
            await walk.run(Node(name="a"), Message({}), call)
        with pytest.raises(ImagegraphError, match="node 'c': no endpoint; endpoints: .'a'"):
            await walk.run(Node(name="c"), Message({}), call)

    asyncio.run(main())


@pytest.mark.parametrize("kind", [HttpCall, GrpcCall])
def test_nodes_that_are_not_there_or_silent_are_not_ready(kind, monkeypatch):
    monkeypatch.setattr(over_http, "ANSWER_S", 0.2)
    monkeypatch.setattr(over_grpc, "ANSWER_S", 0.2)

    async def main(silent: str) -> list[str]:
        call = kind({"gone": "127.0.0.1:1", "silent": silent}, {})
        try:
            return await call.unready()
        finally:
            await call.close()

    with socket.create_server(("127.0.0.1", 0)) as server:  # that accepts, and says nothing
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert asyncio.run(asyncio.wait_for(main(address), 20)) == ["gone", "silent"]


def test_a_node_that_comes_back_within_a_second_costs_no_request():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    async def main() -> Message:
        app = web.Application()
        app.router.add_post("/v2/models/{node}/{method}", binary)
        runner = web.AppRunner(app)
        await runner.setup()
        call = HttpCall({"a": f"127.0.0.1:{port}"})
        asked = asyncio.create_task(walk.run(Node(name="a"), Message({"number": 1}), call))
        await asyncio.sleep(0.2)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            return await asked
        finally:
            await call.close()
            await runner.cleanup()

    assert asyncio.run(main()).values["number"].array().item() == 1


def test_a_connection_that_breaks_is_unavailable():
    async def handler(request: web.Request) -> web.Response:
        assert request.transport
        request.transport.close()
        return web.Response()

    with pytest.raises(Unavailable, match="node 'a': cannot reach"):
        ask(handler, Node(name="a"))


def test_a_node_that_takes_too_long_is_out_of_time():
    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(9)
        return web.Response()

    start = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="a"):
        ask(handler, Node(name="a"), context=Context(deadline=start + 0.1))

    async def directly() -> None:
        async with http(handler) as call:
            with pytest.raises(DeadlineExceeded, match="no answer from http"):
                await call.infer(Node(name="a"), Message({}), Context(deadline=time.monotonic() + 0.1))
            with pytest.raises(DeadlineExceeded, match="before the call"):
                await call.infer(Node(name="a"), Message({}), Context(deadline=time.monotonic() - 1))

    asyncio.run(directly())
    assert time.monotonic() - start < 5


def test_what_a_node_does_not_read_stays_here_untouched():
    large = tensors.of(b"\xff" * 10_000_000)
    bodies: list[int] = []

    async def handler(request: web.Request) -> web.Response:
        bodies.append(len(await request.read()))
        answered = Message({"doubled": 4, "number": 2, "more": 1}, origin="a")
        return web.Response(body=v2_json.encode(answered, "outputs", binary=False)[0])

    async def main() -> Message:
        async with http(handler) as call:
            node = Node(name="a", entry="double", type=NodeType.TRANSFORMER)
            frugal = PortsCall(call, {"double": Signature.of(tiny.Double)})
            return await walk.run(node, Message({"number": 2, "photo": large}), frugal)

    answer = asyncio.run(main())
    assert answer.values["photo"] is large, "the very same object: nobody looked into it"
    assert set(answer.values) == {"number", "photo", "doubled"}, "and a node writes its own outputs only"
    assert len(bodies) == 1
    assert bodies[0] < 1000


@pytest.mark.parametrize("broken", [1, 2])
def test_a_connection_that_breaks_unanswered_is_tried_once_more(broken):
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.match_info["node"])
        if len(seen) <= broken:
            assert request.transport
            request.transport.close()
        return await binary(request)

    if broken == 1:
        assert ask(handler, Node(name="a")).values["x"].array().tolist() == [1]
    else:
        with pytest.raises(Unavailable, match="node 'a': cannot reach"):
            ask(handler, Node(name="a"))
    assert len(seen) == 2


def test_an_answer_is_never_asked_for_again():
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.match_info["node"])
        return web.Response(status=503, body='{"error": "full"}')

    with pytest.raises(Unavailable, match="node 'a': full"):
        ask(handler, Node(name="a"))
    assert seen == ["a"]


def test_a_node_has_its_own_time():
    async def handler(request: web.Request) -> web.Response:
        assert float(request.headers["x-request-timeout"]) == 0.1
        await asyncio.sleep(9)
        return web.Response()

    async def main() -> None:
        async with http(handler) as call:
            call._timeouts_s = {"a": 0.1}
            with pytest.raises(DeadlineExceeded, match="node 'a': no answer from http"):
                await walk.run(Node(name="a"), Message({"x": 1}), call)

    start = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("method", ["infer", "aggregate", "route", "grpc"])
def test_a_nodes_picture_is_encoded_for_the_next_one_off_the_loop(method, monkeypatch):
    encode = image.encode_png

    def encode_png(*arguments):
        assert threading.current_thread() is not threading.main_thread(), "encoded on the loop"
        encoded.append(encode(*arguments))
        return encoded[-1]

    encoded = []
    monkeypatch.setattr(image, "encode_png", encode_png)
    drawn = Message({"pictures": [Image.from_array(np.zeros((16, 16), np.uint8))]})

    async def main() -> None:
        call = GrpcCall({"a": "127.0.0.1:1"}, {}) if method == "grpc" else HttpCall({"a": "127.0.0.1:1"})
        ask = getattr(call, "infer" if method == "grpc" else method)
        with pytest.raises(Unavailable):
            await ask(Node(name="a"), [drawn] if method == "aggregate" else drawn, Context())
        await call.close()

    asyncio.run(main())
    assert len(encoded) == 1
