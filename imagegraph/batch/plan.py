"""What a batch will do: a task for each row, with keys that tell whether it was done already."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagegraph.batch.models import Model
from imagegraph.batch.table import Row, Wordless
from imagegraph.errors import ImagegraphError
from imagegraph.image import Image
from imagegraph.spec.content_hash import content_hash

READERS = 4  # threads that hash pictures
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Task:
    """A row to be run.

    Attributes:
        number: of its place in the table.
        key: hash of all that its answer depends on: graph, weights, settings, values, pictures.
        size: of its first picture, if it has one that can be read (px).
    """

    number: int
    row: Row
    model: Model
    key: str
    size: tuple[int, int] | None


@dataclass(frozen=True)
class Plan:
    """All tasks, in the order of the table.

    Attributes:
        run: hash of graph, weights, inputs and parameters.
        facts: what holds for all rows, as it is compared when a batch goes on.
    """

    run: str
    facts: Mapping[str, Any]
    tasks: Sequence[Task]

    @classmethod
    def make(
        cls,
        graph: str,
        rows: Sequence[Row],
        models: Sequence[Model],
        about: Mapping[str, Mapping[str, Any]],
        common: Mapping[str, Any],
    ) -> Plan:
        """Reads every picture once, for its hash and size.

        Args:
            models: of each row.
            about: facts of every model, by its label.
            common: values that all rows have, unless they have their own.
        """
        asked = [{**common, **row.values} for row in rows]
        with ThreadPoolExecutor(READERS) as pool:
            read = list(pool.map(_digests, asked))
        keys = [
            content_hash((graph, dict(about[model.label]), values))
            for model, (values, _) in zip(models, read, strict=True)
        ]
        tasks = [
            Task(number, row, model, key, size)
            for number, (row, model, key, (_, size)) in enumerate(zip(rows, models, keys, read, strict=True))
        ]
        parameters = {name: one for name, one in _digests(common)[0].items()}
        facts = {"graph": graph, "models": dict(about), "parameters": parameters}
        run = content_hash((facts, [(task.row.name, task.key) for task in tasks]))
        return cls(run, facts, tasks)

    def in_order(self) -> list[Task]:
        """Returns the tasks in the order in which they are best run.

        Rows of one model follow each other, and of these such of equal size and numbers: they share loops.
        """
        return sorted(self.tasks, key=lambda task: (task.model.label, task.size or (0, 0), _alike(task.row)))


def _alike(row: Row) -> str:
    """Returns what rows have to agree in to share a loop, as far as the table tells."""
    numbers = {name: one for name, one in row.values.items() if isinstance(one, (int, float))}
    numbers.pop("seed", None)
    return repr(sorted(numbers.items()))


def _digests(values: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[int, int] | None]:
    """Returns the values with the hash of every picture in its place, by name, and the first one's size."""
    sizes: list[tuple[int, int] | None] = []

    def item(value: Any) -> Any:
        if isinstance(value, Wordless):
            return str(value)
        if not isinstance(value, (Path, Image)):
            return value
        try:
            data = value.read_bytes() if isinstance(value, Path) else value.data
        except (OSError, ValueError):
            sizes.append(None)
            return UNREADABLE
        sizes.append(_size(data))
        return hashlib.sha256(data).hexdigest()

    digests = {
        name: [item(one) for one in values[name]] if isinstance(values[name], list) else item(values[name])
        for name in sorted(values)
    }
    return digests, next(iter(sizes), None)


def _size(data: bytes) -> tuple[int, int] | None:
    try:
        return Image(data).size
    except ImagegraphError:
        return None
