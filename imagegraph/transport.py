"""One POST over HTTP, with every way that it can fail turned into our own errors."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
import orjson

from imagegraph import wire
from imagegraph.errors import Cancelled, DeadlineExceeded, ImagegraphError, Unavailable

_KINDS = {429: Unavailable, 499: Cancelled, 503: Unavailable, 504: DeadlineExceeded}


async def post(
    session: aiohttp.ClientSession,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    timeout_s: float | None,
) -> tuple[bytes, int | None]:
    """Sends a V2 body and returns the answer's, with the length of its JSON part if it has binary tensors.

    Raises:
        DeadlineExceeded: no answer came in time.
        Unavailable: the server cannot be reached, or has no room.
        ImagegraphError: any other status than 200, with that status and the server's own words.
    """
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with session.post(
            url, data=body, headers=headers, timeout=timeout, allow_redirects=False
        ) as answer:
            payload = await answer.read()
    except TimeoutError as error:
        raise DeadlineExceeded(f"no answer from {url} in time") from error
    except aiohttp.ClientError as error:
        raise Unavailable(f"cannot reach {url}: {error}") from error
    if answer.status != 200:
        raise _error(answer.status, payload)
    length = answer.headers.get(wire.HEADER_LENGTH)
    if length is not None and not length.isdecimal():
        raise ImagegraphError(f"answered {wire.HEADER_LENGTH}: {length}, not a number")
    return payload, None if length is None else int(length)


def _error(status: int, payload: bytes) -> ImagegraphError:
    try:
        text = str(orjson.loads(payload)["error"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        text = payload[:500].decode("utf-8", "replace")
    error = _KINDS.get(status, ImagegraphError)(text)
    error.status = status
    return error
