"""Messages on the wire: the Open Inference Protocol (V2) as JSON or with the binary extension.

Values that a node does not read stay `Tensor`s: decoded from the frame, never looked into.
In JSON, bytes that are no text (pictures) stand as base64; Seldon's executor and KServe's router
carry nothing else. With the binary extension they stand as they are. JSON knows neither NaN nor
infinity: both stand as null, which is read as NaN.

Source: Open Inference Protocol, "Binary Tensor Data Extension" of Triton's HTTP protocol.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import orjson
import pybase64
from numpy.typing import NDArray

from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from imagegraph.message import DATATYPES, Message, Tensor

HEADER_LENGTH = "Inference-Header-Content-Length"
MAX_DIMENSIONS = 8
_LENGTH = re.compile(r"[0-9]{1,18}")  # of more digits Python makes no number


def tensor(value: Any) -> Tensor:
    """Wraps a Python value: a scalar as shape [1], a list as [n], an array in its own shape.

    Structured values (mappings, lists of lists) become JSON text in a BYTES tensor.
    """
    if isinstance(value, Tensor):
        return value
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
        return Tensor("INT64", (len(items),), np.array(items, dtype=np.int64))
    if kinds and kinds <= {int, float}:
        return Tensor("FP64", (len(items),), np.array(items, dtype=np.float64))
    if kinds <= {str, bytes, Image}:
        return Tensor("BYTES", (len(items),), [_bytes(item) for item in items])
    return Tensor("BYTES", (1,), [orjson.dumps(value)])


def _bytes(item: str | bytes | Image) -> bytes | str:
    return item.data if isinstance(item, Image) else item


def encode(message: Message, kind: str = "inputs", binary: bool = True) -> tuple[bytes, int | None]:
    """Encodes a message as a V2 request (`kind` "inputs") or response ("outputs").

    Returns:
        The body and, if `binary`, the length of its JSON part for the HEADER_LENGTH header.
    """
    chunks: list[bytes] | None = [] if binary else None
    head = _head(message, kind, chunks)
    if binary and kind == "inputs":
        head.setdefault("parameters", {})["binary_data_output"] = True
    return _join(head, chunks)


def encode_answers(messages: Sequence[Message]) -> tuple[bytes, int | None]:
    """Encodes a list of V2 responses, the binary data of all behind it; our own COMBINERs read that.

    Returns:
        As `encode`.
    """
    chunks: list[bytes] = []
    return _join([_head(message, "outputs", chunks) for message in messages], chunks)


def _head(message: Message, kind: str, chunks: list[bytes] | None) -> dict[str, Any]:
    """Returns the JSON part of a message; its binary data go to `chunks`, if there are to be any."""
    entries = []
    for name, value in message.values.items():
        if value is None:
            continue
        one = tensor(value)
        entry: dict[str, Any] = {"name": name, "datatype": one.datatype, "shape": list(one.shape)}
        if chunks is None:
            entry["data"] = _json_data(one)
        else:
            parts = raw(one)
            entry["parameters"] = {"binary_data_size": sum(map(len, parts))}
            chunks.extend(parts)
        entries.append(entry)
    head: dict[str, Any] = {"id": message.id}
    if message.origin:
        head["model_name"] = message.origin
    if message.parameters:
        head["parameters"] = dict(message.parameters)
    head[kind] = entries
    return head


def _join(head: Any, chunks: list[bytes] | None) -> tuple[bytes, int | None]:
    text = orjson.dumps(head, option=orjson.OPT_SERIALIZE_NUMPY)
    return (text, None) if chunks is None else (b"".join([text, *chunks]), len(text))


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


def _json_data(one: Tensor) -> Any:
    if one.datatype != "BYTES":
        return one.data
    return [item if isinstance(item, str) else _as_text(item) for item in one.data]


def plain(values: Any) -> bytes:
    """Writes values as plain JSON, as the V1 protocol has them: pictures as base64, shape [1] as a scalar."""

    def default(value: Any) -> Any:
        if isinstance(value, Image):
            return pybase64.b64encode_as_string(value.data)
        if isinstance(value, bytes):
            return _as_text(value)
        if isinstance(value, Tensor):
            items = value.data if value.datatype == "BYTES" else value.array()
            return items[0] if value.shape == (1,) else items
        raise TypeError(f"no JSON for {type(value).__name__}")

    # Tensors are dataclasses, of which orjson would write the fields.
    option = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATACLASS
    return orjson.dumps(values, default=default, option=option)


def _as_text(item: bytes) -> str:
    """UTF-8 if it is text, else base64; no JPEG, PNG or WebP is valid UTF-8."""
    try:
        return item.decode()
    except UnicodeDecodeError:
        return pybase64.b64encode_as_string(item)


def decode(body: bytes, header_length: int | None = None) -> Message:
    """Decodes one V2 request or response.

    Args:
        body: the whole HTTP body.
        header_length: the HEADER_LENGTH header, when the body has binary tensors.

    Raises:
        InvalidInput: names the field at fault.
    """
    head, binary = _split(body, header_length)
    if not isinstance(head, dict):
        raise InvalidInput("body", "a JSON object", head)
    message = _message(head, binary)
    binary.finish()
    return message


@dataclass(frozen=True)
class Request:
    """What a client asks of a node, in any of the four shapes that graphs send.

    Attributes:
        messages: one, or the answers that a COMBINER or a step after an Ensemble gets.
        outputs: the values wanted back; None is all.
        binary: whether the answer is to have binary tensors.
    """

    messages: list[Message]
    outputs: list[str] | None
    binary: bool


def decode_request(body: bytes, header_length: int | None = None) -> Request:
    """Decodes a V2 request, a V2 response, a list of V2 responses or an object of them by step.

    Raises:
        InvalidInput: names the field at fault.
    """
    head, binary = _split(body, header_length)
    if not isinstance(head, dict) or not head.keys() & {"inputs", "outputs"}:
        answers = _answers(head, binary)
        binary.finish()
        return Request(answers, None, binary=header_length is not None)
    message = _message(head, binary)
    binary.finish()
    asked = [one for one in head.get("outputs") or [] if _is_asked(one)] if "inputs" in head else []
    wants_binary = any(_parameters(one, "outputs").get("binary_data") for one in asked)
    return Request(
        [message],
        [one["name"] for one in asked] or None,
        wants_binary or bool(message.parameters.get("binary_data_output", header_length is not None)),
    )


def _is_asked(output: Any) -> bool:
    """Whether an entry of `outputs` asks for a value, rather than being one that an answer left behind."""
    return isinstance(output, dict) and "datatype" not in output and isinstance(output.get("name"), str)


class _Binary:
    """The bytes behind the JSON part, handed out tensor by tensor."""

    def __init__(self, data: memoryview) -> None:
        self._left = data

    def take(self, size: Any, at: str) -> memoryview:
        if not isinstance(size, int) or not 0 <= size <= len(self._left):
            raise InvalidInput(at, f"at most the {len(self._left)} bytes that are left", size)
        taken, self._left = self._left[:size], self._left[size:]
        return taken

    def finish(self) -> None:
        if self._left:
            raise InvalidInput("body", "no bytes behind those of its tensors", f"{len(self._left)} more")


def header_length(text: str | None) -> int | None:
    """Reads the HEADER_LENGTH header.

    Raises:
        InvalidInput: it is no number.
    """
    if text is None:
        return None
    if not _LENGTH.fullmatch(text):
        raise InvalidInput(HEADER_LENGTH, "a number", text)
    return int(text)


def _split(body: bytes, header_length: int | None) -> tuple[Any, _Binary]:
    """Returns the JSON part of a body, parsed, and the binary part."""
    if header_length is not None and not 0 <= header_length <= len(body):
        raise InvalidInput(HEADER_LENGTH, f"0 to the body's {len(body)} bytes", header_length)
    end = len(body) if header_length is None else header_length
    return parse(body[:end]), _Binary(memoryview(body)[end:])


def _answers(answers: Any, binary: _Binary) -> list[Message]:
    if isinstance(answers, dict) and not answers.keys() & {"inputs", "outputs"}:
        answers = [{"model_name": name, **answer} for name, answer in _objects(answers.items())]
    elif isinstance(answers, list):
        answers = [answer for _, answer in _objects(enumerate(answers))]
    if not isinstance(answers, list) or not answers:
        raise InvalidInput(
            "body", "a V2 request, a list of V2 responses, or an object of them by step", answers
        )
    return [_message(answer, binary) for answer in answers]


def _objects(pairs: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, answer in pairs:
        # KServe's router merges the error body of a step that may fail as if it were an answer.
        if not isinstance(answer, dict) or not answer.keys() & {"inputs", "outputs"}:
            raise InvalidInput(f"body[{name}]", "a V2 response", answer)
        yield str(name), answer


def parse(text: bytes) -> Any:
    """Parses JSON.

    Raises:
        InvalidInput: it is not JSON.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput("body", f"JSON ({error})", bytes(text[:40])) from error


def _message(head: Mapping[str, Any], binary: _Binary) -> Message:
    # An answer that was handed on may carry both: what the last node wrote counts. A request may name
    # the outputs that it asks for.
    outputs = head.get("outputs")
    asked = "inputs" in head and isinstance(outputs, list) and all(map(_is_asked, outputs))
    kind = "outputs" if "outputs" in head and not asked else "inputs"
    tensors = head.get(kind)
    if not isinstance(tensors, list):
        raise InvalidInput(kind, "a list of tensors", tensors)
    values: dict[str, Any] = {}
    for index, entry in enumerate(tensors):
        at = f"{kind}[{index}]"
        name, datatype, shape, parameters = fields(entry, at)
        if name in values:
            raise InvalidInput(at, "every name once", name)
        if "binary_data_size" in parameters:
            taken = binary.take(parameters["binary_data_size"], f"{at}.parameters.binary_data_size")
            values[name] = from_raw(taken, datatype, shape, at)
        else:
            values[name] = _from_json(entry.get("data"), datatype, shape, at)
    about = [_optional(head, name, str, "text", name) for name in ("id", "model_name")]
    return Message(values, about[0] or "", about[1] or "", _parameters(head, "parameters"))


def _optional(document: Mapping[str, Any], name: str, kind: type, expected: str, at: str) -> Any:
    value = document.get(name)
    if value is not None and not isinstance(value, kind):
        raise InvalidInput(at, expected, value)
    return value


def _parameters(document: Mapping[str, Any], at: str) -> Mapping[str, Any]:
    return _optional(document, "parameters", dict, "an object", at) or {}


def fields(entry: Any, at: str) -> tuple[str, str, tuple[int, ...], Mapping[str, Any]]:
    """Returns name, datatype, shape and parameters of a tensor object that stands at `at`.

    Raises:
        InvalidInput: names the field at fault.
    """
    if not isinstance(entry, dict):
        raise InvalidInput(at, "a tensor object", entry)
    name, datatype, shape = entry.get("name"), entry.get("datatype"), entry.get("shape")
    if not isinstance(name, str) or not name:
        raise InvalidInput(f"{at}.name", "a name", name)
    if not isinstance(datatype, str) or (datatype != "BYTES" and datatype not in DATATYPES):
        raise InvalidInput(f"{at}.datatype", f"BYTES or one of {', '.join(DATATYPES)}", datatype)
    if not _is_shape(shape):
        raise InvalidInput(f"{at}.shape", f"up to {MAX_DIMENSIONS} sizes, in all below 2**31", shape)
    return name, datatype, tuple(shape), _parameters(entry, f"{at}.parameters")


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


def from_raw(raw: memoryview, datatype: str, shape: tuple[int, ...], at: str) -> Tensor:
    """Reads the values that `raw` writes.

    Raises:
        InvalidInput: they do not fit datatype and shape.
    """
    count = math.prod(shape)
    if datatype != "BYTES":
        dtype = DATATYPES[datatype].newbyteorder("<")
        if len(raw) != count * dtype.itemsize:
            raise InvalidInput(at, f"{count * dtype.itemsize} bytes for shape {list(shape)}", f"{len(raw)}")
        return Tensor(datatype, shape, np.frombuffer(raw, dtype))
    items: list[bytes | str] = []
    offset = 0
    while offset < len(raw):
        size = int.from_bytes(raw[offset : offset + 4], "little")
        if offset + 4 + size > len(raw):
            expected = f"4 bytes of length and {size} of element {len(items)}"
            raise InvalidInput(at, expected, f"{len(raw) - offset} bytes")
        items.append(bytes(raw[offset + 4 : offset + 4 + size]))
        offset += 4 + size
    if len(items) != count:
        raise InvalidInput(at, f"{count} elements for shape {list(shape)}", f"{len(items)}")
    return Tensor(datatype, shape, items)


def _from_json(data: Any, datatype: str, shape: tuple[int, ...], at: str) -> Tensor:
    if not isinstance(data, list):
        raise InvalidInput(f"{at}.data", "a list", data)
    if datatype == "BYTES":
        items = list(_flat(data))
        if not all(isinstance(item, str) for item in items):
            raise InvalidInput(f"{at}.data", "text", next(x for x in items if not isinstance(x, str)))
        found: Any = items
    else:
        found = numbers(list(_flat(data)), datatype, at)
    if len(found) != math.prod(shape):
        expected = f"{math.prod(shape)} values for shape {list(shape)}"
        raise InvalidInput(f"{at}.data", expected, f"{len(found)} values")
    return Tensor(datatype, shape, found)


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


def _flat(data: Any) -> Iterator[Any]:
    """Yields the leaves of nested lists, which V2 allows in place of a flat one."""
    stack = [iter(data)]
    while stack:
        for item in stack[-1]:
            if isinstance(item, list):
                stack.append(iter(item))
                break
            yield item
        else:
            stack.pop()
