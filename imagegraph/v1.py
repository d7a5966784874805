"""Bodies of KServe's V1 and of Vertex AI: `instances` and `parameters` in, `predictions` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imagegraph import wire
from imagegraph.errors import InvalidInput
from imagegraph.message import Message, Tensor
from imagegraph.ports import Port


def instances(body: bytes, request_id: str) -> list[Message]:
    """Decodes a request: every instance is an object of inputs, `parameters` are inputs of all.

    Raises:
        InvalidInput: names the field at fault.
    """
    document = wire.parse(body)
    found = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise InvalidInput("instances", "one or more objects, each with inputs by name", found)
    common = document.get("parameters", {})
    if not isinstance(common, dict):
        raise InvalidInput("parameters", "an object with inputs by name", common)
    return [Message({**common, **one}, id=request_id) for one in found]


def predictions(answers: Sequence[Message], ports: Mapping[str, Port]) -> bytes:
    """Encodes the answers, in the order of the instances.

    Args:
        ports: that are known; they tell a list of one from a scalar in what comes from pods or a cache.
    """

    def plain(name: str, value: Any) -> Any:
        return ports[name].read(value) if name in ports and isinstance(value, Tensor) else value

    rows = [{name: plain(name, value) for name, value in one.values.items()} for one in answers]
    return wire.plain({"predictions": rows})
