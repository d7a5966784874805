"""A grid: every combination of some values, over every row of a batch; and which of them is best."""

from __future__ import annotations

import csv
import io
import itertools
import json
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import ImageOps

from imagegraph.batch.folder import RESULTS, Folder
from imagegraph.batch.labels import CellLabels
from imagegraph.batch.models import LIST, read_choices
from imagegraph.batch.plan import Task
from imagegraph.batch.sheets import best_picture
from imagegraph.batch.table import Row, value_of
from imagegraph.counted import counted
from imagegraph.errors import InvalidInput, UnknownName
from imagegraph.image import Image
from imagegraph.ports import Port
from imagegraph.run.sheet import contact_sheet

MOST_VALUES, MOST_CELLS = 256, 4096
LONGEST_LABEL = 24  # characters of a value that stands for itself in names and on sheets
LINE = 38  # characters that fit below a picture
ACROSS = 10  # pictures in a line of a sheet
CELL = 256  # px
BEST, FRAME = "#c2255c", 6  # what the best cells are framed in, and how broad (px)
TABLE, WINNERS, _SHEET = "grid.csv", "grid.json", "grid-{}.png"


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
        cells: a line for each of which a row is done: its values, over how many photos it is compared, and
            the mean of each score over these.
        winners: by score, the line with the highest.
        axes: the names of the values.
        missing: what is not compared, in words.
    """

    cells: Sequence[Mapping[str, Any]]
    winners: Mapping[str, Mapping[str, Any]]
    axes: Sequence[str]
    missing: Sequence[str] = ()

    def won(self, cell: Mapping[str, str]) -> list[str]:
        """Returns the scores by which a cell is the best."""
        return [
            name for name, best in self.winners.items() if all(best[one] == cell[one] for one in self.axes)
        ]


def finish(folder: Folder, tasks: Sequence[Task], axes: Sequence[Axis]) -> Scores | None:
    """Writes the table of scores, which cells win, and a sheet for each photo.

    What is of another grid is removed, and of any where there are no axes.
    """
    scores, written = _write(folder, tasks, axes) if axes else (None, [])
    for pattern in (TABLE, WINNERS, _SHEET.format("*")):
        folder.clear(pattern, written)
    return scores


def _write(folder: Folder, tasks: Sequence[Task], axes: Sequence[Axis]) -> tuple[Scores, list[str]]:
    """Writes all of it; returns the scores, and the names of the files."""
    lines = {line["row"]: line for line in folder.lines(RESULTS)}
    scores = _scores(tasks, [axis.name for axis in axes], lines)
    files: dict[str, bytes] = {}
    if scores.cells:
        files[TABLE] = _csv(scores.cells)
        files[WINNERS] = json.dumps(scores.winners, indent=2, ensure_ascii=False).encode() + b"\n"
    labels = CellLabels(tasks, LINE)
    for photo, some in itertools.groupby(tasks, key=lambda task: task.row.photo):
        if sheet := _sheet(folder, photo, list(some), labels, scores, lines):
            files[_SHEET.format(photo)] = sheet
    for name, data in files.items():
        folder.write(name, data)
    return scores, list(files)


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


def _scores(tasks: Sequence[Task], axes: Sequence[str], lines: Mapping[str, Mapping[str, Any]]) -> Scores:
    """Returns the means over all pictures of each row, and of these over the photos that all cells have.

    So no cell is ahead since it lacks a photo that is hard. One of which no row is done is left out.
    """
    reached: dict[str, dict[tuple[str, ...], dict[str, float]]] = {task.row.photo: {} for task in tasks}
    for task in tasks:
        if line := lines.get(task.row.name):
            reached[task.row.photo][tuple(task.row.cell.values())] = _row_scores(line)
    cells = dict.fromkeys(tuple(task.row.cell.values()) for task in tasks)
    done = [cell for cell in cells if any(cell in some for some in reached.values())]
    whole = [some for some in reached.values() if done and len(some) == len(done)]
    means: dict[tuple[str, ...], dict[str, float]] = {cell: {} for cell in done}
    for name in dict.fromkeys(name for some in whole for one in some.values() for name in one):
        having = [cell for cell in done if any(name in some[cell] for some in whole)]
        shared = [some for some in whole if all(name in some[cell] for cell in having)]
        for cell in having if shared else ():
            means[cell][name] = round(statistics.fmean(some[cell][name] for some in shared), 6)
    found: list[dict[str, Any]] = [
        {**dict(zip(axes, cell, strict=True)), "rows": len(whole), **means[cell]} for cell in done
    ]
    winners = {
        name: max((cell for cell in found if name in cell), key=lambda cell: float(cell[name]))
        for name in dict.fromkeys(name for some in means.values() for name in some)
    }
    lacking = [photo for photo, some in reached.items() if len(some) < len(done)]
    missing = _missing(lacking, len(reached), len(cells) - len(done), len(cells))
    return Scores(found if whole else [], winners, axes, missing)


def _missing(lacking: Sequence[str], photos: int, undone: int, cells: int) -> list[str]:
    """Says what is not compared."""
    found = []
    if lacking:
        names = ", ".join(lacking[:3]) + (", …" if len(lacking) > 3 else "")
        found.append(
            f"compared over {photos - len(lacking)} of {counted(photos, 'photo')}; not all combinations "
            f"are done of {names}"
        )
    if undone:
        found.append(f"{undone} of {counted(cells, 'combination')} left out: of no photo done")
    return found


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
    labels: CellLabels,
    scores: Scores,
    lines: Mapping[str, Mapping[str, Any]],
) -> bytes | None:
    """Draws the best picture of every cell with its values and scores; along a line the last axis."""
    across = min(len({task.row.cell[scores.axes[-1]] for task in tasks}), ACROSS)
    rows: list[list[tuple[str, Image]]] = []
    for task in tasks:
        folder.fetch(task.row.name)
    for _, some in itertools.groupby(tasks, key=lambda task: [*task.row.cell.values()][:-1]):
        cells = [
            _cell(labels.of(task), picture, scores.won(task.row.cell), _row_scores(lines[task.row.name]))
            for task in some
            if task.row.name in lines and (picture := best_picture(folder.row(task.row.name), CELL))
        ]
        rows += [cells[start : start + across] for start in range(0, len(cells), across)]
    if not rows:
        return None
    buffer = io.BytesIO()
    contact_sheet(photo, rows, CELL).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _cell(values: str, picture: Image, won: Sequence[str], scores: Mapping[str, float]) -> tuple[str, Image]:
    """Returns words and picture of a cell; the best by some score is framed, and says by which."""
    in_order = sorted(scores.items(), key=lambda one: one[0] not in won)
    said = (
        f"{name.rpartition('_')[2]} {value:.2f}{' (best)' if name in won else ''}" for name, value in in_order
    )
    words = f"{values}\n{textwrap.shorten(', '.join(said), LINE, placeholder='…')}"
    if not won:
        return words, picture
    pixels = picture.rgb()
    scale = (CELL - 2 * FRAME) / max(pixels.size)
    inner = pixels.resize((max(1, round(pixels.width * scale)), max(1, round(pixels.height * scale))))
    return words, Image(pixels=ImageOps.expand(inner, FRAME, BEST))
