"""Bodies that come compressed, by HTTP's Content-Encoding.

Source: RFC 9110, section 8.4.1; RFC 7694, section 3, for what a refusal says.
"""

from __future__ import annotations

import zlib

from imagegraph.errors import InputTooLarge, InvalidInput

ACCEPTED = "gzip, deflate"
_GZIP, _ZLIB, _BARE = 31, 15, -15  # zlib's numbers for what stands around the compressed data


def inflate(body: bytes, coding: str, size: int) -> bytes:
    """Returns the body as it was before it was compressed, at most `size` bytes; blocks for long.

    Raises:
        InvalidInput: it is no such stream, or more than one; with status 415 if the coding is another.
        InputTooLarge: it is larger; what is beyond is never inflated.
    """
    if coding in ("gzip", "x-gzip"):
        window = _GZIP
    elif coding == "deflate":
        # Some leave out what zlib writes before and behind: its first two bytes are a multiple of 31.
        window = _BARE if int.from_bytes(body[:2], "big") % 31 else _ZLIB
    else:
        error = InvalidInput("Content-Encoding", f"one of {ACCEPTED}, or none", coding)
        error.status = 415
        raise error
    stream = zlib.decompressobj(window)
    try:
        inflated = stream.decompress(body, size + 1)
    except zlib.error as error:
        raise InvalidInput("body", f"{coding} ({error})", body[:40]) from error
    if len(inflated) > size:
        raise InputTooLarge("body", f"at most {size} bytes after {coding}", f"more than {size} bytes")
    if not stream.eof or stream.unused_data:
        raise InvalidInput("body", f"one whole stream of {coding}", f"{len(body)} bytes")
    return inflated
