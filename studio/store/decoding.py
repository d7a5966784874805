"""Bounds what is decoded at once: a picture of a few hundred KB may have 64 megapixels."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

MOST = 64_000_000  # pixels: as many as the largest picture has, or many small ones


class Pixels:
    """So many pixels may be in memory at once."""

    def __init__(self, most: int) -> None:
        """Takes how many; a larger picture waits until it is alone."""
        self._most = self._free = most
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def decoding(self, size: tuple[int, int]) -> Iterator[None]:
        """Waits until there is room for a picture of a width and height, and has it until it is left."""
        pixels = min(size[0] * size[1], self._most)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


# Of the whole process: there is one memory.
HERE = Pixels(MOST)
