"""POSTs over HTTP, with every way that it can fail turned into our own errors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import orjson

from imagegraph.errors import (
    Cancelled,
    DeadlineExceeded,
    ImagegraphError,
    InvalidInput,
    Unavailable,
    Unsupported,
)
from imagegraph.message import Message
from imagegraph.wire import v2_json

_KINDS = {
    429: Unavailable,
    499: Cancelled,
    501: Unsupported,
    503: Unavailable,
    504: DeadlineExceeded,
}
_CODES = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 413: "RESOURCE_EXHAUSTED"}
# Whoever had been there closed an idle connection, or ended: the request may have been begun.
_UNANSWERED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
# Before connecting again: for about a second a Service may name a pod that has just ended.
PAUSES_S = (0.1, 0.3, 0.9)
# A machine that dies does not say so: it takes no connection, or one that is there gives no sign of life.
# Each attempt is given up after so long, and all of them together within GIVE_UP_S.
CONNECT_S = 1.5
SILENCE_S = 5.0
GIVE_UP_S = 10.0


async def post(
    session: aiohttp.ClientSession,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    timeout_s: float | None,
    attempts: int = 1,
) -> tuple[bytes, int | None]:
    """Sends a V2 body and returns the answer's, with the length of its JSON part if it has binary tensors.

    Args:
        attempts: how often to send it while nothing is answered; with more than one, a server that
            cannot be reached is tried again too, and given up before GIVE_UP_S.

    Raises:
        DeadlineExceeded: no answer came in time.
        Unavailable: the server cannot be reached, or has no room.
        ImagegraphError: any other status than 200, with that status and the server's own words.
    """
    async with opened(session, url, body, headers, timeout_s, attempts) as answer:
        return await read(answer)


async def read(answer: aiohttp.ClientResponse) -> tuple[bytes, int | None]:
    """Reads an answer that is one V2 body; see `post`."""
    payload = await answer.read()
    try:
        return payload, v2_json.header_length(answer.headers.get(v2_json.HEADER_LENGTH))
    except InvalidInput as cause:
        raise ImagegraphError(f"answered {cause}") from cause


def decoded(decode: Callable[..., Message], *answer: Any) -> Message:
    """Decodes what somebody answered, over HTTP or gRPC.

    Raises:
        ImagegraphError: it is no V2 response, which is their fault and not that of who asked.
    """
    try:
        return decode(*answer)
    except InvalidInput as error:
        raise ImagegraphError(f"answered no V2 response: {error}") from error


@asynccontextmanager
async def opened(
    session: aiohttp.ClientSession,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    timeout_s: float | None,
    attempts: int = 1,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Like `post`, with the answer's body still to be read."""
    end = None if timeout_s is None else time.monotonic() + timeout_s
    pauses_s = iter(PAUSES_S if attempts > 1 else ())
    connect_s = CONNECT_S if attempts > 1 else None
    silent_since = time.monotonic()
    while True:
        attempts -= 1
        left_s = None if end is None else max(end - time.monotonic(), 0.001)
        timeout = aiohttp.ClientTimeout(total=left_s, sock_connect=connect_s)
        try:
            async with session.post(
                url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                attempts, pauses_s = 0, iter(())
                if answer.status != 200:
                    refused = error(answer.status, await answer.read())
                    refused.retry_after_s = retry_after(answer.headers.get("Retry-After"))
                    raise refused
                yield answer
                return
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as cause:
            pause_s = next(pauses_s, None)
            if pause_s is None or time.monotonic() + pause_s + CONNECT_S > silent_since + GIVE_UP_S:
                raise Unavailable(f"cannot reach {url}: {cause}") from cause
            attempts += 1
            await asyncio.sleep(pause_s)
        except TimeoutError as cause:
            raise DeadlineExceeded(f"no answer from {url} in time") from cause
        except _UNANSWERED as cause:
            if attempts <= 0:
                raise Unavailable(f"cannot reach {url}: {cause}") from cause
            silent_since = time.monotonic() - SILENCE_S
        except aiohttp.ClientError as cause:
            raise Unavailable(f"cannot reach {url}: {cause}") from cause


async def events(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, bytes]]:
    """Yields the kind and data of each server-sent event of an answer.

    Source: WHATWG, HTML, "Server-sent events"; events of several lines are not sent here.

    Raises:
        Unavailable: the connection broke.
    """
    kind = ""
    async for line in _lines(answer.content):
        if line.startswith(b"event: "):
            kind = line[7:].decode()
        elif line.startswith(b"data: "):
            yield kind, line[6:]


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Yields whole lines of any length; every byte is looked at once, however many pieces bring a line."""
    begun: list[bytes] = []
    async for piece in content.iter_any():
        *ends, rest = piece.split(b"\n")
        for end in ends:
            begun.append(end)
            yield b"".join(begun)
            begun = []
        begun.append(rest)


def error(status: int, payload: bytes) -> ImagegraphError:
    """Makes the error that a server answered with, in its own words."""
    try:
        text = str(orjson.loads(payload)["error"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        text = payload[:500].decode("utf-8", "replace")
    return refusal(status, text)


def retry_after(text: str | None) -> float | None:
    """Reads the header Retry-After; returns seconds from now.

    Source: RFC 9110, 10.2.3.
    """
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return None


def refusal(status: int, text: str) -> ImagegraphError:
    """Makes the error of an HTTP status."""
    made = _KINDS.get(status, ImagegraphError)(text)
    made.status = status
    made.code = _CODES.get(status, made.code)
    return made
