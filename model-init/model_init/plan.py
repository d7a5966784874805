"""What is to be on the volume: the sources that the catalogue names for a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

import pydantic

from imagegraph.errors import UnknownName
from imagegraph.spec import composition
from imagegraph.spec.strict_yaml import Strict
from imagegraph.spec.weights import Source


class _Partial(Strict):
    """Reads of the catalogue what concerns weights; the library checks the rest."""

    model_config = pydantic.ConfigDict(extra="ignore")


class Variant(_Partial):
    """An entry in one bundle."""

    weights: Mapping[str, Source] = {}


class Entry(_Partial):
    """A component's line in the catalogue."""

    uses: Mapping[str, str] = {}
    bundles: Mapping[str, Variant]


class Catalogue(_Partial):
    """The catalogue as far as it names weights."""

    entries: Mapping[str, Entry]

    @pydantic.model_validator(mode="after")
    def _one_choice_of_files(self) -> Self:
        """Refuses two choices of files of one snapshot: whichever came last would take the other's away."""
        chosen: dict[tuple[str, str | None], tuple[str, ...] | None] = {}
        for entry in self.entries.values():
            for variant in entry.bundles.values():
                for source in variant.weights.values():
                    if source.files != chosen.setdefault((source.repository, source.revision), source.files):
                        raise ValueError(f"{source}: name the same 'files' wherever it stands")
        return self

    @classmethod
    def read(cls, added: Sequence[Path] = ()) -> Catalogue:
        """Reads the project's catalogue with what is added to it, by IMAGEGRAPH_CATALOGUE and then `added`.

        Raises:
            InvalidDocument: with file and line.
        """
        return composition.load(composition.added(added)).read(cls)

    def sources(self, bundle: str, names: Iterable[str]) -> list[Source]:
        """Returns the sources of entries and of those they use; without names, of the whole bundle.

        Raises:
            UnknownName: there is no such bundle, or no such entry in it.
        """
        inside = {name: entry for name, entry in self.entries.items() if bundle in entry.bundles}
        if not inside:
            known = [name for entry in self.entries.values() for name in entry.bundles]
            raise UnknownName("bundle", bundle, known)
        wanted = list(names) or list(inside)
        for name in wanted:  # grows while it is read
            if name not in inside:
                raise UnknownName(f"entry of bundle '{bundle}'", name, inside)
            wanted += [one for one in inside[name].uses.values() if one in inside and one not in wanted]
        found = [source for name in wanted for source in inside[name].bundles[bundle].weights.values()]
        return list(dict.fromkeys(found))


class _Named(_Partial):
    """A document of a catalogue by itself: what of it is no source, or inherited, does not matter."""

    entries: Mapping[str, _NamedEntry] = {}


class _NamedEntry(_Partial):
    bundles: Mapping[str, _NamedVariant | None] = {}


class _NamedVariant(_Partial):
    weights: Mapping[str, Source | None] = {}


def named(added: Sequence[Path] = ()) -> list[Source]:
    """Returns all sources that the documents name, which may be catalogues of different versions.

    Args:
        added: as for `Catalogue.read`.

    Raises:
        InvalidDocument: with file and line.
    """
    documents = composition.load(composition.added(added)).apart(_Named)
    entries = [entry for document in documents for entry in document.entries.values()]
    variants = [variant for entry in entries for variant in entry.bundles.values() if variant]
    return list(dict.fromkeys(one for variant in variants for one in variant.weights.values() if one))
