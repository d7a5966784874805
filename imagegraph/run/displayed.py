"""Bars that are drawn in place on a terminal, with lines above them that stay."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn


class Displayed:
    """Mixed into what shows progress by bars: begins and ends their drawing, and writes above them."""

    def __init__(self, console: Console, *columns: ProgressColumn, transient: bool = False) -> None:
        """Takes a terminal, and what stands in the line of a bar.

        Args:
            transient: whether the bars go at the end.
        """
        self._display = Progress(*columns, console=console, transient=transient)

    def __enter__(self) -> Self:
        self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.stop()

    def say(self, line: str) -> None:
        """Writes a line above the bars."""
        self._display.console.print(line, markup=False, highlight=False, soft_wrap=True)
