"""Stands before the application: host, origin, size and number of requests; headers of every answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from studio.metrics import Metrics
from studio.problems import Refused, problem
from studio.settings import Settings

AT_ONCE = 3  # requests that are worked on: Python runs one thread at a time, more would only take turns
WAITING = 9  # for one of these places, besides pictures: two browsers full of questions
PLACE_S = 10.0  # that one waits for a place at most
LONG_AT_ONCE = 1000  # that wait for something to happen: events, and jobs that have not ended
BODIES = 8  # of the largest size, that are held in memory at once
BUSY_S = 1  # until somebody who was refused may try again
CHANGING = ("POST", "PUT", "PATCH", "DELETE")
# Nothing but the studio itself: no foreign script, style, font, frame or form. Pictures that the page has
# yet to send, and previews, are data: and blob: URLs.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; media-src 'self' blob:; manifest-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
}


class Guard:
    """Refuses what must not reach the application."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        """Takes the application, and what counts its answers."""
        self._app = app
        self._metrics = metrics
        self._settings = settings
        self._here = 0
        self._waiting = 0
        self._long = 0
        self._held = 0  # bytes of bodies
        self._places = asyncio.Semaphore(min(AT_ONCE, settings.requests_at_once))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or has it answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        begin, status = time.perf_counter(), 499  # unless somebody stays for an answer
        place = contextlib.AsyncExitStack()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                await place.aclose()  # who reads slowly keeps nobody from being answered
                added = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    added.setdefault(name, value)
                if scope["path"].startswith("/api/"):
                    added.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(scope, headers)
            brief = _is_brief(scope)
            async with place, contextlib.nullcontext() if brief else self._longer():
                if brief:
                    await place.enter_async_context(self._place(_is_picture(scope)))
                with self._bounded(receive) as bounded:
                    await self._app(scope, bounded, answer)
        except Refused as refused:
            await refuse(refused, answer)
        finally:
            self._metrics.request(_route(scope), scope["method"], status, time.perf_counter() - begin)

    @contextlib.asynccontextmanager
    async def _place(self, is_picture: bool) -> AsyncIterator[None]:
        """Waits for one of the places of those that are answered at once.

        Args:
            is_picture: of a page, which does not ask for it again.

        Raises:
            Refused: too many wait: those that are answered shall be so soon.
        """
        busy = Refused(503, "too many requests are answered at the moment", BUSY_S)
        if self._here >= self._settings.requests_at_once or (self._waiting >= WAITING and not is_picture):
            raise busy
        self._here += 1
        self._waiting += not is_picture
        try:
            try:
                async with asyncio.timeout(PLACE_S):
                    await self._places.acquire()
            except TimeoutError:
                raise busy from None
            finally:
                self._waiting -= not is_picture
            try:
                yield
            finally:
                self._places.release()
        finally:
            self._here -= 1

    @contextlib.asynccontextmanager
    async def _longer(self) -> AsyncIterator[None]:
        """Counts one of those that wait, or send something.

        Raises:
            Refused: they are too many.
        """
        if self._long >= LONG_AT_ONCE:
            raise Refused(503, "too many wait for something to happen", BUSY_S)
        self._long += 1
        try:
            yield
        finally:
            self._long -= 1

    def _check(self, scope: Scope, headers: Headers) -> None:
        if "\0" in scope["path"]:  # neither databases nor file systems have such names
            raise Refused(404, "nothing is at a path with a zero character")
        host = headers.get("host", "")
        if self._settings.is_open and _name(host) not in self._settings.hosts:
            # A page of a stranger may have its name lead here (DNS rebinding).
            raise Refused(
                421, f"expected one of the names {', '.join(self._settings.hosts)}, got {host[:80]!r}"
            )
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._settings.body_mib * 2**20:
            raise Refused(
                413, f"expected a body of at most {self._settings.body_mib} MiB, got {length[:20]} bytes"
            )
        if scope["method"] in CHANGING and not self._is_own(headers, host):
            raise Refused(403, "a page of another origin may not change anything here")

    def _is_own(self, headers: Headers, host: str) -> bool:
        """Whether a request comes from no page at all, from ours, or from one that may ask."""
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        return origin in self._settings.cors_origins or urlsplit(origin).netloc == host

    @contextlib.contextmanager
    def _bounded(self, receive: Receive) -> Iterator[Receive]:
        """Yields what receives a body that is not too large, alone and with those of others."""
        most, got = self._settings.body_mib * 2**20, 0

        async def bounded() -> Message:
            nonlocal got
            message = await receive()
            length = len(message.get("body", b""))
            got += length
            self._held += length
            if got > most:
                raise Refused(413, f"expected a body of at most {self._settings.body_mib} MiB, got more")
            if self._held > BODIES * most:
                raise Refused(503, "too much is being sent at the moment", BUSY_S)
            return message

        try:
            yield bounded
        finally:
            self._held -= got


def _route(scope: Scope) -> str:
    """Returns the template of a path, such as /api/jobs/{id}; "" where nothing was reached."""
    path: str = scope["path"]
    if "route" not in scope:
        return "/assets" if path.startswith("/assets/") else ""
    return ("/api" if path.startswith("/api/") else "") + str(scope["route"].path)


def _is_brief(scope: Scope) -> bool:
    """Whether a request has the store looked up: not a file of the page, nor what waits for something."""
    path: str = scope["path"]
    waits = path.endswith("/events") or b"wait=" in scope["query_string"]
    is_long = path.startswith("/api/jobs/") and waits
    looks = path.startswith("/api/") and not path.startswith("/api/health") and scope["method"] != "POST"
    return looks and not is_long


def _is_picture(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.endswith(("/thumbnail", "/file")) or path.startswith("/api/contents/")


def _name(host: str) -> str:
    """Returns the name in a Host header, without the port."""
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]


async def refuse(refused: Refused, send: Any) -> None:
    """Answers with a problem."""
    headers = [(b"content-type", b"application/problem+json")]
    if refused.retry_after_s is not None:
        headers.append((b"retry-after", str(int(refused.retry_after_s)).encode()))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps(problem(refused))})
