"""Sheets of all pictures of a batch, small, a hundred on each; they grow as rows end."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
from PIL import Image as Pillow

from imagegraph.batch.folder import Folder
from imagegraph.batch.labels import LINES, SPARE, CellLabels, middle, wrapped
from imagegraph.batch.plan import Task
from imagegraph.image import Image
from imagegraph.run.save import SUMMARY
from imagegraph.run.sheet import contact_sheet

CELL = 128  # px
ACROSS, ON_A_SHEET = 10, 100
PAUSE_S = 5.0  # between two drawings of the sheet that grows,
SHARE = 0.01  # and as much longer as leaves drawing this share of the time
LINE = 17  # characters that fit below a picture


class Sheets:
    """The sheets of a batch, in the order of its table."""

    def __init__(self, folder: Folder, tasks: Sequence[Task], title: str) -> None:
        """Takes all tasks, in order."""
        self._folder = folder
        self._tasks = tasks
        self._title = title
        # Of a grid the first line names the photo.
        self._labels = CellLabels(tasks, LINE) if tasks and tasks[0].row.cell else None
        self._cells: dict[str, tuple[str, Image]] = {}
        self._next = time.monotonic() + PAUSE_S
        self._lock = threading.Lock()

    def grow(self, task: Task) -> None:
        """Draws the sheet of a row that has ended, unless one was drawn a moment ago."""
        if time.monotonic() < self._next or not self._lock.acquire(blocking=False):
            return
        try:
            began = time.monotonic()
            self._draw(task.number // ON_A_SHEET)
            spent = time.monotonic() - began
            self._next = time.monotonic() + max(PAUSE_S, spent / SHARE)
        finally:
            self._lock.release()

    def finish(self) -> list[Path]:
        """Draws all of them, and removes those of an earlier batch; returns their files."""
        with self._lock:
            drawn = (self._draw(number) for number in range(-(-len(self._tasks) // ON_A_SHEET)))
            found = [path for path in drawn if path]
        self._folder.clear("sheet-*.png", {path.name for path in found})
        return found

    def _draw(self, number: int) -> Path | None:
        tasks = self._tasks[number * ON_A_SHEET : (number + 1) * ON_A_SHEET]
        cells = [cell for task in tasks if (cell := self._cell(task))]
        if not cells:
            return None
        title = f"{self._title}, {tasks[0].number + 1} to {tasks[-1].number + 1} of {len(self._tasks)}"
        rows = [cells[start : start + ACROSS] for start in range(0, len(cells), ACROSS)]
        buffer = io.BytesIO()
        contact_sheet(title, rows, CELL).save(buffer, "PNG", compress_level=1)
        name = f"sheet-{number + 1}.png"
        self._folder.write(name, buffer.getvalue())
        return self._folder.place / name

    def _cell(self, task: Task) -> tuple[str, Image] | None:
        """Returns a row's small picture and words, if the row is done and has a picture."""
        name = task.row.name
        if name not in self._cells:
            self._folder.fetch(name)
            small = best_picture(self._folder.row(name), CELL)
            if small is None:
                return None
            if self._labels:
                words = f"{middle(task.row.photo, LINE)}\n{self._labels.of(task)}"
            else:
                words = wrapped(middle(name, LINES * (LINE - SPARE)), LINE)
            self._cells[name] = words, small
        return self._cells[name]


def best_picture(folder: Path, cell: int) -> Image | None:
    """Returns the first picture of a row, made small; a map where there is none, else what was asked."""
    try:
        facts = orjson.loads((folder / SUMMARY).read_bytes())
        file = _best_file(facts)
        if file is None:
            return None
        read = Image((folder / file).read_bytes())
    except (OSError, ValueError, KeyError):
        return None
    own = read.own()
    picture = read.map_rgb() if own.mode in ("L", "I;16") else read.rgb()
    small = picture.copy()
    small.thumbnail((cell, cell), Pillow.Resampling.BILINEAR, reducing_gap=2.0)
    return Image(pixels=small)


def _best_file(facts: Mapping[str, object]) -> str | None:
    pictures, files = facts["pictures"], facts["files"]
    assert isinstance(pictures, list)
    assert isinstance(files, dict)
    if pictures:
        return str(pictures[0]["file"])
    shown = [file for file in files if file.endswith((".png", ".jpg", ".webp"))]
    made = [file for file in shown if not file.startswith("source-")]
    return next(iter([*made, *shown]), None)
