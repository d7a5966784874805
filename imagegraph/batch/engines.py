"""What answers the rows of a batch: the engine in this process, or a server."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from imagegraph.batch.models import Choices, Model
from imagegraph.batch.table import Row
from imagegraph.calls.store import MemoryStore
from imagegraph.engine.context import Context
from imagegraph.message import Message, Tensor
from imagegraph.run import save
from imagegraph.run.embedded import Embedded
from imagegraph.run.save import Results
from imagegraph.spec.catalogue import Catalogue, entry_names
from imagegraph.spec.interface import Interface


@dataclass(frozen=True)
class Outcome:
    """What came of a row.

    Attributes:
        results: what is to be written.
        seconds: by node, with waiting.
        waited_s: of these, how long each waited for its turn.
        together: how many rows each node computed together.
        cached: the nodes whose result was known.
        here: whether it was computed on this machine, whose memory tells something then.
    """

    results: Results
    seconds: Mapping[str, float]
    waited_s: Mapping[str, float] = field(default_factory=dict)
    together: Mapping[str, int] = field(default_factory=dict)
    cached: Sequence[str] = ()
    here: bool = True


class Engine(ABC):
    """What answers rows, several at once."""

    @abstractmethod
    async def close(self) -> None:
        """Lets go of what it holds."""

    @abstractmethod
    async def ready(self) -> None:
        """Waits until it can answer.

        Raises:
            ImagegraphError: it never will.
        """

    @abstractmethod
    async def answer(self, values: Mapping[str, Any]) -> Outcome:
        """Answers one row.

        Raises:
            ImagegraphError: see `errors` for the kinds.
        """

    @property
    def loading(self) -> tuple[str, int, int] | None:
        """What loads now, how many of all are loaded; nothing where all are."""
        return None


class Platform(ABC):
    """Where a graph runs.

    Attributes:
        interface: what it takes.
    """

    interface: Interface

    @abstractmethod
    def choose(self, row: Row) -> Model:
        """Returns what draws a row."""

    @abstractmethod
    def facts(self, model: Model) -> dict[str, Any]:
        """Returns what its answers depend on beside the values."""

    @abstractmethod
    def open(self, model: Model) -> Engine:
        """Makes the engine of a model."""


class EmbeddedPlatform(Platform):
    """This process."""

    def __init__(
        self,
        graph: str,
        choices: Choices,
        catalogue: Catalogue,
        device: str,
        timeout_s: float | None = None,
        cache_bytes: int = 0,
    ) -> None:
        """Takes what may draw rows; see `Local` for the rest.

        Raises:
            UnknownName: there is no such graph, or not in such a bundle.
        """
        self._graph = graph
        self._choices = choices
        self._catalogue = catalogue
        self._settings = device, timeout_s, cache_bytes
        first = choices.choose("", choices.bundles[0])
        self.interface = Interface.of_graph(first.root or choices.root, first.bundle, catalogue)

    def choose(self, row: Row) -> Model:
        """Draws one of the choices, by the name of the row."""
        return self._choices.choose(row.name, row.bundle)

    def facts(self, model: Model) -> dict[str, Any]:
        """Returns graph, weights and settings."""
        return model.facts(self._catalogue)

    def open(self, model: Model) -> Engine:
        """Begins to load."""
        return Local(self._graph, model, self._catalogue, *self._settings)


class Local(Engine):
    """The engine in this process, with the models of one variant of the graph."""

    def __init__(
        self,
        graph: str,
        model: Model,
        catalogue: Catalogue,
        device: str,
        timeout_s: float | None = None,
        cache_bytes: int = 0,
    ) -> None:
        """Begins to load.

        Args:
            timeout_s: that a row may take.
            cache_bytes: memory for results of nodes that several rows share.
        """
        self._graph = graph
        self._timeout_s = timeout_s
        if model.root is None:
            raise TypeError(f"'{model.label}' is no graph of this process")
        self._outputs = Interface.of_graph(model.root, model.bundle, catalogue).outputs
        store = MemoryStore(cache_bytes) if cache_bytes else None
        self._embedded = Embedded(model.root, model.bundle, catalogue, device, store)

    async def ready(self) -> None:
        """Waits until everything is loaded."""
        await self._embedded.ready()

    async def answer(self, values: Mapping[str, Any]) -> Outcome:
        """Runs the graph; rows that can share a loop do."""
        deadline = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        context = Context(deadline=deadline)
        message = self._read(await self._embedded.run(values, context))
        results = save.results(self._graph, self._embedded, values, message)
        turns = context.turns.items()
        return Outcome(
            results=replace(results, sheet=False),
            seconds=context.timings,
            waited_s={node: turn.waited_s for node, turn in turns},
            together={node: turn.batch for node, turn in turns},
            cached=context.cache_hits,
        )

    def _read(self, message: Message) -> Message:
        """Reads what nodes answer that were looked up, as it stood on the wire."""
        read = {
            name: self._outputs[name].read(value)
            for name, value in message.values.items()
            if isinstance(value, Tensor) and name in self._outputs
        }
        return replace(message, values={**message.values, **read}) if read else message

    @property
    def loading(self) -> tuple[str, int, int] | None:
        """What loads now."""
        names = entry_names(self._embedded.root)
        left = [name for name in names if name not in self._embedded.load_seconds]
        return (left[0], len(names) - len(left), len(names)) if left else None

    async def close(self) -> None:
        """Lets go of the models."""
        self._embedded.close()
