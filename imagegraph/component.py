"""A component: a class whose annotated `predict` is schema, validation, form and metadata.

class Depth(Component):
    def load(self, weights: Weights) -> None: ...
    def predict(self, image: Image) -> DepthMap: ...   # DepthMap is a TypedDict of ports
"""

from __future__ import annotations

import functools
import inspect
import threading
import time
import types
import typing
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol, get_args, get_origin

import numpy as np
import orjson
import pydantic
from numpy.typing import NDArray
from pydantic import Field, GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from imagegraph.errors import Cancelled, DeadlineExceeded, InvalidInput, UnknownName
from imagegraph.image import Image
from imagegraph.message import DATATYPES, Message, Tensor, merge


class Component:
    """Turns typed values into typed values; pure given its weights and inputs (a seed is an input).

    Subclasses define `predict` and, where they have weights, `load`. Settings are arguments of
    `__init__`, given by the catalogue. Heavy imports belong inside the methods.

    Attributes:
        max_cost: most cost of jobs that are computed together; see `Batched`.
    """

    max_cost: ClassVar[float] = 16

    if typing.TYPE_CHECKING:
        predict: ClassVar[Callable[..., Mapping[str, Any]]]

    def load(self, weights: Weights) -> None:
        """Reads the weights; called once, in the background, before the first `predict`."""


class Job(Protocol):
    """A request as `Batched.prepare` makes it.

    Attributes:
        key: jobs of equal keys can be computed together.
        cost: how much of a batch it takes, in units of the component's own `max_cost`.
    """

    @property
    def key(self) -> Hashable: ...  # noqa: D102  (said above)

    @property
    def cost(self) -> float: ...  # noqa: D102


class Batched(Component):
    """A component that computes several requests together.

    Subclasses define `prepare`, whose annotated parameters are the ports and which makes a `Job` of
    a request, and `predict_batch`. What a request answers must not depend on what shares its batch.
    """

    if typing.TYPE_CHECKING:
        prepare: ClassVar[Callable[..., Any]]
        predict_batch: ClassVar[Callable[..., Sequence[Mapping[str, Any]]]]

    def predict(self, progress: Progress, **ports: Any) -> Mapping[str, Any]:
        """Computes one request by itself."""
        return self.predict_batch([self.prepare(**ports)], progress)[0]


class Combiner(Component):
    """Makes one answer of the answers of all children: by default, unites them by name."""

    def aggregate(self, answers: Sequence[Message]) -> Mapping[str, Any]:
        """Returns the united values.

        Raises:
            InvalidInput: two children answered different values under one name.
        """
        return merge(answers)


class Router(Component):
    """Chooses the child that answers: subclasses define `route` with annotated ports.

    `route` returns a child's index, ALL_CHILDREN, or NO_CHILD to answer the request itself.
    """

    ALL_CHILDREN = -1
    NO_CHILD = -2

    if typing.TYPE_CHECKING:
        route: ClassVar[Callable[..., int]]


@dataclass(frozen=True)
class Weights(Mapping[str, Path]):
    """The folders of an entry's weights by role, and the device to put them on ("cpu", "cuda")."""

    paths: Mapping[str, Path]
    device: str = "cpu"

    def __getitem__(self, role: str) -> Path:
        return self.paths[role]

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


@dataclass
class Progress:
    """Handed to a `predict` that asks for it: reports steps and stops work nobody waits for.

    Attributes:
        listener: called with (done, total, preview); `preview` draws the picture so far on demand.
        deadline: `time.monotonic()` after which the work is stopped, if any.
    """

    listener: Callable[[int, int, Callable[[], Image] | None], None] | None = None
    deadline: float | None = None
    _cancelled: threading.Event = field(default_factory=threading.Event, repr=False)

    def cancel(self) -> None:
        """Makes the next report raise Cancelled; callable from any thread."""
        self._cancelled.set()

    def __call__(self, done: int, total: int, preview: Callable[[], Image] | None = None) -> None:
        """Reports that `done` of `total` steps are behind us.

        Raises:
            Cancelled: the request was cancelled.
            DeadlineExceeded: the request's time is over.
        """
        self.check()
        if self.listener:
            self.listener(done, total, preview)

    def check(self) -> None:
        """Raises Cancelled or DeadlineExceeded if nobody waits for the work any more."""
        if self._cancelled.is_set():
            raise Cancelled("the request was cancelled")
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise DeadlineExceeded("the request's time is over")


class JointProgress(Progress):
    """Of requests that are computed together: stops only when nobody waits for any of them."""

    def __init__(self, parts: Sequence[Progress]) -> None:
        """Takes the progress of every request; the first one's pictures are previewed."""
        super().__init__()
        self._parts = parts

    def __call__(self, done: int, total: int, preview: Callable[[], Image] | None = None) -> None:
        """Reports to all."""
        self.check()
        for index, part in enumerate(self._parts):
            if part.listener:
                part.listener(done, total, None if index else preview)

    def check(self) -> None:
        """Raises Cancelled or DeadlineExceeded if nobody waits for any of the requests."""
        for part in self._parts:
            try:
                return part.check()
            except (Cancelled, DeadlineExceeded) as error:
                last = error
        raise last


@dataclass(frozen=True)
class Array:
    """Annotation of an array port: `Annotated[np.ndarray, Array("float32", (-1, 17, 3))]`."""

    dtype: str
    shape: tuple[int, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        plain = core_schema.plain_serializer_function_ser_schema(np.ndarray.tolist)
        return core_schema.no_info_plain_validator_function(self._validate, serialization=plain)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return {"type": "array", "dtype": self.dtype, "shape": list(self.shape)}

    def _validate(self, value: Any) -> NDArray[Any]:
        array = np.asarray(value)
        if array.ndim != len(self.shape) or any(
            size not in (-1, got) for size, got in zip(self.shape, array.shape, strict=True)
        ):
            raise ValueError(f"an array of shape {list(self.shape)}, not {list(array.shape)}")
        if not np.can_cast(array.dtype, self.dtype, "same_kind"):
            raise ValueError(f"an array of {self.dtype}, not {array.dtype}")
        return array.astype(self.dtype, copy=False)


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

    @property
    def kind(self) -> Any:
        """The bare Python type, such as int, str, Image or list[Image]."""
        return self._core[0]

    @property
    def is_list(self) -> bool:
        """Whether the port holds a list, on the wire a tensor of any length."""
        return get_origin(self.kind) is list

    @property
    def datatype(self) -> str:
        """Name of the datatype in the Open Inference Protocol."""
        kind, array = self._core
        if array:
            return next(name for name, dtype in DATATYPES.items() if dtype == np.dtype(array.dtype))
        item = get_args(kind)[0] if self.is_list else kind
        return {bool: "BOOL", int: "INT64", float: "FP64"}.get(Port("", item, True).kind, "BYTES")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape on the wire."""
        _, array = self._core
        return array.shape if array else (-1,) if self.is_list else (1,)

    @property
    def description(self) -> str:
        """The sentence from `Field(description=…)`, or nothing."""
        return str(self.schema.get("description", ""))

    @functools.cached_property
    def schema(self) -> dict[str, Any]:
        """JSON schema: type, limits, description."""
        return self._adapter.json_schema()

    def read(self, value: Any) -> Any:
        """Validates a value, from Python or from the wire.

        Raises:
            InvalidInput: names the port, the expectation and the value.
        """
        if isinstance(value, Tensor):
            value = self._from_tensor(value)
        if isinstance(value, str) and self._is_structured:
            value = self._from_json(value)
        try:
            checked = self._adapter.validate_python(value)
        except pydantic.ValidationError as error:
            detail = error.errors(include_url=False)[0]
            steps = [part for part in detail["loc"] if part != "[key]"]
            at = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
            raise InvalidInput(f"{self.name}{at}", _expectation(detail["msg"]), detail["input"]) from None
        except InvalidInput as error:
            raise type(error)(self.name, error.expected, error.got) from None
        for picture in checked if isinstance(checked, list) else [checked]:
            if isinstance(picture, Image):
                picture.check(self.name)
        return checked

    def plain(self, value: Any) -> Any:
        """Returns a value as JSON knows it; arrays as nested lists, no pictures."""
        return self._adapter.dump_python(value, mode="json")

    @property
    def holds_images(self) -> bool:
        """Whether the port holds a picture or a list of pictures."""
        return self.kind is Image or (self.is_list and get_args(self.kind)[0] is Image)

    def _from_tensor(self, tensor: Tensor) -> Any:
        if self._core[1]:
            return tensor.array()
        items = [item if isinstance(item, (bytes, str)) else item.item() for item in tensor.data]
        if self.datatype == "BYTES" and not self.holds_images:
            items = [self._text(item) for item in items]
        if self.is_list:
            return items
        if len(items) != 1:
            raise InvalidInput(self.name, "one value", f"a tensor of shape {list(tensor.shape)}")
        return items[0]

    @property
    def _is_structured(self) -> bool:
        """Whether the port holds a mapping or a model, which travels as JSON text."""
        kind = get_origin(self.kind) or self.kind
        return isinstance(kind, type) and issubclass(kind, (dict, pydantic.BaseModel))

    def _from_json(self, text: str) -> Any:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise InvalidInput(self.name, f"JSON ({error})", text) from error

    def _text(self, item: Any) -> Any:
        try:
            return item.decode() if isinstance(item, bytes) else item
        except UnicodeDecodeError as error:
            raise InvalidInput(self.name, "text in UTF-8", item) from error


def _expectation(message: str) -> str:
    """Turns pydantic's "Input should be …" into the tail of "expected …"."""
    for prefix in ("Input should be ", "Value error, ", "String should have ", "List should have "):
        message = message.removeprefix(prefix)
    return "no such field" if message.startswith("Extra inputs") else message


@dataclass(frozen=True)
class Signature:
    """The ports that a component reads and writes, taken from the annotations of its method."""

    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    progress: str | None = None

    @classmethod
    def of(cls, component: Component | type[Component]) -> Signature:
        """Reads the annotations of `predict`, of `prepare` and `predict_batch`, or of `route`.

        A Combiner reads whatever its children say.

        Raises:
            TypeError: a parameter or the result has no usable annotation.
        """
        kind: Any = component if isinstance(component, type) else type(component)
        return _signature(kind)

    def bind(
        self, values: Mapping[str, Any], defaults: Mapping[str, Any] = types.MappingProxyType({})
    ) -> dict[str, Any]:
        """Picks and validates the arguments of the method from a message's values.

        Args:
            values: any named values; those that the signature does not name are not looked at.
            defaults: the entry's own defaults, before those of the signature.

        Raises:
            InvalidInput: a value is wrong or a required one is missing.
        """
        arguments: dict[str, Any] = {}
        for name, port in self.inputs.items():
            if name in values:
                arguments[name] = port.read(values[name])
            elif name in defaults:
                arguments[name] = port.read(defaults[name])
            elif port.required:
                raise InvalidInput(name, "a value", "nothing")
            else:
                arguments[name] = port.default
        return arguments

    def port(self, name: str) -> Port:
        """Returns the input port of that name.

        Raises:
            UnknownName: lists the ports there are.
        """
        if name not in self.inputs:
            raise UnknownName("port", name, self.inputs)
        return self.inputs[name]


@functools.cache
def _signature(kind: Any) -> Signature:
    if issubclass(kind, Combiner):
        return Signature({}, {})
    if issubclass(kind, Router):
        return Signature(_inputs(kind.route), {})
    if issubclass(kind, Batched):
        (answer,) = get_args(typing.get_type_hints(kind.predict_batch)["return"])
        return Signature(_inputs(kind.prepare), _outputs(answer, kind), progress="progress")
    hints = typing.get_type_hints(kind.predict, include_extras=True)
    progress = next((name for name, hint in hints.items() if hint is Progress), None)
    return Signature(_inputs(kind.predict), _outputs(hints.get("return"), kind), progress)


def _inputs(method: Callable[..., Any]) -> dict[str, Port]:
    """Returns the ports that a method's parameters are; Progress and self are none."""
    hints = typing.get_type_hints(method, include_extras=True)
    ports: dict[str, Port] = {}
    for name, parameter in list(inspect.signature(method).parameters.items())[1:]:
        if name not in hints:
            raise TypeError(f"{method.__qualname__}: parameter '{name}' has no annotation")
        if hints[name] is not Progress:
            required = parameter.default is inspect.Parameter.empty
            ports[name] = Port(name, hints[name], required, None if required else parameter.default)
    return ports


def _outputs(answer: Any, kind: type[Component]) -> dict[str, Port]:
    """Returns the ports that a TypedDict names."""
    if not typing.is_typeddict(answer):
        raise TypeError(f"{kind.__qualname__} must answer a TypedDict of ports, not {answer}")
    hints = typing.get_type_hints(answer, include_extras=True)
    return {name: Port(name, hint, False) for name, hint in hints.items()}


# The ports that several components share: one name, one meaning, one range everywhere.
Prompt = Annotated[str, Field(max_length=2000, description="What the picture shows")]
NegativePrompt = Annotated[str, Field(max_length=2000, description="What the picture must not show")]
# Up to 2**53: larger integers do not survive JSON doubles, as in Seldon's executor.
Seed = Annotated[int, Field(ge=0, lt=2**53, description="Equal seeds draw equal pictures")]
Unit = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
