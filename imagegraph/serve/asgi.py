"""A small ASGI application with an explicit table of routes: reads requests, sends answers, nothing else.

Every request whose client leaves is cancelled; every one that asks for work has its entry in the journal.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson

from imagegraph.engine.time_limit import within
from imagegraph.errors import (
    Cancelled,
    DeadlineExceeded,
    ImagegraphError,
    InputTooLarge,
    Unavailable,
    describe,
)
from imagegraph.observe.request_log import Entry, Journal
from imagegraph.serve.connection import LEFT
from imagegraph.wire import content_coding

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Result = TypeVar("Result")

log = logging.getLogger("imagegraph.serve.http_v2")

JSON = "application/json"
IDLE_BYTES = 65536  # of a body that nobody looks at
RETRY_AFTER_S = 1  # until who is refused for now may ask again
LENGTH = re.compile(r"[0-9]{1,18}")  # of more digits Python makes no number


@dataclass
class Request:
    """One HTTP request, read."""

    path: dict[str, str]
    headers: dict[str, str]
    body: bytes
    entry: Entry


@dataclass
class Answer:
    """What goes back."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Stream:
    """What goes back piece by piece, with status 200.

    Attributes:
        refuse: makes the last piece where an error ends the others.
    """

    pieces: AsyncGenerator[bytes]
    content_type: str
    refuse: Callable[[ImagegraphError], bytes]


Handler = Callable[[Request], Awaitable[Answer | Stream]]


class Route:
    """One line of the table: the requests that it takes, and who answers them."""

    def __init__(self, method: str, path: str, handler: Handler, body_bytes: int = 0) -> None:
        """Takes a path with placeholders in braces.

        Args:
            body_bytes: of the largest body; 0 is for routes that ask for no work.
        """
        self.method = method
        self.template = f"{method} {path}"
        self.handler = handler
        self.body_bytes = body_bytes
        # Seldon's executor asks /v2/models/infer: its verbs are no names of models.
        name = r"(?P<\1>(?!(?:infer|aggregate|route)$)[^/]+?(?<!:predict))"
        self._path = re.compile(re.sub(r"\\\{(\w+)\\\}", name, re.escape(path)))

    def match(self, path: str) -> dict[str, str] | None:
        """Returns the placeholders' values if the path is this one."""
        found = self._path.fullmatch(path)
        return None if found is None else found.groupdict()


class Table:
    """The application."""

    def __init__(self, routes: Iterable[Route], journal: Journal, timeout_s: float) -> None:
        """Takes the routes, and how long a body may take to come."""
        self._routes = list(routes)
        self._journal = journal
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        allowed: list[str] = []
        for route in self._routes:
            path = route.match(scope["path"])
            if path is None:
                continue
            if scope["method"] == route.method or (scope["method"], route.method) == ("HEAD", "GET"):
                return await self._serve(route, path, scope, receive, send)
            allowed.append(route.method)
        if allowed:
            error = Answer(orjson.dumps({"error": f"use {' or '.join(allowed)} here"}), 405)
            error.headers["allow"] = ", ".join(allowed)
            return await _send(error, send)
        words = "there is no such path; GET /openapi.json lists those there are"
        await _send(Answer(orjson.dumps({"error": words}), 404), send)

    async def _serve(
        self, route: Route, path: dict[str, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        entry = self._journal.open("rest", route.template, headers)
        left = scope["state"][LEFT]
        answer = await self._answer(route, path, headers, receive, left, entry)
        if isinstance(answer, Stream):
            return await self._stream(answer, entry, left, send)
        if route.body_bytes:
            self._journal.close(entry)
            answer.headers.update(entry.echo)
        await _send(answer, send)

    async def _answer(
        self,
        route: Route,
        path: dict[str, str],
        headers: dict[str, str],
        receive: Receive,
        left: asyncio.Future[None],
        entry: Entry,
    ) -> Answer | Stream:
        try:
            size = route.body_bytes or IDLE_BYTES
            body = await self._body(receive, headers, size)
            if coding := headers.get("content-encoding", "").strip().lower().removeprefix("identity"):
                body = await asyncio.to_thread(content_coding.inflate, body, coding, size)
            work = route.handler(Request(path, headers, body, entry))
            return await (while_connected(work, left) if route.body_bytes else work)
        except (Exception, asyncio.CancelledError) as error:
            failure = _failure(error, entry)
            entry.fail(failure)
            return _refusal(failure)

    async def _body(self, receive: Receive, headers: dict[str, str], size: int) -> bytes:
        try:
            return await within(self._timeout_s, _read(receive, headers, size))
        except TimeoutError:
            error = DeadlineExceeded(f"the body did not come within {self._timeout_s:g} s")
            error.status = 408
            raise error from None

    async def _stream(self, stream: Stream, entry: Entry, left: asyncio.Future[None], send: Send) -> None:
        last = b""
        try:
            async with aclosing(stream.pieces):
                await while_connected(_send_stream(stream, entry, send), left)
        except (Exception, asyncio.CancelledError) as error:
            failure = _failure(error, entry)
            entry.fail(failure)
            last = stream.refuse(failure)
        finally:
            self._journal.close(entry)
        await send({"type": "http.response.body", "body": last})


async def _read(receive: Receive, headers: dict[str, str], size: int) -> bytes:
    """Reads the body, at most `size` bytes."""
    announced = headers.get("content-length", "")
    if LENGTH.fullmatch(announced) and int(announced) > size:
        raise InputTooLarge("body", f"at most {size} bytes", f"{announced} bytes")
    chunks: list[bytes] = []
    total = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Cancelled("the client left while it was sending")
        chunk = event.get("body", b"")
        total += len(chunk)
        if total > size:
            raise InputTooLarge("body", f"at most {size} bytes", f"more than {total} bytes")
        chunks.append(chunk)
        if not event.get("more_body"):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def while_connected(work: Awaitable[Result], left: asyncio.Future[None]) -> Result:
    """Awaits the work; cancels it when the client leaves.

    Raises:
        Cancelled: the client left.
    """
    # In the task that is here already: one more for each request would be felt.
    task = asyncio.current_task()
    assert task is not None

    def leave(_: asyncio.Future[None]) -> None:
        task.cancel()

    left.add_done_callback(leave)
    try:
        return await work
    except asyncio.CancelledError:
        if left.done() and not task.uncancel():
            raise Cancelled("the client closed the connection") from None
        raise
    finally:
        left.remove_done_callback(leave)


def _failure(error: BaseException, entry: Entry) -> ImagegraphError:
    """Returns what a client is told of an error; a fault of ours shall not look like a broken connection."""
    if isinstance(error, ImagegraphError):
        return error
    if isinstance(error, asyncio.CancelledError):  # by the server, which can wait no longer
        return Unavailable("the process ends")
    log.error("request %s failed", entry.context.id, exc_info=error)
    return ImagegraphError(describe(error))


def _refusal(error: ImagegraphError) -> Answer:
    headers = {"retry-after": str(RETRY_AFTER_S)} if error.retryable else {}
    if error.status == 408:
        headers["connection"] = "close"
    if error.status == 415:
        headers["accept-encoding"] = content_coding.ACCEPTED
    return Answer(orjson.dumps({"error": str(error)}), error.status, headers=headers)


def _head(content_type: str, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    named = {"content-type": content_type, **headers}
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]


async def _send(answer: Answer, send: Send) -> None:
    headers = _head(answer.content_type, {"content-length": str(len(answer.body)), **answer.headers})
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _send_stream(stream: Stream, entry: Entry, send: Send) -> None:
    # Proxies shall hand every piece on at once.
    unbuffered = {"cache-control": "no-store", "x-accel-buffering": "no", **entry.echo}
    headers = _head(stream.content_type, unbuffered)
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async for piece in stream.pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
