"""How many rows are asked for at once, and how long nobody asks after there was no room."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LONGEST_S = 30.0  # of a pause that nobody asked for
LOOK_S = 0.1


class Patience:
    """The turns of all rows at one engine.

    After a refusal nobody asks for as long as the engine wants, and then half as many at once; every answer
    lets a little more in.

    Source: Chiu and Jain 1989 (additive increase, multiplicative decrease).
    """

    def __init__(self, most: int) -> None:
        """Takes the most rows at once."""
        self._most = most
        self._window = float(most)
        self._asking = 0
        self._until = self._answered_at = time.monotonic()
        self._ended = False

    @property
    def silent_s(self) -> float:
        """For how long no row was answered."""
        return time.monotonic() - self._answered_at

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits until a row may be asked for."""
        while not self._ended and (time.monotonic() < self._until or self._asking >= self._window):
            left_s = max(self._until - time.monotonic(), LOOK_S / 4)
            await asyncio.sleep(min(left_s, LOOK_S) + random.random() * LOOK_S / 4)
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1

    def answered(self) -> None:
        """Counts an answer."""
        self._answered_at = time.monotonic()
        self._window = min(self._window + 1 / self._window, self._most)

    def refused(self, asked_s: float | None, attempt: int) -> None:
        """Counts a refusal.

        Args:
            asked_s: how long the engine wants nobody to ask.
            attempt: how often the row was tried; a pause of our own doubles with each.
        """
        now = time.monotonic()
        if now >= self._until:  # of those that were asked together, one halves
            self._window = max(self._window / 2, 1.0)
        pause_s = min(0.25 * 2**attempt, LONGEST_S) if asked_s is None else asked_s
        self._until = max(self._until, now + pause_s)

    def begin(self) -> None:
        """Begins to count the silence anew."""
        self._answered_at = time.monotonic()

    def end(self) -> None:
        """Lets nobody wait any more: the batch stops."""
        self._ended = True
