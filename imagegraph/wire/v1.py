"""Bodies of KServe's V1 and of Vertex AI: `instances` and `parameters` in, `predictions` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pybase64

from imagegraph.codecs import json_text
from imagegraph.errors import InputTooLarge, InvalidInput
from imagegraph.message import Message, Tensor
from imagegraph.ports import Port
from imagegraph.wire import tensors, v2_json


def instances(body: bytes, request_id: str, most: int) -> list[Message]:
    """Decodes a request: every instance is an object of inputs, `parameters` are inputs of all.

    Args:
        most: how many instances it may have.

    Raises:
        InvalidInput: names the field at fault.
    """
    document = json_text.parse(body, "body")
    found = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise InvalidInput("instances", "one or more objects, each with inputs by name", found)
    if len(found) > most:
        raise InputTooLarge("instances", f"at most {most}, which is how many may wait", f"{len(found)}")
    common = document.get("parameters", {})
    if not isinstance(common, dict):
        raise InvalidInput("parameters", "an object with inputs by name", common)
    common = _inputs(common, "parameters")
    rows = [_inputs(one, f"instances[{index}]") for index, one in enumerate(found)]
    return [Message({**common, **row}, id=request_id) for row in rows]


def _inputs(values: Mapping[str, Any], at: str) -> dict[str, Any]:
    if len(values) > tensors.MOST["tensors"]:
        raise InputTooLarge(at, f"at most {tensors.MOST['tensors']} inputs", f"{len(values)}")
    return {name: _read(value, f"{at}.{name}") for name, value in values.items()}


def _read(value: Any, at: str) -> Any:
    """Returns the bytes of `{"b64": "…"}`, as TensorFlow Serving's V1 has them, alone or in a list."""
    if isinstance(value, list):
        return [_read(item, at) for item in value] if any(isinstance(item, dict) for item in value) else value
    if not isinstance(value, dict) or value.keys() != {"b64"} or not isinstance(value["b64"], str):
        return value
    try:
        return pybase64.b64decode(value["b64"], validate=True)
    except ValueError as error:
        raise InvalidInput(at, f"base64 ({error})", value["b64"]) from error


def predictions(answers: Sequence[Message], ports: Mapping[str, Port]) -> bytes:
    """Encodes the answers, in the order of the instances.

    Args:
        ports: that are known; they tell a list of one from a scalar in what comes from pods or a cache.
    """

    def plain(name: str, value: Any) -> Any:
        return ports[name].read(value) if name in ports and isinstance(value, Tensor) else value

    rows = [{name: plain(name, value) for name, value in one.values.items()} for one in answers]
    return v2_json.plain({"predictions": rows})
