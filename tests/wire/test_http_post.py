"""Answers that come in pieces."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from types import SimpleNamespace

import pytest

from imagegraph.wire.http_post import events


def heard(pieces: Iterable[bytes]) -> list[tuple[str, bytes]]:
    async def iter_any() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def main() -> list[tuple[str, bytes]]:
        answer = SimpleNamespace(content=SimpleNamespace(iter_any=iter_any))
        return [one async for one in events(answer)]

    return asyncio.run(main())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_the_same_however_they_are_cut(size):
    text = b"event: started\ndata: {}\n\n: still at work\n\nevent: answer\ndata: " + b"x" * 50 + b"\n\n"
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert heard(pieces) == [("started", b"{}"), ("answer", b"x" * 50)]


def test_an_event_of_many_pieces_takes_no_longer_than_its_bytes_do():
    piece = b"x" * 1024
    start = time.monotonic()
    [(kind, data)] = heard([b"event: answer\ndata: ", *[piece] * 32_768, b"\n\n"])
    assert (kind, len(data)) == ("answer", 2**25)
    assert time.monotonic() - start < 20, "to look at all that came for each piece takes minutes"
