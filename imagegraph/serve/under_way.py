"""The requests under way in a process, and their end when it can wait for them no longer."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from imagegraph.errors import Unavailable

STOPPED = "the process ends, and the request did not end within its grace period"


class UnderWay:
    """The requests under way, each in a task of its own."""

    def __init__(self, in_flight: AbstractContextManager[None]) -> None:
        """Takes what counts them."""
        self.in_flight = in_flight
        self.tasks: set[asyncio.Task[Any]] = set()
        self.is_cut = False

    def cut(self) -> None:
        """Ends them all."""
        self.is_cut = True
        for task in self.tasks:
            task.cancel()


class Admitted:
    """One request under way, from when it is entered."""

    def __init__(self, all_of_them: UnderWay) -> None:
        """Takes those that it is one of."""
        self._all = all_of_them

    def __enter__(self) -> None:
        if self._all.is_cut:
            raise Unavailable(STOPPED)
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._all.tasks.add(task)
        self._all.in_flight.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._all.in_flight.__exit__(kind, error, trace)
        self._all.tasks.discard(self._task)
        if self._all.is_cut and isinstance(error, asyncio.CancelledError) and not self._task.uncancel():
            raise Unavailable(STOPPED) from None
