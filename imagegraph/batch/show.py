"""What a batch shows: one bar with rate and time left on a terminal, else a line every few seconds."""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from contextlib import AbstractContextManager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from imagegraph.run.displayed import Displayed

SILENCE_S = 10.0  # between lines


class Count:
    """How far a batch is.

    Attributes:
        total: rows to run now; of these `done` and `failed` so far, all since `began`.
        before: rows that were done already.
    """

    def __init__(self, total: int, before: int = 0, failed: int = 0) -> None:
        """Begins now, with rows of the total that have failed in earlier runs."""
        self.total = total
        self.before = before
        self._failed_before = failed
        self.done, self.failed = 0, failed
        self.began = time.monotonic()

    @property
    def ended(self) -> int:
        """How many rows need no more work."""
        return self.done + self.failed

    @property
    def rate(self) -> float:
        """Rows a second since the models were loaded."""
        return (self.ended - self._failed_before) / max(time.monotonic() - self.began, 1e-6)

    def __str__(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        if not self.rate:
            return f"{self.ended} of {self.total}"
        left = (self.total - self.ended) / self.rate
        return f"{self.ended} of {self.total}{failed}, {_rate(self.rate)}, {_time(left)} left"


class Show(AbstractContextManager["Show"]):
    """A context manager that is told how far a batch is."""

    @abstractmethod
    def say(self, line: str) -> None:
        """Writes a line that stays."""

    @abstractmethod
    def load(self, name: str, done: int, total: int) -> None:
        """Shows what loads now."""

    @abstractmethod
    def update(self, count: Count) -> None:
        """Shows how far it is."""


def show(console: Console) -> Show:
    """Returns what suits the console."""
    return Bar(console) if console.is_interactive else Lines(console)


class Lines(Show):
    """A line for what matters, and one every few seconds for how far it is."""

    def __init__(self, console: Console) -> None:
        """Takes any console."""
        self._console = console
        self._told_at = time.monotonic()
        self._loading = ""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is to be cleared away."""

    def say(self, line: str) -> None:
        """Writes a line."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._console.file.flush()

    def load(self, name: str, done: int, total: int) -> None:
        """Writes what loads now, once."""
        if name != self._loading:
            self._loading = name
            self.say(f"loading {name}, {done + 1} of {total}")

    def update(self, count: Count) -> None:
        """Writes how far it is, if that was not said a moment ago."""
        now = time.monotonic()
        if now - self._told_at >= SILENCE_S or (count.ended == count.total and count.total):
            self._told_at = now
            self.say(str(count))


class Told(Lines):
    """How far it is as a line of JSON, for whoever follows the pods of a batch."""

    def update(self, count: Count) -> None:
        """Writes how far it is, at most once a second."""
        now, ended = time.monotonic(), count.ended == count.total
        if now - self._told_at >= 1 or ended:
            self._told_at = now
            self.say(json.dumps(facts(count, ended)))


def facts(count: Count, ended: bool) -> dict[str, int | bool]:
    """Returns how far it is, with the rows that were done before."""
    return {
        "done": count.before + count.done,
        "failed": count.failed,
        "before": count.before,
        "total": count.before + count.total,
        "ended": ended,
    }


class Bar(Displayed, Show):
    """A bar."""

    def __init__(self, console: Console) -> None:
        """Takes a terminal."""
        super().__init__(
            console,
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rest]}", markup=False),
            TimeElapsedColumn(),
        )
        self._task = self._display.add_task("", total=None, rest="")

    def load(self, name: str, done: int, total: int) -> None:
        """Shows what loads now."""
        self._display.update(self._task, description=f"loading {name}", completed=done, total=total, rest="")

    def update(self, count: Count) -> None:
        """Moves the bar."""
        rest = str(count).partition(", ")[2]
        self._display.update(
            self._task, description="rows", completed=count.ended, total=count.total, rest=rest
        )


def _rate(rows_a_second: float) -> str:
    return f"{rows_a_second:.1f} rows/s" if rows_a_second >= 1 else f"{1 / rows_a_second:.1f} s/row"


def _time(seconds: float) -> str:
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole / 3600:.1f} h"
