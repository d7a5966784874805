"""What model-init has put onto the volume, and what of it nobody needs any more."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from imagegraph.errors import MissingWeights
from imagegraph.spec.weights import Manifest, Source
from model_init.store import PREFIX, Repository


@dataclass(frozen=True)
class Leftover:
    """What can go of one repository: whole snapshots, and bytes that no other snapshot links to."""

    repository: Repository
    snapshots: list[Path]
    blobs: list[Path]

    @property
    def size(self) -> int:
        """Bytes that its removal frees."""
        return sum(blob.lstat().st_size for blob in self.blobs)

    def remove(self) -> None:
        """Removes it; a snapshot's manifest goes first, so that nobody takes what remains for complete."""
        with self.repository.writing():
            for snapshot in self.snapshots:
                Manifest.path(self.repository.folder, snapshot.name).unlink(missing_ok=True)
                if snapshot.is_symlink():
                    snapshot.unlink()
                else:
                    shutil.rmtree(snapshot)
            for blob in self.blobs:
                blob.unlink()
            if not self.repository.snapshots() and not self.repository.blobs():
                shutil.rmtree(self.repository.folder)


def repositories(cache: Path) -> Iterator[Repository]:
    """Yields the repositories that were pulled; what others put into the cache is not ours to judge."""
    for manifests in sorted(cache.glob(f"{PREFIX}*/manifests")):
        yield Repository(cache, manifests.parent.name.removeprefix(PREFIX).replace("--", "/"))


def named(cache: Path, sources: Iterable[Source]) -> set[Path]:
    """Returns the snapshots that the sources name."""
    found = set()
    for source in sources:
        try:
            found.add(Repository(cache, source.repository).snapshot(source.version))
        except MissingWeights:
            continue  # a folder that is not here and was never pulled
    return found


def leftover(repository: Repository, keep: set[Path]) -> Leftover:
    """Returns what can go of a repository when the snapshots in `keep` stay."""
    staying = [place for place in keep if place.parent == repository.folder / "snapshots"]
    blobs: list[Path] = []  # a pull goes on with them, where a snapshot is not complete
    if all(Manifest.path(repository.folder, place.name).exists() for place in staying):
        used = {path.resolve() for place in staying for path in place.rglob("*")}
        blobs = [path for path in repository.blobs() if path.resolve() not in used]
    return Leftover(repository, sorted(set(repository.snapshots()) - keep), blobs)
