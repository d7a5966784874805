"""A file on its way to the volume: goes on where it stopped, is hashed while it comes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from model_init.digests import Digest
from model_init.errors import WrongBytes, volume_failure


class Landing:
    """A partial file and the hash of what it holds.

    The methods `write`, `tell`, `seek` and `truncate` are what the hub's client asks of a file; `count`
    takes the bytes that came, for the progress line.
    """

    def __init__(
        self, path: Path, digest: Digest, size: int, check: Callable[[], None], count: Callable[[int], None]
    ) -> None:
        """Takes the partial file's path and whole size; `check` raises when the work is to stop."""
        self.path, self.count = path, count
        self._digest, self._whole, self._check = digest, size, check
        self.size = 0
        self._file: BinaryIO

    def __enter__(self) -> Self:
        try:
            self.path.touch()
            self._open()
            if self.size > self._whole:  # of another file, or broken: no prefix of ours
                self.seek(0)
                self.truncate()
        except OSError as error:
            self._blame(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError as fault:
            self._blame(fault)
            raise

    def _open(self) -> None:
        self._digest.restart()
        self.size = self._digest.feed_file(self.path)
        self._file = self.path.open("r+b")
        self._file.seek(self.size)

    def read_again(self) -> None:
        """Hashes what somebody else has written to the path."""
        self._file.close()
        self._open()

    def write(self, data: bytes) -> int:
        """Appends bytes.

        Raises:
            WrongBytes: they are more than the source has announced; who lies shall not fill the volume.
        """
        self._check()
        if self.size + len(data) > self._whole:
            raise WrongBytes(f"more came than the {self._whole} bytes that were announced")
        try:
            self._file.write(data)
        except OSError as error:
            self._blame(error)
            raise
        self._digest.feed(data)
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        """Returns how many bytes there are."""
        return self.size

    def seek(self, position: int) -> None:
        """Goes back to the start, the only place that anybody goes to."""
        self._file.seek(position)

    def truncate(self) -> None:
        """Empties the file: the source cannot go on in the middle."""
        self._file.truncate()
        self._digest.restart()
        self.size = 0

    def finish(self) -> str:
        """Brings the bytes to the disk, and returns their hash."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            self._blame(error)
            raise
        return str(self._digest)

    def _blame(self, error: OSError) -> None:
        if failure := volume_failure(error, self.path.parent):
            raise failure from error
