"""One hash of any value: what differs in type, shape or content has another one."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any

import numpy as np
import pydantic

from imagegraph.image import Image

# How values of exactly these types are written: a letter, and their bytes.
_PLAIN: dict[type, tuple[bytes, Callable[[Any], bytes]]] = {
    NoneType: (b"n", lambda value: b""),
    bool: (b"b", lambda value: b"1" if value else b"0"),
    int: (b"i", lambda value: value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)),
    float: (b"f", struct.Struct("<d").pack),
    str: (b"s", lambda value: value.encode("utf-8", "surrogatepass")),
    bytes: (b"y", lambda value: value),
    Image: (b"p", lambda value: value.data),
}


def content_hash(value: Any) -> str:
    """Returns the hash of a value as Python has it: 1, True, 1.0 and "1" have four.

    Every value is written with its type and its length, so that no two are written alike; mappings in
    their order, floats by their bits, pictures by their encoded bytes.

    Raises:
        TypeError: a value is neither None, bool, int, float, text, bytes, a picture, an array, a pydantic
            model nor a list, tuple or mapping of such.
    """
    digest = hashlib.sha256()
    _feed(digest.update, value)
    return digest.hexdigest()


def _feed(update: Callable[[Any], None], value: Any) -> None:
    kind = type(value)
    if plain := _PLAIN.get(kind):
        data = plain[1](value)
        update(plain[0] + len(data).to_bytes(8))
        update(data)
    elif kind is list or kind is tuple:
        update((b"l" if kind is list else b"t") + len(value).to_bytes(8))
        for item in value:
            _feed(update, item)
    elif isinstance(value, Mapping):
        update(b"m" + len(value).to_bytes(8))
        for key, item in value.items():
            _feed(update, key)
            _feed(update, item)
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        update(b"a")
        _feed(update, (value.dtype.str, value.shape))
        update(np.ascontiguousarray(value).reshape(-1).view(np.uint8))
    elif isinstance(value, pydantic.BaseModel):
        update(b"o")
        _feed(update, (kind.__module__, kind.__qualname__, dict(value)))
    else:
        raise TypeError(f"no hash for a {kind.__name__}")
