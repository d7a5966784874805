"""One hash of any value: what differs in type, shape or content has another one."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pydantic

from imagegraph.image import Image


def content_hash(value: Any) -> str:
    """Returns the hash of a value as Python has it: 1, True, 1.0 and "1" have four.

    Every value is written with its type and its length, so that no two are written alike; mappings in
    their order, floats by their bits, pictures by their encoded bytes.

    Raises:
        TypeError: a value is neither None, bool, int, float, text, bytes, a picture, an array, a pydantic
            model nor a list, tuple or mapping of such.
    """
    digest = hashlib.sha256()
    _feed(digest, value)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    kind = type(value)
    if value is None or kind is bool:
        _write(digest, repr(value), b"")
    elif kind is int:
        _write(digest, "int", value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))
    elif kind is float:
        _write(digest, "float", struct.pack("<d", value))
    elif kind is str:
        _write(digest, "str", value.encode("utf-8", "surrogatepass"))
    elif kind is bytes:
        _write(digest, "bytes", value)
    elif kind is Image:
        _write(digest, "image", value.data)
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        _write(digest, f"array {value.dtype.str} {value.shape}", np.ascontiguousarray(value).data.cast("B"))
    elif kind in (list, tuple):
        digest.update(b"%b %d\0" % (kind.__name__.encode(), len(value)))
        for item in value:
            _feed(digest, item)
    elif isinstance(value, Mapping):
        digest.update(b"mapping %d\0" % len(value))
        for pair in value.items():
            _feed(digest, pair)
    elif isinstance(value, pydantic.BaseModel):
        _feed(digest, ("model", kind.__module__, kind.__qualname__, dict(value)))
    else:
        raise TypeError(f"no hash for a {kind.__name__}")


def _write(digest: Any, kind: str, data: bytes | memoryview) -> None:
    digest.update(b"%b %d\0" % (kind.encode(), len(data)))
    digest.update(data)
