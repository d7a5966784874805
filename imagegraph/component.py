"""A component: a class whose annotated `predict` is schema, validation, form and metadata.

class Depth(Component):
    def load(self, weights: Weights) -> None: ...
    def predict(self, image: Image) -> DepthMap: ...   # DepthMap is a TypedDict of ports
"""

from __future__ import annotations

import abc
import functools
import threading
import time
import typing
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from imagegraph.errors import Cancelled, DeadlineExceeded, InvalidInput
from imagegraph.image import Image
from imagegraph.message import Message, merge


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
        adapts: whether the catalogue may give it any number of roles of kind `adapter`.
    """

    roles: ClassVar[tuple[str, ...]] = ("model",)
    opens: ClassVar[Literal["control", "uses"] | None] = None
    adapts: ClassVar[bool] = False

    max_cost: ClassVar[float] = 16
    pure: ClassVar[bool] = True
    inline: ClassVar[bool] = False

    if typing.TYPE_CHECKING:
        predict: ClassVar[Callable[..., Mapping[str, Any]]]

    @classmethod
    def check(cls, known: Mapping[str, Any], coming: Mapping[str, bool], roles: Set[str]) -> None:
        """Refuses a request that cannot be answered, before any node of its graph has run.

        Subclasses say here what the types of the ports cannot: which values need which others.

        Args:
            known: arguments of `predict` that the request and the defaults give, as they will come.
            coming: names of the others, which earlier nodes write or may write; whether they surely do.
            roles: of the weights but adapters, and of the other components, that it has, in the catalogue's
                order.

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


class Reader(Component, abc.ABC):
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
        adapters: roles of kind `adapter` among them.
    """

    paths: Mapping[str, Path]
    choice: str = "cpu"
    adapters: frozenset[str] = frozenset()

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
