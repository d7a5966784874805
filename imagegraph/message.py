"""What travels along an edge of the graph: named values, and how several of them become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagegraph.errors import InvalidInput, UnknownName, shorten

# Datatypes of the Open Inference Protocol and their numpy twins; BYTES has none.
DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
}


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A value as it stood on the wire, for nodes that pass it on without looking inside.

    Attributes:
        datatype: a name of the Open Inference Protocol (INT64, FP32, BYTES, …).
        shape: row-major shape.
        data: for BYTES a list of `bytes` or (from JSON) `str`; else a flat numpy array.
    """

    datatype: str
    shape: tuple[int, ...]
    data: NDArray[Any] | Sequence[bytes | str]

    def array(self) -> NDArray[Any]:
        """Returns the numeric values in their shape."""
        return np.asarray(self.data).reshape(self.shape)

    def same(self, other: Tensor) -> bool:
        """Whether both hold the same datatype, shape and values."""
        if (self.datatype, self.shape) != (other.datatype, other.shape):
            return False
        if self.datatype == "BYTES":
            return _as_bytes(self.data) == _as_bytes(other.data)
        return same(np.asarray(self.data), np.asarray(other.data))


def _as_bytes(items: Any) -> list[bytes]:
    return [item.encode() if isinstance(item, str) else item for item in items]


@dataclass(frozen=True, slots=True)
class Message:
    """Named values; `id` is the request's, `origin` the node that answered it.

    Attributes:
        version: of what computed the answer, where it names one; see `version`.
    """

    values: Mapping[str, Any]
    id: str = ""
    origin: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""

    def with_values(self, values: Mapping[str, Any], origin: str, version: str = "") -> Message:
        """Returns this message with other values, as answered by the node `origin`."""
        return Message(values, self.id, origin, self.parameters, version)

    def only(self, names: Sequence[str]) -> Message:
        """Returns this message with the named values alone.

        Raises:
            UnknownName: there is no such value.
        """
        for name in names:
            if name not in self.values:
                raise UnknownName("output", name, self.values)
        return replace(self, values={name: self.values[name] for name in names})


def merge(messages: Sequence[Message]) -> dict[str, Any]:
    """Unites the values of several answers by name.

    Raises:
        InvalidInput: two answers hold different values under one name; both nodes are named.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for position, message in enumerate(messages):
        origin = message.origin or f"#{position}"
        for name, value in message.values.items():
            if name not in values:
                values[name], origins[name] = value, origin
            elif not same(values[name], value):
                raise InvalidInput(
                    name,
                    f"one value, or the same from nodes '{origins[name]}' and '{origin}'",
                    f"{shorten(values[name])} and {shorten(value)}",
                )
    return values


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal: of one type, as 1, 1.0 and True are not, also inside of others."""
    if one is other:
        return True
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.same(other)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    return bool(one == other)
