"""What a run shows from its first moment: what loads, then the nodes; bars on a terminal, else lines."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from imagegraph.engine.context import Context, Event
from imagegraph.message import Message
from imagegraph.run.embedded import Embedded
from imagegraph.spec.catalogue import entry_names

LOOK_S = 0.1  # between looks at what loads
SILENCE_S = 10.0  # between lines that tell how far a node is


class Screen(AbstractContextManager["Screen"]):
    """A context manager that is told what happens."""

    @abstractmethod
    def load(self, name: str, done: int, total: int) -> None:
        """Shows the entry that loads now, and how many of all are loaded."""

    @abstractmethod
    def loaded(self) -> None:
        """Shows that nothing loads any more."""

    @abstractmethod
    def listen(self, event: Event) -> None:
        """Shows what happens at a node."""


def screen(console: Console) -> Screen:
    """Returns what suits the console; it may well be a file or a pipe."""
    return Bars(console) if console.is_interactive else Lines(console)


class Bars(Screen):
    """A bar for what loads, then one for every node."""

    def __init__(self, console: Console) -> None:
        """Takes a terminal."""
        columns = (TextColumn("{task.description:22}"), BarColumn(), TimeElapsedColumn())
        self._display = Progress(*columns, console=console, transient=True)
        self._loading = self._display.add_task("loading", total=None)
        self._nodes: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()

    def load(self, name: str, done: int, total: int) -> None:
        """Moves the bar of what loads."""
        self._display.update(self._loading, description=f"loading {name}", completed=done, total=total)

    def loaded(self) -> None:
        """Removes it."""
        self._display.update(self._loading, visible=False)

    def listen(self, event: Event) -> None:
        """Moves the bar of a node."""
        node = event.node.name
        if event.kind == "started":
            self._nodes[node] = self._display.add_task(node, total=None)
        elif event.kind == "progress":
            self._display.update(self._nodes[node], completed=event.done, total=event.total)
        elif event.kind == "finished":
            self._display.update(self._nodes[node], completed=1, total=1)


class Lines(Screen):
    """A line for each, and for long work one every few seconds."""

    def __init__(self, console: Console) -> None:
        """Takes any console."""
        self._console = console
        self._loading = ""
        self._told: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._say("loading")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Lines stay where they are."""

    def load(self, name: str, done: int, total: int) -> None:
        """Writes what loads now."""
        if name != self._loading:
            self._loading = name
            self._say(f"loading {name}, {done + 1} of {total}")

    def loaded(self) -> None:
        """Writes nothing: the nodes follow."""

    def listen(self, event: Event) -> None:
        """Writes what begins, and how far it is."""
        node, now = event.node.name, time.monotonic()
        if event.kind == "started":
            self._say(node)
            self._told[node] = now
        elif event.kind == "progress" and now - self._told[node] >= SILENCE_S:
            self._say(f"{node}, {event.done} of {event.total}")
            self._told[node] = now

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._console.file.flush()


def run_shown(
    embedded: Embedded, values: Mapping[str, Any], deadline: float | None, shown: Screen
) -> tuple[Message, Context, float]:
    """Runs a graph and shows it; returns the answer, what happened, and how long it took (s)."""
    start = time.perf_counter()
    context = Context(deadline=deadline, listener=shown.listen)

    async def run() -> Message:
        watching = asyncio.create_task(_watch_loading(embedded, shown))
        try:
            return await embedded.run(values, context)
        finally:
            watching.cancel()

    return asyncio.run(run()), context, time.perf_counter() - start


async def _watch_loading(embedded: Embedded, shown: Screen) -> None:
    names = entry_names(embedded.root)
    while left := [name for name in names if name not in embedded.load_seconds]:
        shown.load(left[0], len(names) - len(left), len(names))
        await asyncio.sleep(LOOK_S)
    shown.loaded()
