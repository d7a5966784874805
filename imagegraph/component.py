"""A component: a class whose annotated `predict` is schema, validation, form and metadata.

class Depth(Component):
    def load(self, weights: Weights) -> None: ...
    def predict(self, image: Image) -> DepthMap: ...   # DepthMap is a TypedDict of ports
"""

from __future__ import annotations

import abc
import copy
import functools
import inspect
import threading
import time
import types
import typing
from collections.abc import Callable, Container, Hashable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NotRequired, Protocol, Required, get_args, get_origin

from imagegraph.errors import Cancelled, DeadlineExceeded, InvalidDocument, InvalidInput, UnknownName
from imagegraph.image import Image
from imagegraph.message import Message, merge
from imagegraph.ports import Port


class Component:
    """Turns typed values into typed values; pure given its weights and inputs (a seed is an input).

    Subclasses define `predict` and, where they have weights, `load`. Settings are arguments of
    `__init__`, given by the catalogue. Heavy imports belong inside the methods.

    Attributes:
        max_cost: most cost of jobs that are computed together; see `Batched`.
        inline: whether it computes so little that handing it to a thread would take longer; it must
            neither block nor look into pictures.
        pure: whether equal inputs give equal answers, which may then be kept.
        roles: the names by which it reads its weights.
        opens: where the names of its open ports come from, if its method has some (`**name: Type`): the
            roles of that kind in the catalogue, or what the components answer that it uses.
    """

    roles: ClassVar[tuple[str, ...]] = ("model",)
    opens: ClassVar[Literal["control", "uses"] | None] = None

    max_cost: ClassVar[float] = 16
    pure: ClassVar[bool] = True
    inline: ClassVar[bool] = False

    if typing.TYPE_CHECKING:
        predict: ClassVar[Callable[..., Mapping[str, Any]]]

    @classmethod
    def check(cls, known: Mapping[str, Any], coming: Container[str], roles: Set[str]) -> None:
        """Refuses a request that cannot be answered, before any node of its graph has run.

        Subclasses say here what the types of the ports cannot: which values need which others.

        Args:
            known: arguments of `predict` that the request and the defaults give, as they will come.
            coming: names of the others, which earlier nodes write or may write.
            roles: of the weights, and of the other components, that it has.

        Raises:
            InvalidInput: whatever comes, `predict` would raise it.
        """

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


class Reader(Component):
    """Reads a prior out of a picture, and says how well another picture keeps to it.

    The prior is the output that has the reader's name in the graph; it may have more, as key points beside
    their drawing.
    """

    def again(self, picture: Image) -> Mapping[str, Any]:
        """Reads the prior of a picture that was drawn under its control."""
        return self.predict(image=picture)

    @abc.abstractmethod
    def fidelity(self, control: Mapping[str, Any], again: Mapping[str, Any]) -> float:
        """Returns how well a picture keeps to the prior: 1 is exactly, about 0 is not at all.

        Args:
            control: the outputs that steered the picture, those that the request has.
            again: all outputs, of `again`, of that picture.
        """


class Combiner(Component):
    """Makes one answer of the answers of all children: by default, unites them by name."""

    inline = True

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
    """The folders of an entry's weights by role, and the device to put them on.

    Attributes:
        choice: "cpu", "cuda" or "auto" (cuda if there is one).
    """

    paths: Mapping[str, Path]
    choice: str = "cpu"

    @functools.cached_property
    def device(self) -> str:
        """What to put them on: looked for only if somebody asks, since torch takes 250 MB to say it.

        Raises:
            InvalidInput: torch finds no such device here.
        """
        if self.choice == "cpu":
            return self.choice
        import torch

        if self.choice == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        try:
            torch.empty(0, device=self.choice)
        except (RuntimeError, AssertionError) as error:
            raise InvalidInput("device", "cpu, auto, or one that torch finds here", self.choice) from error
        return self.choice

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
class Signature:
    """The ports that a component reads and writes, taken from the annotations of its method.

    Attributes:
        outputs: required are those that every answer has.
        progress: the name of the parameter that takes a Progress, if any.
        kind: the component's class.
        open: the annotation of its open ports, if the method takes some.
        opened: the names of those that the entry has; absent ones are no arguments.
    """

    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    progress: str | None = None
    kind: type[Component] | None = field(default=None, compare=False, repr=False)
    open: Any = None
    opened: frozenset[str] = frozenset()

    def closed(self, ports: Mapping[str, Port]) -> Signature:
        """Returns the signature with these for its open ports.

        Raises:
            InvalidDocument: an open port has the name of another one.
        """
        for name in ports:
            if name in self.inputs:
                raise InvalidDocument(f"'{name}' is a port of its own, and cannot be an open one, too")
        inputs = {name: port.closed(list(ports)) for name, port in self.inputs.items()}
        return replace(self, inputs={**inputs, **ports}, opened=frozenset(ports))

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
            elif name in self.opened:
                continue
            elif port.required:
                raise InvalidInput(name, "a value", "nothing")
            elif isinstance(port.default, (list, dict)):
                arguments[name] = copy.deepcopy(port.default)  # whoever adds to it adds for all
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
        return Signature({}, {}, kind=kind)
    if issubclass(kind, Router):
        return Signature(_inputs(kind.route)[0], {}, kind=kind)
    if issubclass(kind, Batched):
        (answer,) = get_args(typing.get_type_hints(kind.predict_batch)["return"])
        inputs, opened = _inputs(kind.prepare)
        return Signature(inputs, _outputs(answer, kind), "progress", kind, opened)
    hints = typing.get_type_hints(kind.predict, include_extras=True)
    progress = next((name for name, hint in hints.items() if hint is Progress), None)
    inputs, opened = _inputs(kind.predict)
    return Signature(inputs, _outputs(hints.get("return"), kind), progress, kind, opened)


def _inputs(method: Callable[..., Any]) -> tuple[dict[str, Port], Any]:
    """Returns the ports that a method's parameters are, and the annotation of its open ones.

    Progress and self are none.
    """
    hints = typing.get_type_hints(method, include_extras=True)
    ports: dict[str, Port] = {}
    opened = None
    for name, parameter in list(inspect.signature(method).parameters.items())[1:]:
        if name not in hints:
            raise TypeError(f"{method.__qualname__}: parameter '{name}' has no annotation")
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            opened = hints[name]
        elif hints[name] is not Progress:
            required = parameter.default is inspect.Parameter.empty
            ports[name] = Port(name, hints[name], required, None if required else parameter.default)
    return ports, opened


def _outputs(answer: Any, kind: type[Component]) -> dict[str, Port]:
    """Returns the ports that a TypedDict names; required are those that are always there."""
    if not typing.is_typeddict(answer):
        raise TypeError(f"{kind.__qualname__} must answer a TypedDict of ports, not {answer}")
    ports: dict[str, Port] = {}
    for name, hint in typing.get_type_hints(answer, include_extras=True).items():
        # The marks of a class whose annotations are texts are not in its sets of keys.
        marks = {Required: True, NotRequired: False}
        mark = get_origin(hint)
        required = marks.get(mark, name in answer.__required_keys__)
        ports[name] = Port(name, get_args(hint)[0] if mark in marks else hint, required)
    return ports
