"""HTTP/1.1 connections that nobody can hold open by never finishing a head, or never reading an answer.

uvicorn's httptools protocol limits neither: heads, chunk extensions and trailers may go on forever, and
an answer waits in memory for whoever does not read it. Bodies are limited where they are read, see `rest`.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 65536
MAX_HEAD_S = 20.0
LEFT = "imagegraph.left"  # in a scope's state: a future that is done once the client has left


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose next head is too large or late, or whose answer nobody reads.

    Between requests of a connection uvicorn's own keep-alive timeout counts. Offers to speak another
    protocol, such as that of HTTP/2 in every first request of Java's HTTP client, are declined.
    """

    def __init__(self, *arguments: Any, max_head_s: float, max_stall_s: float, **named: Any) -> None:
        """Takes what uvicorn gives its protocols.

        Args:
            max_head_s: how long a head may take.
            max_stall_s: how long a client may read nothing of what waits for it.
        """
        super().__init__(*arguments, **named)
        self._max_head_s = max_head_s
        self._max_stall_s = max_stall_s
        self._in_head = False
        self._received = b""  # while it is parsed
        self._unproductive = 0  # bytes since the last that were body
        self._timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._left: asyncio.Future[None] = self.loop.create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock of the first head."""
        super().connection_made(transport)
        self._expect_head()

    def on_message_begin(self) -> None:
        """Notes that a head has begun."""
        self._in_head = True
        super().on_message_begin()
        # To wait for ASGI's own event of it would take a task for every request.
        self.scope["state"][LEFT] = self._left

    def on_headers_complete(self) -> None:
        """Stops the clock."""
        self._in_head = False
        self._stop_clock()
        self._unproductive = 0
        if not self._offers_another_protocol():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Takes a part of the body."""
        self._unproductive = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Makes way for the next request."""
        if self._offers_another_protocol():
            return
        super().on_message_complete()
        if not self.pipeline:
            # Stopped by a large body, reading would not go on before the answer: nobody would see who leaves.
            self.flow.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Refuses a head, or what else is no body, beyond the limit."""
        self._unproductive += len(data)
        self._received = data
        super().data_received(data)
        self._received = b""
        if self._in_head and self._timer is None:  # most heads come at once and need no clock
            self._expect_head()
        if self._unproductive > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"More than {MAX_HEAD_BYTES} bytes of header.")

    def _offers_another_protocol(self) -> bool:
        """Whether the parser, which would speak that now, has stopped behind the head of this request."""
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def _unsupported_upgrade_warning(self) -> None:
        """Reads requests again without their offer of another protocol: uvicorn would drop their bodies."""
        upgrade, data = sys.exception(), self._received
        while isinstance(upgrade, httptools.HttpParserUpgrade) and self._offers_another_protocol():
            version = self.parser.get_http_version().encode()
            lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
            lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
            data = b"\r\n".join([*lines, b"", data[upgrade.args[0] :]])
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            upgrade = None
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as another:
                upgrade = another
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Lets go of the clocks, and tells whoever works for the client."""
        self._stop_clock()
        self._stop_stall_clock()
        self._left.set_result(None)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Starts the clock of what waits for the client."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """Stops the clock."""
        self._stop_stall_clock()
        super().resume_writing()

    def _expect_reading(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._stall_timer = self.loop.call_later(self._max_stall_s, self._check_reading, left)

    def _check_reading(self, left_before: int) -> None:
        if self.transport.get_write_buffer_size() < left_before:
            self._expect_reading()
        else:
            self.transport.abort()  # to close it would wait for the client once more

    def _stop_stall_clock(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _expect_head(self) -> None:
        self._stop_clock()
        self._timer = self.loop.call_later(self._max_head_s, self.transport.close)

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
