"""Provenance in a picture's own PNG text: read from an upload, written into what is downloaded."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import orjson
import pydantic
from PIL import Image as Pillow

from imagegraph.run.provenance import KEY, Record
from studio.store import decoding

OTHERS = "imagegraph-studio"  # the key of what was drawn where nodes and weights are not known
MOST = 2**20  # characters of a record
_BEGINNING = b"\x89PNG\r\n\x1a\n"


def stamped(data: bytes, record: Mapping[str, Any] | None) -> bytes:
    """Returns a PNG with its record; what is none, or has no record, as it is.

    The pixels are not touched: one chunk of text comes behind the header.
    """
    if not record or not data.startswith(_BEGINNING):
        return data
    key = KEY if "nodes" in record else OTHERS
    text = zlib.compress(json.dumps(record, ensure_ascii=False).encode())
    body = b"iTXt" + key.encode() + b"\0\1\0\0\0" + text
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    head = len(_BEGINNING) + 25  # behind IHDR
    return data[:head] + chunk + data[head:]


def recalled(data: bytes) -> dict[str, Any] | None:
    """Returns the record in a PNG; nothing where there is none that can be read."""
    if not data.startswith(_BEGINNING):
        return None
    try:
        with Pillow.open(io.BytesIO(data), formats=["PNG"]) as picture:
            with decoding.HERE.decoding(picture.size):
                picture.load()
            texts = getattr(picture, "text", {})
        kind, text = (Record, texts[KEY]) if KEY in texts else (Other, texts.get(OTHERS, ""))
        record = kind.model_validate_json(str(text)[:MOST]).model_dump(mode="json")
        # What no database takes: numbers that are none, zero characters, halves of pairs.
        whole = json.dumps(record, ensure_ascii=False, allow_nan=False).encode()
        orjson.dumps(record)  # nor do all who read it take numbers of more than 64 bits, and what is too deep
        return record if b"\\u0000" not in whole else None
    except (orjson.JSONEncodeError, pydantic.ValidationError, ValueError, OSError, SyntaxError):
        return None  # it is somebody else's text


class Other(pydantic.BaseModel):
    """What drew a picture elsewhere, as far as it is known here."""

    name: str
    bundle: str = ""
    parameters: dict[str, Any] = {}
    sources: dict[str, list[dict[str, str]]] = {}
    port: str = "pictures"
    picture: int = 0
    about: dict[str, Any] = {}
