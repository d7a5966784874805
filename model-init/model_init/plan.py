"""What is to be on the volume: the sources that the catalogue names for a bundle."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import pydantic

from imagegraph.errors import UnknownName
from imagegraph.spec import strict_yaml
from imagegraph.spec.strict_yaml import Strict
from imagegraph.spec.weights import ROOT, Source


class _Partial(Strict):
    """Reads of the catalogue what concerns weights; the library checks the rest."""

    model_config = pydantic.ConfigDict(extra="ignore")


class Variant(_Partial):
    """An entry in one bundle."""

    weights: Mapping[str, Source] = {}


class Entry(_Partial):
    """A component's line in the catalogue."""

    uses: Mapping[str, str] | Literal["priors"] = {}
    bundles: Mapping[str, Variant]


class Catalogue(_Partial):
    """The catalogue as far as it names weights."""

    priors: tuple[str, ...] = ()
    entries: Mapping[str, Entry]

    @classmethod
    def read(cls, path: Path | None) -> Catalogue:
        """Reads a catalogue: `path`, or the one that IMAGEGRAPH_CATALOGUE names, or the project's.

        Raises:
            InvalidDocument: with file and line.
        """
        default = os.environ.get("IMAGEGRAPH_CATALOGUE", ROOT / "components" / "catalogue.yaml")
        return strict_yaml.read(path or Path(default), cls)

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
            uses = inside[name].uses
            used = self.priors if isinstance(uses, str) else uses.values()
            wanted += [one for one in used if one not in wanted]
        found = [source for name in wanted for source in inside[name].bundles[bundle].weights.values()]
        return list(dict.fromkeys(found))

    def every_source(self) -> list[Source]:
        """Returns the sources of all bundles."""
        variants = [variant for entry in self.entries.values() for variant in entry.bundles.values()]
        return list(dict.fromkeys(source for variant in variants for source in variant.weights.values()))
