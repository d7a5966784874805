"""The folder of a batch behind a URL that fsspec knows, such as s3://; what is needed of it is copied here.

An object store renames nothing: a row counts as done once its results.json is there, which comes last. Nor
does it know who still runs, and a lock that a killed batch has left would keep it from going on: so whichever
batch has begun last has the folder, and another one that finds this ends.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import orjson

from imagegraph.batch.folder import FAILURES, LOCK, PLAN, ROWS, Folder, NoRoom, Shard
from imagegraph.batch.metrics import METRICS
from imagegraph.errors import ImagegraphError, InvalidInput, describe
from imagegraph.run.save import SUMMARY

METRICS_EVERY_S = 10.0  # are they sent, since nothing can be added to an object


class RemoteFolder(Folder):
    """The folder of a batch at a URL, had by the batch that has begun last, or by one for each shard."""

    def __init__(self, url: str, shard: Shard | None = None) -> None:
        """Takes the URL.

        Raises:
            ImagegraphError: what reads such URLs is not installed.
        """
        try:
            import fsspec

            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise ImagegraphError(f"no way to {url}: {error}") from error
        self._url, self._root = url.rstrip("/"), str(root).rstrip("/")
        self._sent_at = time.monotonic()
        self._name = uuid.uuid4().hex.encode()
        super().__init__(Path(tempfile.mkdtemp(prefix="imagegraph-batch-")), shard)

    def __enter__(self) -> Self:
        with self._reaching():
            there = [path.removeprefix(f"{self._root}/") for path in self._list()]
            there = [one for one in there if not one.startswith(".")]
            if there and PLAN not in there and any("/" not in one for one in there):
                expected = "a folder that is new or empty, or in which a batch was begun"
                raise InvalidInput("out", expected, f"{self._url} with {min(there)} in it")
        super().__enter__()
        with self._reaching():
            self._files.pipe_file(self._lock_path, self._name)
        self._get([PLAN] if PLAN in there else [])
        self.refresh()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ImagegraphError):
            self._check()
            self._send(self.path(METRICS))
            self._drop(f"{LOCK}{self._suffix}")
        super().__exit__()
        shutil.rmtree(self.place, ignore_errors=True)

    def refresh(self) -> None:
        """Fetches what other parts have written meanwhile."""
        with self._reaching():
            names = [path.removeprefix(f"{self._root}/") for path in self._list()]
        stems = (Path(FAILURES).stem, Path(METRICS).stem)
        own = {self.path(FAILURES).name, self.path(METRICS).name} if self._held else set()
        logs = [one for one in names if one.startswith(stems) and one.endswith(".jsonl") and one not in own]
        rows = [one for one in names if one.startswith(f"{ROWS}/") and one.endswith(f"/{SUMMARY}")]
        self._get(logs + [one for one in rows if not (self.place / one).exists()])
        self._held = True

    def done(self, name: str) -> str | None:
        """Returns the key that a row was done with."""
        try:
            return str(orjson.loads((self.row(name) / SUMMARY).read_bytes())["key"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def fetch(self, name: str) -> None:
        """Fetches what lacks here of a row that is done."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            files = orjson.loads((self.row(name) / SUMMARY).read_bytes())["files"]
            self._get([f"{ROWS}/{name}/{one}" for one in files if not (self.row(name) / one).exists()])

    def put(self, name: str, write: Callable[[Path], Any]) -> None:
        """Fills the folder of a row here and there.

        Raises:
            NoRoom: it cannot be written, or another batch has the folder now.
        """
        self._check()
        if (self.row(name) / SUMMARY).exists():  # it is run again, and is not done meanwhile
            self._clear(f"{ROWS}/{name}")
        super().put(name, write)
        for path in sorted(self.row(name).iterdir(), key=lambda path: path.name == SUMMARY):
            self._send(path)
        if time.monotonic() - self._sent_at > METRICS_EVERY_S:
            self._sent_at = time.monotonic()
            self._send(self.path(METRICS))

    def write(self, name: str, data: bytes, own: bool = False) -> None:
        """Writes a file here and there, as `put` does."""
        self._check()
        super().write(name, data, own)
        self._send(self.path(name) if own else self.place / name)

    def remove(self, path: Path) -> None:
        """Removes a file here and there."""
        super().remove(path)
        self._drop(path.name)

    _held = False  # whether what an earlier run has left is here

    @property
    def _lock_path(self) -> str:
        return f"{self._root}/{LOCK}{self._suffix}"

    def _check(self) -> None:
        with self._reaching():
            try:
                holder = self._files.cat_file(self._lock_path)
            except FileNotFoundError:  # it has ended meanwhile
                holder = b""
        if holder != self._name:
            raise NoRoom(f"another batch has begun in {self._url} since, and has it now; this one ends")

    def _list(self) -> list[str]:
        self._files.invalidate_cache()
        with contextlib.suppress(FileNotFoundError):
            return [str(one) for one in self._files.find(self._root)]
        return []

    def _names(self) -> list[str]:
        with self._reaching():
            names = [path.removeprefix(f"{self._root}/") for path in self._list()]
        return [name for name in names if "/" not in name]

    def _drop(self, name: str) -> None:
        with self._reaching(), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(f"{self._root}/{name}")

    def _clear(self, folder: str) -> None:
        """Removes what a row has come to earlier, first what says that it is done."""
        self._drop(f"{folder}/{SUMMARY}")
        with self._reaching(), contextlib.suppress(FileNotFoundError):
            self._files.rm(f"{self._root}/{folder}", recursive=True)

    def _send(self, path: Path) -> None:
        if path.exists():
            with self._reaching():
                self._files.pipe_file(
                    f"{self._root}/{path.relative_to(self.place).as_posix()}", path.read_bytes()
                )

    def _get(self, names: list[str]) -> None:
        for name in names:
            with self._reaching(), contextlib.suppress(FileNotFoundError):
                data = self._files.cat_file(f"{self._root}/{name}")
                (self.place / name).parent.mkdir(parents=True, exist_ok=True)
                (self.place / name).write_bytes(data)

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except ImagegraphError:
            raise
        except Exception as error:  # each file system has its own
            raise NoRoom(f"cannot reach {self._url}: {describe(error)}; what is done stays") from error


def folder(out: str, shard: Shard | None = None) -> Folder:
    """Returns the folder of a batch: here, or behind a URL."""
    return RemoteFolder(out, shard) if "://" in out else Folder(Path(out), shard)
