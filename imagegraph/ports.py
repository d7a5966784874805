"""Ports: the typed, named values of a signature, how they are checked and how they stand on the wire."""

from __future__ import annotations

import functools
import math
import operator
import types
import typing
from dataclasses import dataclass, replace
from typing import Annotated, Any, get_args, get_origin

import numpy as np
import pydantic
from numpy.typing import NDArray
from pydantic import Field, GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from imagegraph.codecs import json_text
from imagegraph.codecs.pixels import check_size
from imagegraph.errors import InputTooLarge, InvalidInput
from imagegraph.image import Image
from imagegraph.message import DATATYPES, Tensor

MAX_ITEMS = 2**16  # of a list; larger ones are arrays
MAX_LISTS = 2**17  # and objects, of one mapping or model
# The channels behind height and width with which raw pixels are a picture, by datatype.
PIXELS: dict[str, tuple[list[int], ...]] = {"UINT8": ([3], []), "UINT16": ([],)}
RAW = "UINT8 [h, w, 3] or [h, w], or UINT16 [h, w]"


@dataclass(frozen=True)
class Array:
    """Annotation of an array port: `Annotated[np.ndarray, Array("float32", (-1, 17, 3))]`."""

    dtype: str
    shape: tuple[int, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        plain = core_schema.plain_serializer_function_ser_schema(np.ndarray.tolist)
        anything = core_schema.any_schema()
        return core_schema.no_info_after_validator_function(self._validate, anything, serialization=plain)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return {"type": "array", "dtype": self.dtype, "shape": list(self.shape), **handler(schema)}

    def _validate(self, value: Any) -> NDArray[Any]:
        array = np.asarray(value)
        if array.ndim != len(self.shape) or any(
            size not in (-1, got) for size, got in zip(self.shape, array.shape, strict=True)
        ):
            raise ValueError(f"an array of shape {list(self.shape)}, not {list(array.shape)}")
        if not np.can_cast(array.dtype, self.dtype, "same_kind"):
            raise ValueError(f"an array of {self.dtype}, not {array.dtype}")
        array = array.astype(self.dtype, copy=False)
        if array.flags.writeable:  # other components may read the same one
            array = array.view()
            array.flags.writeable = False
        return array


def _image_schema(cls: type, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    def validate(value: Any) -> Image:
        if isinstance(value, Image):
            return value
        if isinstance(value, (bytes, bytearray, memoryview)):
            return Image.from_bytes(bytes(value))
        if isinstance(value, str):
            return Image.from_text(value)
        raise ValueError("a JPEG, PNG or WebP picture")

    return core_schema.no_info_plain_validator_function(validate)


# image.py stays free of pydantic; the schema is the ports' business.
Image.__get_pydantic_core_schema__ = classmethod(_image_schema)  # type: ignore[attr-defined]
Image.__get_pydantic_json_schema__ = classmethod(  # type: ignore[attr-defined]
    lambda cls, schema, handler: {"type": "string", "format": "binary"}
)


@dataclass(frozen=True)
class OpenName:
    """Annotation of a text that names an open port of its component: `Annotated[str, OpenName()]`.

    Attributes:
        others: names that are allowed beside those.
    """

    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class AdapterName:
    """Annotation of a text that names an adapter of its component: `Annotated[str, AdapterName()]`."""


@dataclass(frozen=True)
class Names:
    """What an entry has by names of its own: open ports, and adapters."""

    opened: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()

    def choice(self, mark: Any) -> Any:
        """Returns the type of the texts that a mark of an annotation allows; None if it marks none."""
        if isinstance(mark, OpenName):
            return _one_of((*self.opened, *mark.others))
        return _one_of(self.adapters) if isinstance(mark, AdapterName) else None


def _one_of(names: tuple[str, ...]) -> Any:
    def refuse(name: str) -> str:
        raise ValueError("no name, since there is none")

    none = Annotated[str, pydantic.AfterValidator(refuse), Field(json_schema_extra={"enum": []})]
    return typing.Literal[names] if names else none


def _close(annotation: Any, names: Names) -> Any:
    """Puts the names that there are where an annotation has `OpenName` or `AdapterName`."""
    if get_origin(annotation) is Annotated:
        inner, *extras = get_args(annotation)
        for extra in extras:
            if choice := names.choice(extra):
                return choice
        return Annotated[(_close(inner, names), *extras)]
    parts = get_args(annotation)
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return functools.reduce(operator.or_, (_close(part, names) for part in parts))
    if parts and get_origin(annotation) in (list, dict):
        return get_origin(annotation)[tuple(_close(part, names) for part in parts)]
    return annotation


@dataclass(frozen=True)
class Port:
    """A typed, named value of a signature.

    Attributes:
        annotation: the Python type with its constraints.
        required: whether a request must bring it (no default).
        default: what stands in when it is absent.
        datatype, shape: how it stands on the wire; -1 is any length.
    """

    name: str
    annotation: Any
    required: bool
    default: Any = None

    @functools.cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        bare = get_args(self.annotation)[0] if get_origin(self.annotation) is Annotated else self.annotation
        if isinstance(bare, type) and issubclass(bare, pydantic.BaseModel):
            return TypeAdapter(self.annotation)  # it has a configuration of its own
        return TypeAdapter(self.annotation, config={"arbitrary_types_allowed": True})

    @functools.cached_property
    def _core(self) -> tuple[Any, Array | None]:
        """The annotation without Optional and Annotated, and its Array if it has one."""
        annotation, array = self.annotation, None
        while True:
            if get_origin(annotation) is Annotated:
                annotation, *extras = get_args(annotation)
                array = next((extra for extra in extras if isinstance(extra, Array)), array)
            elif get_origin(annotation) in (typing.Union, types.UnionType):
                annotation = next(arm for arm in get_args(annotation) if arm is not type(None))
            else:
                return annotation, array

    @functools.cached_property
    def kind(self) -> Any:
        """The bare Python type, such as int, str, Image or list[Image]."""
        return self._core[0]

    @functools.cached_property
    def is_list(self) -> bool:
        """Whether the port holds a list, on the wire a tensor of any length."""
        return get_origin(self.kind) is list

    @functools.cached_property
    def datatype(self) -> str:
        """Name of the datatype in the Open Inference Protocol."""
        kind, array = self._core
        if array:
            return next(name for name, dtype in DATATYPES.items() if dtype == np.dtype(array.dtype))
        item = get_args(kind)[0] if self.is_list else kind
        return {bool: "BOOL", int: "INT64", float: "FP64"}.get(Port("", item, True).kind, "BYTES")

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape on the wire."""
        _, array = self._core
        return array.shape if array else (-1,) if self.is_list else (1,)

    @functools.cached_property
    def content_type(self) -> str:
        """What the elements of BYTES are, where they are no text: pictures or JSON."""
        return "image/*" if self.holds_images else "application/json" if self._is_structured else ""

    @property
    def description(self) -> str:
        """The sentence from `Field(description=…)`, or nothing."""
        return str(self.schema.get("description", ""))

    @functools.cached_property
    def schema(self) -> dict[str, Any]:
        """JSON schema: type, limits, choices, description, unit; of an optional port that of its value."""
        schema = self._adapter.json_schema()
        given = [arm for arm in schema.get("anyOf", ()) if arm != {"type": "null"}]
        if len(given) == 1:
            del schema["anyOf"]
            schema = {**given[0], **schema}
        return schema

    @functools.cached_property
    def facts(self) -> dict[str, Any]:
        """What a form for the port needs to know: whether it is required, its default, its JSON schema."""
        facts: dict[str, Any] = {"required": self.required, "schema": self.schema}
        if self.default is not None:
            facts["default"] = self.plain(self.default)
        return facts

    def closed(self, names: Names) -> Port:
        """Returns the port of an entry that has these names; see `OpenName` and `AdapterName`."""
        return replace(self, annotation=_close(self.annotation, names))

    def read(self, value: Any) -> Any:
        """Validates a value, from Python or from the wire.

        Raises:
            InvalidInput: names the port, the expectation and the value.
        """
        if isinstance(value, Tensor):
            value = self._from_tensor(value)
        if isinstance(value, str) and (self._is_structured or self._core[1]):
            value = json_text.parse(value, self.name, MAX_LISTS)
        if isinstance(value, list) and not self._core[1]:
            self._limit((len(value),))
        if self.datatype in ("INT64", "FP64"):
            # pydantic, and Python, take True for 1.
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, bool):
                    raise InvalidInput(self.name, "a number", item)
        try:
            if self.kind is Image and isinstance(value, bytes):
                checked = Image.from_bytes(value)  # as pydantic would, which takes longer
            else:
                checked = self._adapter.validate_python(value)
        except pydantic.ValidationError as error:
            detail = error.errors(include_url=False)[0]
            steps = [part for part in detail["loc"] if part != "[key]"]
            at = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
            raise InvalidInput(f"{self.name}{at}", _expectation(detail["msg"]), detail["input"]) from None
        except InvalidInput as error:
            raise type(error)(self.name, error.expected, error.got) from None
        for item in checked if isinstance(checked, list) else [checked]:
            if isinstance(item, Image):
                item.check(self.name)
            elif type(item) is int and not -(2**63) <= item < 2**63:
                raise InvalidInput(self.name, "a whole number of 64 bits, as the wire has them", item)
        return checked

    def plain(self, value: Any) -> Any:
        """Returns a value as JSON knows it; arrays as nested lists, no pictures; None if not given."""
        return None if value is None else self._adapter.dump_python(value, mode="json")

    @functools.cached_property
    def holds_images(self) -> bool:
        """Whether the port holds a picture or a list of pictures."""
        return self.kind is Image or (self.is_list and get_args(self.kind)[0] is Image)

    def _from_tensor(self, tensor: Tensor) -> Any:
        """Returns what a tensor holds; its shape and datatype are looked at before its values."""
        if self._core[1]:
            if tensor.datatype == "BYTES":
                raise InvalidInput(self.name, f"an array of {self._core[1].dtype}", _form(tensor))
            return tensor.array()
        if self.holds_images and tensor.datatype in PIXELS:
            return self._from_pixels(tensor)
        if self.is_list:
            if sum(size != 1 for size in tensor.shape) > 1:
                raise InvalidInput(self.name, "a list", _form(tensor))
            self._limit(tensor.shape)
        elif tensor.shape != (1,) and math.prod(tensor.shape) != 1:
            expected = f"one picture: encoded, or raw as {RAW}" if self.holds_images else "one value"
            raise InvalidInput(self.name, expected, _form(tensor))
        items = [item if isinstance(item, (bytes, str)) else item.item() for item in tensor.data]
        if self.datatype == "BYTES" and not self.holds_images:
            items = [self._text(item) for item in items]
        return items if self.is_list else items[0]

    def _from_pixels(self, tensor: Tensor) -> Any:
        """Returns raw pixels as the picture, or the list of pictures, that they are."""
        array = tensor.array()
        if not self.is_list and array.ndim > 2 and len(array) == 1:
            array = array[0]
        height, width, *channels = array.shape[self.is_list :] if array.ndim > 1 + self.is_list else (0, 0)
        if not height or channels not in PIXELS[tensor.datatype]:
            raise InvalidInput(self.name, f"pixels as {'[n, …] of ' * self.is_list}{RAW}", _form(tensor))
        check_size(width, height, self.name)
        if not self.is_list:
            return Image.from_array(array)
        self._limit(array.shape[:1])
        return [Image.from_array(one) for one in array]

    def _limit(self, shape: tuple[int, ...]) -> None:
        if math.prod(shape) > MAX_ITEMS:
            raise InputTooLarge(self.name, f"at most {MAX_ITEMS} values", f"{math.prod(shape)}")

    @functools.cached_property
    def _is_structured(self) -> bool:
        """Whether the port holds a mapping or a model, which travels as JSON text."""
        kind = get_origin(self.kind) or self.kind
        return isinstance(kind, type) and issubclass(kind, (dict, pydantic.BaseModel))

    def _text(self, item: Any) -> Any:
        try:
            return item.decode() if isinstance(item, bytes) else item
        except UnicodeDecodeError as error:
            raise InvalidInput(self.name, "text in UTF-8", item) from error


def _form(tensor: Tensor) -> str:
    return f"a tensor of {tensor.datatype} and shape {list(tensor.shape)}"


def _expectation(message: str) -> str:
    """Turns pydantic's "Input should be …" into the tail of "expected …"."""
    for prefix in ("Input should be ", "Value error, ", "String should have ", "List should have "):
        message = message.removeprefix(prefix)
    message, *_ = message.split(" after validation, not ")  # how many came is seen in what came
    return "no such field" if message.startswith("Extra inputs") else message


# The ports that several components share: one name, one meaning, one range everywhere.
Prompt = Annotated[str, Field(max_length=2000, description="What the picture shows")]
NegativePrompt = Annotated[str, Field(max_length=2000, description="What the picture must not show")]
# Larger integers do not survive JSON doubles, as in Seldon's executor.
SEEDS = 2**53
Seed = Annotated[int, Field(ge=0, lt=SEEDS, description="Equal seeds draw equal pictures")]
Unit = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
