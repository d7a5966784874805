"""What a graph answered: the same from an engine in this process and from a server."""

from __future__ import annotations

import functools
import html
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from imagegraph.errors import InvalidInput, UnknownName, shorten
from imagegraph.image import Image
from imagegraph.message import same
from imagegraph.picture import Picture, figure, lists_of_pictures, ranked
from imagegraph.run import destination
from imagegraph.run.destination import Replaced

_PLAIN = (str, int, float)


class Facts(NamedTuple):
    """What is known of a graph's answers beside their values; see `spec.interface`.

    Attributes:
        name: of the graph.
        priors: the values that another request may bring, so that they are not read again.
        columns: for every list of pictures, the lists that say something of each.
    """

    name: str = ""
    priors: frozenset[str] = frozenset()
    columns: Mapping[str, frozenset[str]] = {}

    @classmethod
    def read(cls, metadata: Mapping[str, Any]) -> Self:
        """Reads them out of V2 metadata."""
        columns: dict[str, set[str]] = {}
        priors: set[str] = set()
        for one in metadata["outputs"]:
            told = one.get("parameters", {})
            if told.get("prior"):
                priors.add(one["name"])
            for pictures in told.get("of", ()):
                columns.setdefault(pictures, set()).add(one["name"])
        found = {pictures: frozenset(names) for pictures, names in columns.items()}
        return cls(str(metadata["name"]), frozenset(priors), found)


_UNKNOWN = Facts()


class Priors(Mapping[str, Any]):
    """What was read out of the pictures of a request, by name; give it to a graph to have it read no more."""

    def __init__(self, values: Mapping[str, Any], sources: Mapping[str, Any]) -> None:
        """Takes the values, and the pictures that they were read from, by input."""
        self._values = values
        self.sources = sources

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return _equal(self, other) if isinstance(other, Priors) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Priors({', '.join(self)})"

    def _repr_html_(self) -> str:
        return _html(self._values)


@dataclass(frozen=True, repr=False, eq=False)
class Answer(Mapping[str, Any]):
    """The values of an answer by name: pictures, texts, numbers, lists of them, arrays.

    Each is an attribute, too, if no other has its name. Answers are equal if their values are.

    Attributes:
        id: the request's.
        parameters: that the answer came with.
        timings: seconds spent in each node.
        facts: what is known of the graph's answers.
        request: what was asked, by input.
        writer: writes all to a folder that is there; by default without provenance, which only who has run
            the graph can know. Copies and pickles have none.
    """

    values_by_name: Mapping[str, Any]
    id: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    facts: Facts = _UNKNOWN
    request: Mapping[str, Any] = field(default_factory=dict)
    writer: Callable[[Path, Replaced], list[Path]] | None = None

    @functools.cached_property
    def pictures(self) -> list[Picture]:
        """The pictures in lists of the answer, each with what is said of it; best first if ranked."""
        values = self.values_by_name
        told = {name for columns in self.facts.columns.values() for name in columns}
        shared = {
            name: value for name, value in values.items() if isinstance(value, _PLAIN) and name not in told
        }
        return [
            one
            for port in lists_of_pictures(values)
            for one in ranked(port, values, self.facts.columns.get(port, ()), shared)
        ]

    @property
    def best(self) -> Picture:
        """The first of the pictures.

        Raises:
            UnknownName: there are none.
        """
        if not self.pictures:
            raise UnknownName("list of pictures", "pictures", lists_of_pictures(self))
        return self.pictures[0]

    @property
    def priors(self) -> Priors:
        """What was read out of the request's pictures; another request may bring it instead of these."""
        names = self.facts.priors
        sources = {name: value for name, value in self.request.items() if _holds_pictures(value)}
        return Priors(
            {name: value for name, value in self.items() if name in names},
            {name: value for name, value in sources.items() if name not in names},
        )

    def save(self, folder: str | Path | None = None, *, overwrite: bool = False) -> list[Path]:
        """Writes all to a folder: pictures, maps, a contact sheet, results.json.

        Args:
            folder: a new or empty one; by default `out/NAME-1`, `out/NAME-2`, …
            overwrite: whether what an earlier run wrote there, and nobody has changed, is replaced.

        Returns:
            The files, the most telling first.

        Raises:
            InvalidInput: there is something in the folder, or it cannot be written to.
        """
        from imagegraph.run import save

        asked = None if folder is None else Path(folder)
        if overwrite and asked is None:
            raise InvalidInput("overwrite", "a folder beside it: without, every answer has its own", "none")
        replaced = save.earlier_results if overwrite else destination.nothing
        with destination.new_folder(asked, self.facts.name, replaced, "overwrite=True") as place:
            if self.writer:
                return self.writer(place, replaced)
            parameters = {name: value for name, value in self.request.items() if not _holds_pictures(value)}
            about = self.facts.name, self.request, parameters, self, self.facts.columns, self.timings
            return save.write(place, save.Results(*about), replaced)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "writer": None}  # it knows the engine, which has no copy

    def __getitem__(self, name: str) -> Any:
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # asked for by who copies, when there is nothing yet
            raise AttributeError(name)
        if name in self.values_by_name:
            return self.values_by_name[name]
        raise AttributeError(f"no '{name}' in the answer; there are: {', '.join(self.values_by_name)}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.values_by_name]

    def __eq__(self, other: object) -> bool:
        return _equal(self, other) if isinstance(other, Answer) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Answer({', '.join(f'{name}={_brief(value)}' for name, value in self.items())})"

    def _repr_html_(self) -> str:
        lists = [*lists_of_pictures(self)]
        told = {name for port in lists for name in self.facts.columns.get(port, ())}
        rest = {name: value for name, value in self.items() if name not in told and name not in lists}
        return _html(rest) + "".join(one._repr_html_() for one in self.pictures)


def _equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())


def _holds_pictures(value: Any) -> bool:
    items = value if isinstance(value, list) and value else [value]
    return all(isinstance(one, Image) for one in items)


def _brief(value: Any) -> str:
    if isinstance(value, list) and len(value) > 4:
        return f"[{len(value)} values]"
    if hasattr(value, "shape"):
        return f"{value.dtype}{list(value.shape)}"
    return shorten(value, 60)


def _html(values: Mapping[str, Any]) -> str:
    """Returns the words and numbers, a line each, above the pictures."""
    words = [
        f"<b>{html.escape(name)}</b> {html.escape(_brief(value))}"
        for name, value in values.items()
        if not isinstance(value, Image)
    ]
    maps = [figure(value, name) for name, value in values.items() if isinstance(value, Image)]
    return "".join(f"<div>{line}</div>" for line in words) + "".join(maps)
