"""A repository's folder in the cache: blobs by hash, snapshots of links to them, manifests.

    models--<owner>--<name>/
        blobs/<hash>                 the bytes; <hash>.incomplete while they come
        snapshots/<revision>/<path>  links to blobs
        manifests/<revision>.json    written last: this snapshot was complete and right
        refs/main                    of a folder: its newest revision

All but `manifests` is the layout of the hub's own client, which ignores what it does not know.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from imagegraph.spec.weights import File, Manifest, Source, file_size, repository_folder
from model_init.digests import differing
from model_init.errors import volume_failure

PREFIX = "models--"


@dataclass
class Check:
    """What was found of a snapshot.

    Attributes:
        manifest: None when the snapshot was never completed.
        broken: what is wrong, by path; empty if nothing is.
        touched: files whose time differs from the manifest's while their hash is right.
    """

    manifest: Manifest | None
    broken: dict[str, str] = field(default_factory=dict)
    touched: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether all is there and right."""
        return self.manifest is not None and not self.broken

    @property
    def digests(self) -> dict[str, str]:
        """The hashes that the manifest states, by path."""
        return {path: file.digest for path, file in self.manifest.files.items()} if self.manifest else {}

    @property
    def finding(self) -> str:
        """What was found, in words."""
        if self.manifest is None:
            return "not complete yet"
        return "; ".join(f"{path}: {what}" for path, what in self.broken.items()) or "complete"


class Repository:
    """One repository in the cache."""

    def __init__(self, cache: Path, name: str) -> None:
        """Takes the cache's folder and the name, as the hub writes it."""
        self.cache, self.name = cache, name
        self.folder = cache / repository_folder(name)
        self.lock = cache / ".locks" / self.folder.name / "model-init.lock"

    def blob(self, key: str) -> Path:
        """Returns the place of the bytes with that hash."""
        return self.folder / "blobs" / key

    def snapshot(self, revision: str) -> Path:
        """Returns the folder that predictors load from."""
        return self.folder / "snapshots" / revision

    def partial(self, key: str) -> Path:
        """Returns the place of bytes that are still coming."""
        return self.folder / "blobs" / f"{key}.incomplete"

    def snapshots(self) -> list[Path]:
        """Returns all snapshots, unfinished ones as well."""
        return sorted((self.folder / "snapshots").glob("*"))

    def blobs(self) -> list[Path]:
        """Returns all blobs, partial ones as well."""
        return sorted((self.folder / "blobs").glob("*"))

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Turns errors of the volume into ours."""
        try:
            yield
        except OSError as error:
            if failure := volume_failure(error, self.cache):
                raise failure from error
            raise

    def prepare(self) -> None:
        """Makes the folders in which a download works."""
        with self.writing():
            for part in ("blobs", "snapshots", "manifests"):
                (self.folder / part).mkdir(parents=True, exist_ok=True)

    def publish(
        self, source: Source, revision: str, digests: Mapping[str, str], verified: str | None = None
    ) -> None:
        """Makes a snapshot of blobs that were verified, then writes its manifest.

        Args:
            verified: when all of them were, if that was not now.
        """
        with self.writing():
            snapshot, staged = self.snapshot(revision), self.snapshot(f".{revision}")
            shutil.rmtree(staged, ignore_errors=True)
            new = not snapshot.exists()
            for path, digest in digests.items():
                # In one step where nothing is yet; where a snapshot is in use, file by file.
                _link(self.blob(digest.partition(":")[2]), _place(staged if new else snapshot, path))
            if new:
                staged.rename(snapshot)
            if source.path:
                (self.folder / "refs").mkdir(exist_ok=True)
                _write(self.folder / "refs" / "main", revision)
            self.record(source, revision, digests, verified)

    def record(self, source: Source, revision: str, digests: Mapping[str, str], verified: str | None) -> None:
        """Writes the manifest of files whose hashes were right at the time `verified`; None means now."""
        files = {}
        for path, digest in digests.items():
            status = (self.snapshot(revision) / path).stat()
            files[path] = File(size=status.st_size, mtime_ns=status.st_mtime_ns, digest=digest)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        manifest = Manifest(source=str(source), files=files, verified=verified or now)
        with self.writing():
            _write(Manifest.path(self.folder, revision), manifest.model_dump_json(indent=1))


def check(snapshots: list[tuple[Repository, str]], deep: bool) -> list[Check]:
    """Compares snapshots with their manifests.

    Args:
        deep: hash every file; else only those whose time is not the manifest's.
    """
    checks, suspects = [], []
    for repository, revision in snapshots:
        result = Check(Manifest.read(repository.folder, revision))
        checks.append(result)
        for path, file in result.manifest.files.items() if result.manifest else ():
            place = repository.snapshot(revision) / path
            size = file_size(place)
            if size != file.size:
                result.broken[path] = "missing" if size is None else f"{size} bytes instead of {file.size}"
            elif deep or place.stat().st_mtime_ns != file.mtime_ns:
                suspects.append((place, file.digest, path, result))
    wrong = set(differing((place, digest) for place, digest, _, _ in suspects))
    for place, _, path, result in suspects:
        if place in wrong:
            result.broken[path] = "its hash differs"
        elif result.manifest and place.stat().st_mtime_ns != result.manifest.files[path].mtime_ns:
            result.touched.append(path)
    return checks


def _place(snapshot: Path, path: str) -> Path:
    """Returns a file's place; links on the way to it, which nobody of us has made, are removed."""
    for above in reversed(PurePosixPath(path).parents):
        if (snapshot / above).is_symlink():
            (snapshot / above).unlink()
    return snapshot / path


def _link(blob: Path, place: Path) -> None:
    """Lets `place` name the blob: by a link, or a copy where the file system has no links."""
    place.parent.mkdir(parents=True, exist_ok=True)
    target = os.path.relpath(blob, place.parent)
    if place.is_symlink() and os.readlink(place) == target:
        return
    fresh = place.with_name(f".{place.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        fresh.symlink_to(target)
    except OSError:
        shutil.copy2(blob, fresh)
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    fresh.replace(place)


def _write(path: Path, text: str) -> None:
    """Writes a file that is either the old or the new one at any moment."""
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
