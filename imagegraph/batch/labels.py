"""Words below pictures of a sheet: short ones, by which pictures can still be told apart."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence

from imagegraph.batch.plan import Task

LEAST = 8  # characters that say something of a value
LINES = 2  # of what a row is
SPARE = 4  # characters of a line that a break between words may take


def middle(text: str, longest: int) -> str:
    """Returns a text without what is in its middle, if it is too long."""
    if len(text) <= longest:
        return text
    head = longest // 2
    return f"{text[:head]}…{text[len(text) - (longest - head - 1) :]}"


def wrapped(text: str, line: int) -> str:
    """Returns a text in lines of that many characters."""
    return "\n".join(textwrap.wrap(text, line)[:LINES])


class CellLabels:
    """The values of a grid's rows in words."""

    def __init__(self, tasks: Sequence[Task], line: int) -> None:
        """Takes all rows, in order, and how many characters fit into a line."""
        values = {
            name: list(dict.fromkeys(task.row.cell[name] for task in tasks)) for name in tasks[0].row.cell
        }
        room = LINES * (line - SPARE) - sum(len(name) + 3 for name in values)
        share = max(room // len(values), LEAST)
        longest = {name: max(map(len, some)) for name, some in values.items()}
        kept = sum(length for length in longest.values() if length <= share)
        long = [name for name, length in longest.items() if length > share]
        most = (room - kept) // len(long) if long else 0
        self._line = line
        self._short: Mapping[str, Mapping[str, str]] = {
            name: dict(zip(some, _told_apart(some, most) if name in long else some, strict=True))
            for name, some in values.items()
        }

    def of(self, task: Task) -> str:
        """Returns the values of a row, each behind its name."""
        said = (f"{name} {self._short[name][value]}" for name, value in task.row.cell.items())
        return wrapped(", ".join(said), self._line)


def _told_apart(values: Sequence[str], longest: int) -> list[str]:
    """Returns values without what all of them begin with, each behind its number, as rows are named by it.

    Where there is hardly room, the number is all.
    """
    alike = os.path.commonprefix(list(values)) if len(values) > 1 else ""  # noqa: RUF071  (no paths)
    begin = alike.rfind(" ") + 1
    rests = [f"…{value[begin:]}" if begin else value for value in values]
    numbered = [(f"#{number}", rest) for number, rest in enumerate(rests, 1)]
    room = longest - len(f"#{len(values)} ")
    return [f"{number} {middle(rest, room)}" if room >= LEAST else number for number, rest in numbered]
