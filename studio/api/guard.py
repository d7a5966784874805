"""Stands before the application: host, origin, size and number of requests; headers of every answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from studio.api.access import asker
from studio.metrics import Metrics
from studio.problems import Refused, problem
from studio.settings import Settings

AT_ONCE = 3  # requests that are worked on: Python runs one thread at a time, more would only take turns
WAITING = 9  # for one of these places, besides pictures: two browsers full of questions
PLACE_S = 10.0  # that one waits for a place at most
LONG_AT_ONCE = 1000  # that wait for something to happen: events, and jobs that have not ended
# Of one person, or of one address from which nobody says who asks: so that nobody keeps others out.
MOST_EACH = {"waits": 100, "posts": 100, "changes": 100, "downloads": 20}
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
        self._waits = 0
        self._long: Counter[tuple[str, str]] = Counter()  # by kind, and by who asks
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
            kind = _kind(scope, headers)
            with self._counted(kind, scope), self._bounded(receive) as bounded:
                async with place:
                    if kind in ("looks", "downloads"):
                        await place.enter_async_context(self._place(_is_picture(scope)))

                    async def received() -> Message:
                        message = await bounded()
                        # Who sends slowly keeps nobody from being answered either.
                        if kind == "changes" and not message.get("more_body"):
                            await place.enter_async_context(self._place(False))
                        return message

                    await self._app(scope, received, answer)
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

    @contextlib.contextmanager
    def _counted(self, kind: str, scope: Scope) -> Iterator[None]:
        """Counts what takes as long as its client likes, until it is read.

        Raises:
            Refused: they are too many, of this person or of all.
        """
        if kind not in MOST_EACH:
            yield
            return
        who = kind, self._who(scope)
        if self._long[who] >= MOST_EACH[kind]:
            words = f"expected at most {MOST_EACH[kind]} requests of this kind at once for each person"
            raise Refused(429, words, BUSY_S)
        if kind == "waits" and self._waits >= LONG_AT_ONCE:
            raise Refused(503, "too many wait for something to happen", BUSY_S)
        self._long[who] += 1
        self._waits += kind == "waits"
        try:
            yield
        finally:
            self._waits -= kind == "waits"
            self._long[who] -= 1
            if not self._long[who]:
                del self._long[who]

    def _who(self, scope: Scope) -> str:
        request = HTTPConnection(scope)
        try:
            return f"person {asker(self._settings, request).name}"
        except Refused:
            return f"address {request.client.host if request.client else ''}"

    def _check(self, scope: Scope, headers: Headers) -> None:
        if "\0" in scope["path"]:  # neither databases nor file systems have such names
            raise Refused(404, "nothing is at a path with a zero character")
        host = headers.get("host", "")
        if self._settings.is_open and _name(host) not in map(str.lower, self._settings.hosts):
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


def _kind(scope: Scope, headers: Headers) -> str:
    """Returns what a request does, by which it is held back.

    It "looks" at the store, "waits" for something to happen, "posts" or "changes" something by a body,
    "downloads" what is made for it, or asks for one of the "files" that lie ready.
    """
    path, method = scope["path"], scope["method"]
    if not path.startswith("/api/") or path.startswith("/api/health"):
        return "files"
    is_of_job, is_asked_to = path.startswith("/api/jobs/"), b"wait=" in scope["query_string"]
    if (is_of_job and (is_asked_to or path.endswith("/events"))) or (method == "POST" and is_asked_to):
        return "waits"
    if method == "POST":
        return "posts"
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    if method in CHANGING and has_body:
        return "changes"
    return "downloads" if path.startswith(("/api/exports/", "/api/pictures.zip")) else "looks"


def _is_picture(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.endswith(("/thumbnail", "/file")) or path.startswith("/api/contents/")


def _name(host: str) -> str:
    """Returns the name in a Host header, in small letters, without the port."""
    host = host.lower()
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]


async def refuse(refused: Refused, send: Any) -> None:
    """Answers with a problem."""
    headers = [(b"content-type", b"application/problem+json")]
    if refused.retry_after_s is not None:
        headers.append((b"retry-after", str(int(refused.retry_after_s)).encode()))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps(problem(refused))})
