"""Hashes of files as the hub states them: sha256 of large files, git's blob hash of small ones."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CHUNK = 2**20


class Digest:
    """A hash that grows with what is fed to it, written as `sha256:…` or `git:…`."""

    def __init__(self, kind: str, size: int) -> None:
        """Takes the kind (what is before the colon) and the file's whole size, which git's hash contains."""
        self.kind = kind
        self._size = size
        self.restart()

    def restart(self) -> None:
        """Forgets all that was fed."""
        if self.kind == "git":
            self._hash = hashlib.sha1(b"blob %d\0" % self._size, usedforsecurity=False)
        else:
            self._hash = hashlib.sha256()

    def feed(self, data: bytes | memoryview) -> None:
        """Adds bytes."""
        self._hash.update(data)

    def feed_file(self, path: Path) -> int:
        """Adds a file and returns its size; memory stays at one chunk, whatever the size."""
        buffer = memoryview(bytearray(CHUNK))
        total = 0
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                self.feed(buffer[:count])
                total += count
        return total

    def __str__(self) -> str:
        return f"{self.kind}:{self._hash.hexdigest()}"


def digest_of(path: Path, like: str) -> str:
    """Returns a file's hash, of the same kind as `like`."""
    digest = Digest(like.partition(":")[0], path.stat().st_size)
    digest.feed_file(path)
    return str(digest)


def _cores() -> int:
    """Returns how many cores this process may use, or where the system does not say, how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def differing(expected: Iterable[tuple[Path, str]]) -> list[Path]:
    """Hashes files on all cores and returns those that differ from what is expected, or cannot be read."""

    def differs(pair: tuple[Path, str]) -> bool:
        try:
            return digest_of(*pair) != pair[1]
        except OSError:
            return True

    # The largest first: the last core to finish then holds a small one.
    pairs = sorted(expected, key=lambda pair: pair[0].stat().st_size if pair[0].exists() else 0, reverse=True)
    with ThreadPoolExecutor(_cores()) as pool:
        return [path for (path, _), wrong in zip(pairs, pool.map(differs, pairs), strict=True) if wrong]
