"""Messages on the wire: the Open Inference Protocol (V2) as JSON or with the binary extension.

Values that a node does not read stay `Tensor`s: decoded from the frame, never looked into.

Source: Open Inference Protocol, "Binary Tensor Data Extension" of Triton's HTTP protocol.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pybase64

from imagegraph.codecs import json_text
from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from imagegraph.message import Message, Tensor
from imagegraph.wire import tensors

TIMINGS = "timings"  # a request's parameter that asks for seconds by node, and the answer's that has them
HEADER_LENGTH = "Inference-Header-Content-Length"
_LENGTH = re.compile(r"[0-9]{1,18}")  # of more digits Python makes no number


def encode(
    message: Message, kind: str = "inputs", binary: bool | Collection[str] = True
) -> tuple[bytes, int | None]:
    """Encodes a message as a V2 request (`kind` "inputs") or response ("outputs").

    Args:
        binary: which values are written as the binary extension has them: all, none, or those named.

    Returns:
        The body and, if any is `binary`, the length of its JSON part for the HEADER_LENGTH header.
    """
    chunks: list[bytes] | None = [] if binary else None
    head = _head(message, kind, chunks, message.values if binary is True else binary or ())
    if binary and kind == "inputs":
        head.setdefault("parameters", {})["binary_data_output"] = True
    return _join(head, chunks)


def encode_answers(messages: Sequence[Message]) -> tuple[bytes, int | None]:
    """Encodes a list of V2 responses, the binary data of all behind it; our own COMBINERs read that.

    Returns:
        As `encode`.
    """
    chunks: list[bytes] = []
    return _join([_head(message, "outputs", chunks, message.values) for message in messages], chunks)


async def encode_pictures(values: Mapping[str, Any]) -> None:
    """Encodes what are only pixels yet, in threads, so that the loop answers others meanwhile.

    To be awaited before values leave the process. A picture that another component of this process
    replaces before that is never encoded.
    """
    drawn = [
        one
        for value in values.values()
        for one in (value if isinstance(value, list) else (value,))
        if isinstance(one, Image) and not one.is_encoded
    ]
    if drawn:
        await asyncio.gather(*(asyncio.to_thread(getattr, one, "data") for one in drawn))


def _head(message: Message, kind: str, chunks: list[bytes] | None, binary: Collection[str]) -> dict[str, Any]:
    """Returns the JSON part of a message; the data of what is `binary` go to `chunks`, if there are any."""
    entries = []
    for name, value in message.values.items():
        if value is None:
            continue
        one = tensors.of(value)
        entry: dict[str, Any] = {"name": name, "datatype": one.datatype, "shape": list(one.shape)}
        if chunks is None or name not in binary:
            entry["data"] = tensors.to_json(one)
        else:
            parts = tensors.raw(one)
            entry["parameters"] = {"binary_data_size": sum(map(len, parts))}
            chunks.extend(parts)
        entries.append(entry)
    head: dict[str, Any] = {"id": message.id}
    if message.origin:
        head["model_name"] = message.origin
    if message.version and kind == "outputs":
        head["model_version"] = message.version
    if message.parameters:
        head["parameters"] = dict(message.parameters)
    head[kind] = entries
    return head


def _join(head: Any, chunks: list[bytes] | None) -> tuple[bytes, int | None]:
    text = orjson.dumps(head, option=orjson.OPT_SERIALIZE_NUMPY)
    return (text, None) if chunks is None else (b"".join([text, *chunks]), len(text))


def plain(values: Any) -> bytes:
    """Writes values as plain JSON, as the V1 protocol has them: pictures as base64, shape [1] as a scalar."""

    def default(value: Any) -> Any:
        if isinstance(value, Image):
            return pybase64.b64encode_as_string(value.data)
        if isinstance(value, bytes):
            return tensors.as_text(value)
        if isinstance(value, Tensor):
            items = value.data if value.datatype == "BYTES" else value.array()
            return items[0] if value.shape == (1,) else items
        raise TypeError(f"no JSON for {type(value).__name__}")

    # Tensors are dataclasses, of which orjson would write the fields.
    option = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATACLASS
    return orjson.dumps(values, default=default, option=option)


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
        binary: which values are to be binary in the answer: all, none, or those named.
    """

    messages: list[Message]
    outputs: list[str] | None
    binary: bool | frozenset[str]


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
    asked = head.get("outputs") if "inputs" in head else None
    if not asked or not all(map(_is_asked, asked)):
        return Request([message], None, _flag(message.parameters, "binary_data_output", "parameters", False))
    default = _flag(message.parameters, "binary_data_output", "parameters", False)
    wants_binary = set()
    for index, one in enumerate(asked):
        at = f"outputs[{index}].parameters"
        if _flag(_parameters(one, at), "binary_data", at, default):
            wants_binary.add(one["name"])
    return Request([message], [one["name"] for one in asked], frozenset(wants_binary))


def _flag(parameters: Mapping[str, Any], name: str, at: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidInput(f"{at}.{name}", "true or false", value)
    return value


def _is_asked(output: Any) -> bool:
    """Whether an entry of `outputs` asks for a value, rather than being one that an answer left behind."""
    return isinstance(output, dict) and "datatype" not in output and isinstance(output.get("name"), str)


class _Binary:
    """The bytes behind the JSON part, handed out tensor by tensor, and what the body may still bring."""

    def __init__(self, data: memoryview) -> None:
        self._left = data
        self.allowance = tensors.Allowance()

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
    return json_text.parse(body[:end], "body"), _Binary(memoryview(body)[end:])


def _answers(answers: Any, binary: _Binary) -> list[Message]:
    if isinstance(answers, (dict, list)):
        binary.allowance.take("tensors", len(answers), "body")
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


def _message(head: Mapping[str, Any], binary: _Binary) -> Message:
    # An answer that was handed on may carry both: what the last node wrote counts. A request may name
    # the outputs that it asks for.
    outputs = head.get("outputs")
    for name in ("inputs", "outputs"):
        if isinstance(head.get(name), list):
            binary.allowance.take("tensors", len(head[name]), name)
    asked = "inputs" in head and isinstance(outputs, list) and all(map(_is_asked, outputs))
    kind = "outputs" if "outputs" in head and not asked else "inputs"
    entries = head.get(kind)
    if not isinstance(entries, list):
        raise InvalidInput(kind, "a list of tensors", entries)
    values: dict[str, Any] = {}
    for index, entry in enumerate(entries):
        at = f"{kind}[{index}]"
        if not isinstance(entry, dict):
            raise InvalidInput(at, "a tensor object", entry)
        name, datatype, shape = tensors.check(
            entry.get("name"), entry.get("datatype"), entry.get("shape"), at, binary.allowance
        )
        if name in values:
            raise InvalidInput(at, "every name once", name)
        parameters = _parameters(entry, f"{at}.parameters")
        if "binary_data_size" in parameters:
            taken = binary.take(parameters["binary_data_size"], f"{at}.parameters.binary_data_size")
            values[name] = tensors.from_raw(taken, datatype, shape, at)
        else:
            values[name] = tensors.from_json(entry.get("data"), datatype, shape, at, binary.allowance)
    about = [_optional(head, name, str, "text", name) for name in ("id", "model_name")]
    version = head.get("model_version")
    parameters = _parameters(head, "parameters")
    binary.allowance.take("parameters", len(parameters), "parameters")
    return Message(
        values, about[0] or "", about[1] or "", parameters, version if isinstance(version, str) else ""
    )


def _optional(document: Mapping[str, Any], name: str, kind: type, expected: str, at: str) -> Any:
    value = document.get(name)
    if value is not None and not isinstance(value, kind):
        raise InvalidInput(at, expected, value)
    return value


def _parameters(document: Mapping[str, Any], at: str) -> Mapping[str, Any]:
    return _optional(document, "parameters", dict, "an object", at) or {}
