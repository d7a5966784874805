"""Reads the bytes of a ModelInferRequest, after counting what protobuf would make of them.

Protobuf makes an object of some 80 bytes of every message within, were it empty and two bytes long, and
eight bytes of every packed number of one byte: 64 MiB could become gigabytes before anybody sees them.

Source: Protocol Buffers, "Encoding".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from imagegraph.errors import InputTooLarge, InvalidInput
from imagegraph.wire import tensors
from imagegraph.wire.grpc_messages import pb

# More than what `tensors.MOST` allows can have.
MOST_FIELDS = 2**17
MOST_NUMBERS = tensors.MOST["numbers that are not raw"]
# Less than this becomes a few MiB at most.
SMALL_BODY = 2**16
# A message within that is as short as a name and a shape: taken for as many fields as it could have.
SHORT = 128

_VARINT, _EIGHT_BYTES, _BLOCK, _FOUR_BYTES = 0, 1, 2, 5

# By number of field: how many bytes a packed number has at least, or the same of a message within.
_Fields = dict[int, "int | _Fields"]


def _fields(descriptor: Any) -> _Fields:
    found: _Fields = {}
    for field in descriptor.fields:
        if field.message_type:
            found[field.number] = _fields(field.message_type)
        elif field.is_repeated and field.cpp_type != field.CPPTYPE_STRING:
            found[field.number] = {field.CPPTYPE_FLOAT: 4, field.CPPTYPE_DOUBLE: 8}.get(field.cpp_type, 1)
    return found


_REQUEST = _fields(pb.ModelInferRequest.DESCRIPTOR)


def read_request(body: bytes) -> Any:
    """Returns the `ModelInferRequest`.

    Raises:
        InvalidInput: the bytes are none.
        InputTooLarge: it has more fields or packed numbers than requests need.
    """
    try:
        if len(body) > SMALL_BODY:
            _Count(body).walk(0, len(body), _REQUEST)
        return pb.ModelInferRequest.FromString(body)
    except (DecodeError, IndexError):
        raise InvalidInput("request", "the bytes of a ModelInferRequest", "others") from None


class _Count:
    """What one body has had until now."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._fields = 0
        self._numbers = 0

    def walk(self, at: int, end: int, known: _Fields) -> None:
        """Goes through the fields of a message that stands from `at` to `end`.

        Raises:
            InputTooLarge: there are too many.
            DecodeError: it is none, or has groups, which this protocol has not.
        """
        while at < end:
            self._take(1)
            tag, at = self._varint(at)
            wire_type = tag & 7
            if wire_type == _BLOCK:
                size, at = self._varint(at)
                if at + size > end:
                    raise DecodeError
                self._look_into(known.get(tag >> 3), at, size)
                at += size
            elif wire_type == _VARINT:
                _, at = self._varint(at)
            elif wire_type in (_FOUR_BYTES, _EIGHT_BYTES):
                at += 4 if wire_type == _FOUR_BYTES else 8
            else:
                raise DecodeError
        if at != end:
            raise DecodeError

    def _look_into(self, known: int | _Fields | None, at: int, size: int) -> None:
        if known is None:
            return
        if isinstance(known, dict):
            if size > SHORT:
                self.walk(at, at + size, known)
            else:
                self._take(size // 2)
            return
        # The last byte of a number alone has no bit of continuation.
        last = (
            np.count_nonzero(np.frombuffer(self._body, np.int8, size, at) >= 0)
            if known == 1
            else size // known
        )
        self._numbers += int(last)
        if self._numbers > MOST_NUMBERS:
            expected = f"at most {MOST_NUMBERS} numbers that are not raw in a body"
            raise InputTooLarge("request", expected, f"{self._numbers}")

    def _take(self, count: int) -> None:
        self._fields += count
        if self._fields > MOST_FIELDS:
            raise InputTooLarge("request", f"at most {MOST_FIELDS} fields in a body", "more")

    def _varint(self, at: int) -> tuple[int, int]:
        """Returns the number that begins there, and where it has ended."""
        byte = self._body[at]
        if byte < 0x80:
            return byte, at + 1
        value, shift = byte & 0x7F, 7
        while shift < 70:
            at += 1
            byte = self._body[at]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at + 1
            shift += 7
        raise DecodeError
