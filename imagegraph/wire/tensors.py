"""One tensor on the wire: as raw bytes, as JSON, and as the Python value that it stands for.

In JSON, bytes that are no text (pictures) stand as base64; Seldon's executor and KServe's router
carry nothing else. JSON knows neither NaN nor infinity: both stand as null, which is read as NaN.

Source: Open Inference Protocol, "Binary Tensor Data Extension" of Triton's HTTP protocol.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import Any, TypeGuard

import numpy as np
import orjson
import pybase64
from numpy.typing import NDArray

from imagegraph.errors import InputTooLarge, InvalidInput
from imagegraph.image import Image
from imagegraph.message import DATATYPES, Tensor

MAX_DIMENSIONS = 8
# Of one body: each becomes a Python object, which takes long beside its few bytes. Raw numbers do not.
MOST = {"tensors": 2**10, "parameters": 2**10, "elements of BYTES": 2**16, "numbers that are not raw": 2**22}


class Allowance:
    """What one body may still bring."""

    def __init__(self) -> None:
        self._left = dict(MOST)

    def take(self, what: str, count: int, at: str) -> None:
        """Counts what stands at `at`.

        Args:
            what: one of the keys of MOST.

        Raises:
            InputTooLarge: with it, the body has too many.
        """
        self._left[what] -= count
        if self._left[what] < 0:
            raise InputTooLarge(at, f"at most {MOST[what]} {what} in a body", f"{count} more")


def of(value: Any) -> Tensor:
    """Wraps a Python value: a scalar as shape [1], a list as [n], an array in its own shape.

    Structured values (mappings, lists of lists) become JSON text in a BYTES tensor.

    Raises:
        TypeError: None, or what else has no form on the wire; nothing unequal has an equal form.
    """
    if isinstance(value, Tensor):
        return value
    if value is None:
        raise TypeError("None does not travel")
    if isinstance(value, np.ndarray):
        datatype = next((name for name, dtype in DATATYPES.items() if dtype == value.dtype), None)
        if datatype is None:
            raise TypeError(f"no V2 datatype for arrays of {value.dtype}")
        return Tensor(datatype, value.shape, np.ascontiguousarray(value).reshape(-1))
    items = value if isinstance(value, list) else [value]
    kinds = {type(item) for item in items}
    if kinds == {bool}:
        return Tensor("BOOL", (len(items),), np.array(items, dtype=np.bool_))
    if kinds == {int}:
        datatype = "INT64" if max(items) < 2**63 else "UINT64"
        try:
            return Tensor(datatype, (len(items),), np.array(items, dtype=DATATYPES[datatype]))
        except OverflowError:
            raise TypeError("no V2 datatype for whole numbers of more than 64 bits") from None
    if kinds and kinds <= {int, float}:
        return Tensor("FP64", (len(items),), np.array(items, dtype=np.float64))
    if kinds <= {str, bytes, Image}:
        return Tensor("BYTES", (len(items),), [_bytes(item) for item in items])
    return Tensor("BYTES", (1,), [orjson.dumps(value)])


def _bytes(item: str | bytes | Image) -> bytes | str:
    return item.data if isinstance(item, Image) else item


def raw(one: Tensor) -> list[bytes]:
    """Returns the values as the binary extension writes them, to be joined."""
    if one.datatype != "BYTES":
        array = np.ascontiguousarray(one.data, dtype=DATATYPES[one.datatype].newbyteorder("<"))
        return [array.tobytes()]
    parts: list[bytes] = []
    for item in one.data:
        encoded = item.encode() if isinstance(item, str) else item
        parts += [len(encoded).to_bytes(4, "little"), encoded]
    return parts


def to_json(one: Tensor) -> Any:
    """Returns the values as JSON has them, arrays for orjson to write."""
    if one.datatype != "BYTES":
        return one.data
    return [item if isinstance(item, str) else as_text(item) for item in one.data]


def as_text(item: bytes) -> str:
    """UTF-8 if it is text, else base64; no JPEG, PNG or WebP is valid UTF-8."""
    try:
        return item.decode()
    except UnicodeDecodeError:
        return pybase64.b64encode_as_string(item)


def check(
    name: Any, datatype: Any, shape: Any, at: str, allowance: Allowance
) -> tuple[str, str, tuple[int, ...]]:
    """Returns name, datatype and shape of a tensor that stands at `at`.

    Raises:
        InvalidInput: names the field at fault.
        InputTooLarge: it has too many elements for its datatype.
    """
    if not isinstance(name, str) or not name:
        raise InvalidInput(f"{at}.name", "a name", name)
    if not isinstance(datatype, str) or (datatype != "BYTES" and datatype not in DATATYPES):
        raise InvalidInput(f"{at}.datatype", f"BYTES or one of {', '.join(DATATYPES)}", datatype)
    if not _is_shape(shape):
        raise InvalidInput(f"{at}.shape", f"up to {MAX_DIMENSIONS} sizes, in all below 2**31", shape)
    if datatype == "BYTES":
        allowance.take("elements of BYTES", math.prod(shape), f"{at}.shape")
    return name, datatype, tuple(shape)


def _is_shape(shape: Any) -> TypeGuard[list[int]]:
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS:
        return False
    count = 1
    for size in shape:
        if type(size) is not int or size < 0:
            return False
        # Beside a zero the others could be of any size, which numpy does not allow either.
        count *= size or 1
    return count < 2**31


def from_raw(data: bytes | memoryview, datatype: str, shape: tuple[int, ...], at: str) -> Tensor:
    """Reads the values that `raw` writes.

    Raises:
        InvalidInput: they do not fit datatype and shape.
    """
    count = math.prod(shape)
    if datatype != "BYTES":
        dtype = DATATYPES[datatype].newbyteorder("<")
        if len(data) != count * dtype.itemsize:
            raise InvalidInput(at, f"{count * dtype.itemsize} bytes for shape {list(shape)}", f"{len(data)}")
        return Tensor(datatype, shape, np.frombuffer(data, dtype))
    items: list[bytes | str] = []
    offset = 0
    while offset < len(data) and len(items) < count:
        size = int.from_bytes(data[offset : offset + 4], "little")
        if offset + 4 + size > len(data):
            expected = f"4 bytes of length and {size} of element {len(items)}"
            raise InvalidInput(at, expected, f"{len(data) - offset} bytes")
        items.append(bytes(data[offset + 4 : offset + 4 + size]))
        offset += 4 + size
    if len(items) < count or offset < len(data):
        got = f"{len(items)}, and {len(data) - offset} bytes more"
        raise InvalidInput(at, f"{count} elements for shape {list(shape)}", got)
    return Tensor(datatype, shape, items)


def from_json(data: Any, datatype: str, shape: tuple[int, ...], at: str, allowance: Allowance) -> Tensor:
    """Reads the values that `to_json` writes.

    Raises:
        InvalidInput: they do not fit datatype and shape.
        InputTooLarge: they are so many that they should be raw.
    """
    items = _flat(data, shape, f"{at}.data")
    if datatype != "BYTES":
        allowance.take("numbers that are not raw", len(items), f"{at}.data")
        return Tensor(datatype, shape, numbers(items, datatype, at))
    if not set(map(type, items)) <= {str}:
        raise InvalidInput(f"{at}.data", "text", next(x for x in items if not isinstance(x, str)))
    return Tensor(datatype, shape, items)


def _flat(data: Any, shape: tuple[int, ...], at: str) -> list[Any]:
    """Returns the elements of a flat list, or of lists that are nested as the shape says."""
    if not isinstance(data, list):
        raise InvalidInput(at, "a list", data)
    items: list[Any] = data
    if list in map(type, items):
        level: list[Any] = [items]
        for size in shape:
            if not set(map(type, level)) <= {list} or not set(map(len, level)) <= {size}:
                raise InvalidInput(at, f"values in a flat list, or in lists nested as {list(shape)}", data)
            level = list(chain.from_iterable(level))
        items = level
    count = math.prod(shape)
    if len(items) != count:
        raise InvalidInput(at, f"{count} values for shape {list(shape)}", f"{len(items)} values")
    return items


def numbers(items: list[Any], datatype: str, at: str) -> NDArray[Any]:
    """Converts exactly what JSON says: 1.5 is no INT64, "1" no number, 300 no UINT8, 1e300 no FP32.

    Languages that know one kind of number write the INT64 7 as 7.0 or 1000000 as 1e+06.
    """
    dtype = DATATYPES[datatype]
    allowed: dict[str, set[type]] = {"b": {bool}, "f": {int, float, type(None)}}
    kinds = set(map(type, items))
    if float in kinds and dtype.kind in "iu":
        items = [int(item) if isinstance(item, float) and item.is_integer() else item for item in items]
        kinds = set(map(type, items))
    try:
        if not kinds <= allowed.get(dtype.kind, {int}):
            raise TypeError
        with np.errstate(over="raise"):
            return np.array(items, dtype)
    except (TypeError, OverflowError, FloatingPointError):
        raise InvalidInput(f"{at}.data", f"values of {datatype}", items) from None
