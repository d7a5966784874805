"""HTTP/1.1 connections that nobody can hold open or fill up by never finishing a request's head.

uvicorn's httptools protocol limits neither: heads, chunk extensions and trailers may go on forever.
Bodies are limited where they are read, see `rest`.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 65536
MAX_HEAD_S = 20.0
# Java's HTTP client offers HTTP/2 at the start of every connection; httptools then drops the body.
_H2C = re.compile(rb"\r\nupgrade:[ \t]*h2c[ \t]*\r\n", re.IGNORECASE)


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose next request's head is too large or does not come in time.

    Between requests of a connection uvicorn's own keep-alive timeout counts.
    """

    def __init__(self, *arguments: Any, max_head_s: float = MAX_HEAD_S, **named: Any) -> None:
        """Takes what uvicorn gives its protocols, and how long a head may take."""
        super().__init__(*arguments, **named)
        self._max_head_s = max_head_s
        self._in_message = False
        self._unproductive = 0  # bytes since the last that were body
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock of the first head."""
        super().connection_made(transport)
        self._expect_head()

    def on_message_begin(self) -> None:
        """Starts the clock of a head."""
        self._in_message = True
        self._expect_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stops the clock."""
        self._stop_clock()
        self._unproductive = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Takes a part of the body."""
        self._unproductive = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Makes way for the next request."""
        self._in_message = False
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Refuses a head, or what else is no body, beyond the limit."""
        if not self._in_message and b"h2c" in data[:4096]:
            head, end, body = data.partition(b"\r\n\r\n")
            data = _H2C.sub(b"\r\n", head + b"\r\n") + end[2:] + body
        self._unproductive += len(data)
        super().data_received(data)
        if self._unproductive > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"More than {MAX_HEAD_BYTES} bytes of header.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Lets go of the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._stop_clock()
        self._timer = self.loop.call_later(self._max_head_s, self.transport.close)

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
