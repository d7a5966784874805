"""What V2 metadata say of a model, and values as they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import orjson

from imagegraph.answer import Answer, Facts
from imagegraph.image import Image
from imagegraph.message import Message, Tensor
from imagegraph.wire.v2_json import TIMINGS


class Model(NamedTuple):
    """What is known of a model before it is asked.

    Attributes:
        inputs, outputs: their names.
        tensors: what the metadata say of each, by name.
        pictures: the names of what a request may bring as pictures, and whether it is a list of them.
    """

    inputs: Sequence[str]
    outputs: Sequence[str]
    tensors: Mapping[str, Mapping[str, Any]]
    pictures: Mapping[str, bool]
    facts: Facts

    @property
    def taken(self) -> frozenset[str]:
        """The names of all that a request may bring: inputs, and priors instead of having them read."""
        return self.facts.priors.union(self.inputs)

    @classmethod
    def read(cls, metadata: Mapping[str, Any]) -> Self:
        """Reads it out of V2 metadata."""
        facts = Facts.read(metadata)
        brought = [one for one in metadata["outputs"] if one["name"] in facts.priors]
        holding = [one for one in [*brought, *metadata["inputs"]] if _content_type(one) == "image/*"]
        tensors = {one["name"]: one for one in [*metadata["inputs"], *metadata["outputs"]]}
        inputs, outputs = ([one["name"] for one in metadata[kind]] for kind in ("inputs", "outputs"))
        return cls(inputs, outputs, tensors, {one["name"]: one["shape"] != [1] for one in holding}, facts)

    def is_text(self, name: str) -> bool:
        """Whether a value is one text."""
        tensor = self.tensors[name]
        return (tensor["datatype"], tensor["shape"], _content_type(tensor)) == ("BYTES", [1], None)

    def is_list(self, name: str, count: int) -> bool:
        """Whether a value of so many items is a list; what is not known is one if it has several."""
        return bool(self.tensors[name]["shape"] != [1]) if name in self.tensors else count != 1

    def answer(self, message: Message, request: Mapping[str, Any]) -> Answer:
        """Makes the answer to a request of what came."""
        found = {name: plain(value, self.tensors.get(name)) for name, value in message.values.items()}
        parameters = dict(message.parameters)
        timings = parameters.pop(TIMINGS, None)
        seconds = orjson.loads(timings) if isinstance(timings, str) else {}
        return Answer(found, message.id, parameters, seconds, self.facts, request)


def _content_type(about: Mapping[str, Any]) -> str | None:
    """Returns what a tensor's BYTES are, where they are no text."""
    kind: str | None = about.get("parameters", {}).get("content_type")
    return kind


def plain(tensor: Tensor, about: Mapping[str, Any] | None = None) -> Any:
    """Returns a tensor's value as Python has it: pictures, texts, numbers; a list of them, or an array.

    Args:
        about: what the model's metadata say of the tensor. Without, one value is no list, and bytes that
            are no text are a picture.
    """
    if tensor.datatype != "BYTES":
        items = tensor.array() if len(tensor.shape) != 1 else tensor.array().tolist()
    else:
        kind = None if about is None else _content_type(about)
        items = [_READ.get(kind, _text)(item) for item in tensor.data]
    one = tensor.shape == (1,) and (about is None or about["shape"] == [1])
    return items[0] if one else items


def _text(item: bytes | str) -> Any:
    if isinstance(item, str):
        return item
    try:
        return item.decode()
    except UnicodeDecodeError:
        return Image(item)


def _picture(item: bytes | str) -> Image:
    return Image.from_text(item) if isinstance(item, str) else Image.from_bytes(item)


# How elements of BYTES are read, by the content type that metadata name.
_READ: Mapping[str | None, Callable[[bytes | str], Any]]
_READ = {"image/*": _picture, "application/json": orjson.loads}
