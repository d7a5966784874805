"""A grid: every combination of some values, over every row of a batch; and which of them is best."""

from __future__ import annotations

import csv
import io
import itertools
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imagegraph.batch.folder import RESULTS, Folder
from imagegraph.batch.models import LIST, read_choices
from imagegraph.batch.plan import Task
from imagegraph.batch.sheets import best_picture
from imagegraph.batch.table import Row, value_of
from imagegraph.errors import InvalidInput, UnknownName
from imagegraph.image import Image
from imagegraph.ports import Port
from imagegraph.run.sheet import contact_sheet

MOST_VALUES, MOST_CELLS = 256, 4096
LONGEST_LABEL = 24  # characters of a value that stands for itself in names and on sheets
LINE = 38  # characters that fit below a picture
ACROSS = 10  # pictures in a line of a sheet
CELL = 256  # px
TABLE, WINNERS = "grid.csv", "grid.json"


@dataclass(frozen=True)
class Axis:
    """A parameter, its values, and a short word for each."""

    name: str
    values: Sequence[Any]
    labels: Sequence[str]


def read_axes(texts: Sequence[str], ports: Mapping[str, Port]) -> list[Axis]:
    """Reads `steps=10,20`, `prompt=@prompts.txt` with a value a line, or `prompt=["one, two", "three"]`.

    Raises:
        UnknownName: there is no such input.
        InvalidInput: a value is wrong or comes twice, or there are too many.
    """
    axes = [_axis(text, ports) for text in texts]
    names = [axis.name for axis in axes]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput("grid", "each input once", f"{name} {names.count(name)} times")
    cells = 1
    for axis in axes:
        cells *= len(axis.values)
    if cells > MOST_CELLS:
        raise InvalidInput("grid", f"at most {MOST_CELLS} combinations", cells)
    return axes


def expand(rows: Sequence[Row], axes: Sequence[Axis]) -> list[Row]:
    """Returns a row for every combination, of every row."""
    found = []
    for row in rows:
        for places in itertools.product(*(range(len(axis.values)) for axis in axes)):
            chosen = list(zip(axes, places, strict=True))
            values = {axis.name: axis.values[place] for axis, place in chosen}
            parts = [f"{axis.name}-{_part(axis.labels[place], place)}" for axis, place in chosen]
            cell = {axis.name: axis.labels[place] for axis, place in chosen}
            found.append(
                replace(
                    row,
                    name="--".join([row.name, *parts]),
                    values={**row.values, **values},
                    cell=cell,
                    photo=row.name,
                )
            )
    return found


@dataclass(frozen=True)
class Scores:
    """What the cells of a grid have reached.

    Attributes:
        cells: a line for each: its values, of how many rows it is the mean, and the mean of each score.
        winners: by score, the line with the highest.
        axes: the names of the values.
    """

    cells: Sequence[Mapping[str, Any]]
    winners: Mapping[str, Mapping[str, Any]]
    axes: Sequence[str]


def finish(folder: Folder, tasks: Sequence[Task], axes: Sequence[Axis]) -> Scores:
    """Writes the table of scores, which cells win, and a sheet for each photo."""
    lines = {line["row"]: line for line in folder.lines(RESULTS)}
    scores = _scores(tasks, axes, lines)
    if scores.cells:
        folder.write(TABLE, _csv(scores.cells))
        folder.write(WINNERS, json.dumps(scores.winners, indent=2, ensure_ascii=False).encode() + b"\n")
    for photo, some in itertools.groupby(tasks, key=lambda task: task.row.photo):
        if sheet := _sheet(folder, photo, list(some), axes, lines):
            folder.write(f"grid-{photo}.png", sheet)
    return scores


def _axis(text: str, ports: Mapping[str, Port]) -> Axis:
    name, equals, said = text.partition("=")
    field = f"grid.{name}"
    if not equals or not said:
        raise InvalidInput("grid", "an input with its values, such as steps=10,20", text)
    if name not in ports:
        raise UnknownName("input", name, ports)
    port = ports[name]
    if port.holds_images:
        raise InvalidInput(field, "an input that is no picture: those are rows of the batch", said)
    items: Sequence[Any] = _items(field, said)
    if len(items) > MOST_VALUES:
        raise InvalidInput(field, f"at most {MOST_VALUES} values", f"{len(items)}")
    values = [value_of(port, one, Path()) for one in items]
    for value in values:
        port.read(value)
        if values.count(value) > 1:
            raise InvalidInput(field, "each value once", value)
    return Axis(name, values, [_label(one) for one in items])


def _items(field: str, said: str) -> list[Any]:
    if said.startswith(LIST):
        return list(read_choices(said, field))
    if not said.startswith("["):
        return [one.strip() for one in said.split(",")]
    try:
        read = json.loads(said)
    except ValueError as error:
        raise InvalidInput(field, f"a JSON list ({error})", said) from error
    return list(read) if read else [""]


def _label(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _part(label: str, place: int) -> str:
    """Returns what of a name tells a value: itself, or its number where it is long or no name."""
    plain = all(one.isalnum() or one in "._" for one in label) and len(label) <= LONGEST_LABEL
    return label if plain else str(place + 1)


def _scores(tasks: Sequence[Task], axes: Sequence[Axis], lines: Mapping[str, Mapping[str, Any]]) -> Scores:
    """Returns the means over all pictures of each row, and of these over all rows of a cell."""
    reached: dict[tuple[str, ...], list[dict[str, float]]] = {}
    for task in tasks:
        if line := lines.get(task.row.name):
            reached.setdefault(tuple(task.row.cell.values()), []).append(_row_scores(line))
    names = list(dict.fromkeys(name for some in reached.values() for one in some for name in one))
    cells: list[dict[str, Any]] = []
    for cell, some in reached.items():
        means = {
            name: round(statistics.fmean(values), 6)
            for name in names
            if (values := [one[name] for one in some if name in one])
        }
        cells.append(
            {**dict(zip((axis.name for axis in axes), cell, strict=True)), "rows": len(some), **means}
        )
    winners = {
        name: max((cell for cell in cells if name in cell), key=lambda cell: float(cell[name]))
        for name in names
    }
    return Scores(cells, winners, [axis.name for axis in axes])


def _row_scores(line: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for picture in line["pictures"]:
        for name, value in picture.items():
            if isinstance(value, float):
                found.setdefault(name, []).append(value)
    return {name: statistics.fmean(values) for name, values in found.items()}


def _csv(cells: Sequence[Mapping[str, Any]]) -> bytes:
    buffer = io.StringIO()
    names = list(dict.fromkeys(name for cell in cells for name in cell))
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(cells)
    return buffer.getvalue().encode()


def _sheet(
    folder: Folder,
    photo: str,
    tasks: Sequence[Task],
    axes: Sequence[Axis],
    lines: Mapping[str, Mapping[str, Any]],
) -> bytes | None:
    """Draws the best picture of every cell with its values and scores; along a line the last axis."""
    across = min(len(axes[-1].values), ACROSS)
    rows: list[list[tuple[str, Image]]] = []
    for task in tasks:
        folder.fetch(task.row.name)
    for _, some in itertools.groupby(tasks, key=lambda task: [*task.row.cell.values()][:-1]):
        cells = [
            (_words(task, lines[task.row.name]), picture)
            for task in some
            if task.row.name in lines and (picture := best_picture(folder.row(task.row.name), CELL))
        ]
        rows += [cells[start : start + across] for start in range(0, len(cells), across)]
    if not rows:
        return None
    buffer = io.BytesIO()
    contact_sheet(photo, rows, CELL).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _words(task: Task, line: Mapping[str, Any]) -> str:
    values = ", ".join(f"{name} {label}" for name, label in task.row.cell.items())
    scores = "  ".join(f"{name.rpartition('_')[2]} {value:.2f}" for name, value in _row_scores(line).items())
    return f"{values[:LINE]}\n{scores[:LINE]}"
