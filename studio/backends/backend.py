"""What the studio knows of a graph, and how it is run."""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from imagegraph import Answer, Event, Graph
from imagegraph.errors import InvalidInput, UnknownName
from imagegraph.image import Image
from studio.backends.form import Field


@dataclass(frozen=True)
class Traffic:
    """A version of a deployed graph, and how many of a hundred requests it gets; a shadow gets copies."""

    name: str
    traffic: int
    shadow: bool
    ready: bool


@dataclass(frozen=True)
class Described:
    """What can be said of a graph without running it.

    Attributes:
        kind: graph, or component where it is one by itself.
        tree: nodes with name, entry, type and children.
        tensors: by name, all inputs and outputs as V2 metadata have them.
        versions: bundles or predictors that may be asked for; the first is the default.
        traffic: of predictors between which the server splits requests.
    """

    name: str
    kind: Literal["graph", "component"]
    summary: str
    tree: Mapping[str, Any]
    inputs: Sequence[Field]
    tensors: Mapping[str, Mapping[str, Any]]
    outputs: Sequence[str]
    priors: Sequence[str]
    versions: Sequence[str]
    traffic: Sequence[Traffic] = ()

    @property
    def takes(self) -> list[str]:
        """The inputs that are pictures, without priors."""
        kinds = ("image", "images")
        return [one.name for one in self.inputs if one.kind in kinds and one.name not in self.priors]


@dataclass
class Health:
    """How a graph is now.

    Attributes:
        error: why it is not ready, where that is known.
        loading: what is being loaded.
        nodes: facts of each node, such as the seconds that it took to load.
    """

    ready: bool
    error: str = ""
    loading: str = ""
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)


class Backend(ABC):
    """A graph, wherever it runs."""

    name: str
    where: str  # "embedded" or its URL

    @abstractmethod
    def describe(self) -> Described:
        """Says what it takes and answers.

        Raises:
            ImagegraphError: it cannot be reached.
        """

    @abstractmethod
    def health(self) -> Health:
        """Says how it is; quickly."""

    @abstractmethod
    def open(self, version: str) -> Graph:
        """Returns the graph to call; what has to be loaded for it loads in the background.

        Raises:
            ImagegraphError: there is no such version, or it cannot be reached.
        """

    @abstractmethod
    def record(self, version: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the provenance of what is drawn from these values, without their pictures."""

    @abstractmethod
    def identity(self, version: str) -> str:
        """Names what answers: equal names, equal answers."""

    @abstractmethod
    def check(self, version: str, values: Mapping[str, Any]) -> None:
        """Refuses values that cannot be answered, as far as that is known before anything runs.

        Raises:
            InvalidInput, UnknownName: with the name of the input.
        """

    @abstractmethod
    def close(self) -> None:
        """Lets go of models or connections."""

    def version(self, asked: str | None) -> str:
        """Returns the version that is asked for, or the default.

        Raises:
            UnknownName: there is none of that name.
        """
        known = self.describe().versions
        if asked and asked not in known:
            raise UnknownName("bundle", asked, known)
        return asked or (known[0] if known else "")

    async def run(
        self, version: str, values: Mapping[str, Any], timeout_s: float
    ) -> AsyncIterator[Event | Answer]:
        """Yields what happens, and last the answer; who stops looking stops the work."""
        stream = aiter(self.open(version).stream(values, previews=True, timeout_s=timeout_s))
        async with contextlib.aclosing(stream) as happening:
            async for one in happening:
                yield one


class Backends:
    """All graphs that the studio has, by name."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        """Takes them, in the order in which they are listed."""
        self._backends = {one.name: one for one in backends}

    def __iter__(self) -> Any:
        return iter(self._backends.values())

    def __contains__(self, name: str) -> bool:
        return name in self._backends

    def find(self, name: str) -> Backend:
        """Returns a graph.

        Raises:
            UnknownName: lists those that there are.
        """
        if name not in self._backends:
            raise UnknownName("graph", name, self._backends)
        return self._backends[name]

    def close(self) -> None:
        """Closes all."""
        for one in self._backends.values():
            one.close()


class Opened:
    """Graphs that were opened, each once, by version."""

    def __init__(self) -> None:
        """Begins with none."""
        self._graphs: dict[str, Graph] = {}
        self._lock = threading.Lock()

    def get(self, version: str, make: Any) -> Graph:
        """Returns the graph of a version; `make` opens it where nobody has."""
        with self._lock:
            if version not in self._graphs:
                self._graphs[version] = make()
            return self._graphs[version]

    def __contains__(self, version: str) -> bool:
        return version in self._graphs

    def close(self) -> None:
        """Closes all."""
        with self._lock:
            for one in self._graphs.values():
                one.close()
            self._graphs.clear()


def refuse_texts_for_pictures(values: Mapping[str, Any], pictures: Sequence[str]) -> None:
    """Refuses what is no picture where one is taken: a text would be read as a path of this machine.

    Raises:
        InvalidInput: with the name of the input.
    """
    for name in pictures:
        value = values.get(name)
        for one in value if isinstance(value, list) else [value]:
            if one is not None and not isinstance(one, Image):
                raise InvalidInput(name, 'a picture: {"picture": its id}, or base64', one)
