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
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn

from imagegraph.engine.context import Context, Event
from imagegraph.message import Message
from imagegraph.run.displayed import Displayed
from imagegraph.run.embedded import Embedded
from imagegraph.spec.catalogue import entry_names

LOOK_S = 0.1  # between looks at what loads
SILENCE_S = 10.0  # between lines that tell how far a node is
WIDTH = 26  # characters beside a bar


class Screen(AbstractContextManager["Screen"]):
    """A context manager that is told what happens."""

    @abstractmethod
    def say(self, line: str) -> None:
        """Writes a line that stays."""

    @abstractmethod
    def begin(self, name: str, number: int, total: int) -> None:
        """Shows which of several runs of a graph begins: that of the photo `name`, the `number`-th."""

    @abstractmethod
    def load(self, name: str, done: int, total: int) -> None:
        """Shows the entry that loads now, and how many of all are loaded."""

    @abstractmethod
    def loaded(self) -> None:
        """Shows that nothing loads any more."""

    @abstractmethod
    def listen(self, event: Event) -> None:
        """Shows what happens at a node."""


def screen(console: Console, *, quiet: bool = False, lines: bool = False) -> Screen:
    """Returns what suits the console; it may well be a file or a pipe.

    Args:
        quiet: say nothing but what failed.
        lines: draw no bars, since others write to the same terminal meanwhile.
    """
    if quiet:
        return Quiet(console)
    return Bars(console) if console.is_interactive and not lines else Lines(console)


class Quiet(Screen):
    """What is said, and no more."""

    def __init__(self, console: Console) -> None:
        """Takes any console."""
        self._console = console

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is to be cleared away."""

    def say(self, line: str) -> None:
        """Writes a line."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._console.file.flush()

    def begin(self, name: str, number: int, total: int) -> None:
        """Shows nothing."""

    def load(self, name: str, done: int, total: int) -> None:
        """Shows nothing."""

    def loaded(self) -> None:
        """Shows nothing."""

    def listen(self, event: Event) -> None:
        """Shows nothing."""


class Bars(Displayed, Screen):
    """A bar for what loads, then one for every node."""

    def __init__(self, console: Console) -> None:
        """Takes a terminal."""
        described = TextColumn(f"{{task.description:{WIDTH}}}", markup=False)
        super().__init__(console, described, BarColumn(), TimeElapsedColumn(), transient=True)
        self._photos = self._display.add_task("", visible=False)
        self._loading = self._display.add_task("loading", total=None)
        self._nodes: dict[str, TaskID] = {}

    def begin(self, name: str, number: int, total: int) -> None:
        """Moves the bar of the photos, and takes those of the last one's nodes away."""
        for task in self._nodes.values():
            self._display.remove_task(task)
        self._nodes.clear()
        said = shorten(f"{number}/{total} {name}", WIDTH)
        self._display.update(self._photos, description=said, completed=number - 1, total=total, visible=True)

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
        elif node not in self._nodes:
            return  # of a photo that has failed meanwhile
        elif event.kind == "progress":
            self._display.update(self._nodes[node], completed=event.done, total=event.total)
        elif event.kind == "finished":
            self._display.update(self._nodes[node], completed=1, total=1)


class Lines(Quiet):
    """A line for each, and for long work one every few seconds."""

    def __init__(self, console: Console) -> None:
        """Takes any console."""
        super().__init__(console)
        self._loading = ""
        self._told: dict[str, float] = {}

    def __enter__(self) -> Self:
        self.say("loading")
        return self

    def begin(self, name: str, number: int, total: int) -> None:
        """Writes which photo is next."""
        self.say(f"{name}, {number} of {total}")

    def load(self, name: str, done: int, total: int) -> None:
        """Writes what loads now."""
        if name != self._loading:
            self._loading = name
            self.say(f"loading {name}, {done + 1} of {total}")

    def loaded(self) -> None:
        """Writes nothing: the nodes follow."""

    def listen(self, event: Event) -> None:
        """Writes what begins, and how far it is."""
        node, now = event.node.name, time.monotonic()
        if event.kind == "started":
            self.say(node)
            self._told[node] = now
        elif event.kind == "progress" and now - self._told[node] >= SILENCE_S:
            self.say(f"{node}, {event.done} of {event.total}")
            self._told[node] = now


async def load_shown(embedded: Embedded, shown: Screen, timeout_s: float | None = None) -> None:
    """Waits until everything is loaded, and shows it.

    Raises:
        ImagegraphError: something cannot be loaded, or not in time.
    """
    watching = asyncio.create_task(_watch_loading(embedded, shown))
    try:
        await embedded.ready(timeout_s)
    finally:
        watching.cancel()
    shown.loaded()


async def run_shown(
    embedded: Embedded, values: Mapping[str, Any], deadline: float | None, shown: Screen
) -> tuple[Message, Context, float]:
    """Runs a loaded graph and shows it; returns the answer, what happened, and how long it took (s)."""
    start = time.perf_counter()
    context = Context(deadline=deadline, listener=shown.listen)
    answer = await embedded.run(values, context)
    return answer, context, time.perf_counter() - start


async def _watch_loading(embedded: Embedded, shown: Screen) -> None:
    names = entry_names(embedded.root)
    while left := [name for name in names if name not in embedded.load_seconds]:
        shown.load(left[0], len(names) - len(left), len(names))
        await asyncio.sleep(LOOK_S)


def shorten(text: str, width: int) -> str:
    """Returns the end of a text that is too long: what tells photos apart is the end of their paths."""
    return text if len(text) <= width else f"…{text[1 - width :]}"
