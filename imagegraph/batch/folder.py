"""The folder of a batch: a folder for each row that is done, and what is said of all of them.

out/batch.json       what is run: graph, weights, parameters; a batch that goes on is compared with it
out/rows/NAME/       what a row has come to, as `run` writes it; there whole or not at all
out/results.jsonl    the answers of all rows, a line each
out/failures.jsonl   the rows that failed, and why
out/metrics.jsonl    times and memory of every row that was run, as it ends
out/metrics.parquet  the same as a table
out/sheet-1.png      all pictures, small
out/grid*            of a grid: its scores, and all combinations of each photo
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import fnmatch
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import orjson

from imagegraph.errors import ImagegraphError, InvalidInput
from imagegraph.run.save import SUMMARY

ROWS, PLAN, RESULTS, FAILURES = "rows", "batch.json", "results.jsonl", "failures.jsonl"
_STAGED = ".staged"
LOCK = ".lock"


class Shard(NamedTuple):
    """One of several equal parts of the rows."""

    number: int
    of: int

    def has(self, number: int) -> bool:
        """Whether the row of that number is in it."""
        return number % self.of == self.number


class NoRoom(ImagegraphError):
    """The folder cannot be written to any more: the batch stops, and what is done stays."""


class Folder:
    """The folder of a batch, held by one process at a time; use as a context manager.

    Several processes share it where each has a shard of its own.
    """

    def __init__(self, place: Path, shard: Shard | None = None) -> None:
        """Takes the folder, which may be one that an earlier batch has begun.

        Args:
            shard: of several processes that work in it at once, the part of this one.
        """
        self.place = place
        self._suffix = "" if shard is None else f"-{shard.number}"
        self._staged = place / f"{_STAGED}{self._suffix}"
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        try:
            self.place.mkdir(parents=True, exist_ok=True)
            others = [one.name for one in self.place.iterdir() if not one.name.startswith(".")]
            others = [one for one in others if one != ROWS]
            if others and not (self.place / PLAN).is_file():
                expected = "a folder that is new or empty, or in which a batch was begun"
                raise InvalidInput("out", expected, f"{self.place} with {min(others)} in it")
            self._lock = (self.place / f"{LOCK}{self._suffix}").open("w")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                self._lock.close()
                raise InvalidInput("out", "a folder that no other batch works in", str(self.place)) from error
            shutil.rmtree(self._staged, ignore_errors=True)  # of one that was killed
            self._staged.mkdir()
            (self.place / ROWS).mkdir(exist_ok=True)
        except OSError as error:
            got = f"{self.place} ({error.strerror})"
            raise InvalidInput("out", "a folder that can be written to", got) from error
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._staged, ignore_errors=True)
        if self._lock:
            self._lock.close()

    def row(self, name: str) -> Path:
        """Returns the folder of a row."""
        return self.place / ROWS / name

    def path(self, name: str) -> Path:
        """Returns the file of that name, or of this shard's."""
        file = Path(name)
        return self.place / f"{file.stem}{self._suffix}{file.suffix}"

    def refresh(self) -> None:
        """Looks at what other processes have written meanwhile."""

    def fetch(self, name: str) -> None:
        """Makes sure that all files of a row that is done can be read."""

    def remove(self, path: Path) -> None:
        """Removes a file, if it is there."""
        path.unlink(missing_ok=True)

    def clear(self, pattern: str, but: Collection[str] = ()) -> None:
        """Removes the files that fit a pattern, but for some: those that an earlier batch has left."""
        for name in self._names():
            if fnmatch.fnmatchcase(name, pattern) and name not in but:
                self.remove(self.place / name)

    def _names(self) -> list[str]:
        return [path.name for path in self.place.iterdir() if path.is_file()]

    def done(self, name: str) -> str | None:
        """Returns the key that a row was done with; nothing where it is not there as it was written."""
        folder = self.row(name)
        try:
            facts = orjson.loads((folder / SUMMARY).read_bytes())
            for file, digest in facts["files"].items():
                if hashlib.sha256((folder / file).read_bytes()).hexdigest() != digest:
                    return None
            return str(facts["key"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def put(self, name: str, write: Callable[[Path], Any]) -> None:
        """Lets `write` fill the folder of a row, which is there only once it is whole.

        Raises:
            NoRoom: it cannot be written.
        """
        place = self.row(name)
        with _writing(place), tempfile.TemporaryDirectory(dir=self._staged) as staged:
            fresh, old = Path(staged, "new"), Path(staged, "old")
            fresh.mkdir()
            write(fresh)
            with contextlib.suppress(FileNotFoundError):
                place.rename(old)
            fresh.rename(place)

    def write(self, name: str, data: bytes, own: bool = False) -> None:
        """Writes a file that is there whole or not at all; the same content is not written again.

        Args:
            own: whether every shard has one of its own.

        Raises:
            NoRoom: it cannot be written.
        """
        path = self.path(name) if own else self.place / name
        with _writing(path):
            if path.is_file() and path.read_bytes() == data:
                return
            fresh = self._staged / path.name
            fresh.write_bytes(data)
            fresh.replace(path)

    def append(self, name: str, facts: Mapping[str, Any]) -> None:
        """Adds a line of JSON to a file, at once.

        Raises:
            NoRoom: it cannot be written.
        """
        path = self.path(name)
        with _writing(path), path.open("ab+") as file:
            if file.tell() and (file.seek(-1, 2), file.read(1))[1] != b"\n":
                file.write(b"\n")  # whoever wrote before was killed in the middle of a line
            file.write(orjson.dumps(facts) + b"\n")

    def write_lines(self, name: str, lines: Iterable[Mapping[str, Any]], own: bool = False) -> None:
        """Writes a file with a JSON object a line, or none where there is no line; see `write`."""
        data = b"".join(orjson.dumps(one) + b"\n" for one in lines)
        if data:
            self.write(name, data, own)
        else:
            self.remove(self.path(name) if own else self.place / name)

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        """Yields the objects of a file of lines, of all shards; what is broken is left out."""
        file = Path(name)
        for path in sorted(self.place.glob(f"{file.stem}*{file.suffix}")):
            with contextlib.suppress(FileNotFoundError):  # another shard has just gathered them
                for line in path.read_bytes().splitlines():
                    with contextlib.suppress(ValueError):
                        yield json.loads(line)

    def gather(self, name: str) -> None:
        """Removes the files of single shards, whose lines are in the common one by now."""
        file = Path(name)
        for path in self.place.glob(f"{file.stem}-*{file.suffix}"):
            self.remove(path)


@contextlib.contextmanager
def _writing(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        hint = "; what is done stays: make room, and give the same command again" if full else ""
        raise NoRoom(f"cannot write {place}: {error.strerror or error}{hint}") from error
