"""The rows of a report, each photo in each architecture, as a batch runs them, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from imagegraph.batch.folder import Folder
from imagegraph.batch.plan import Task
from imagegraph.batch.table import Row
from imagegraph.calls.check import Check
from imagegraph.errors import InvalidInput
from imagegraph.ports import Port
from imagegraph.run.save import SUMMARY
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.graph import Node
from imagegraph.style_report.answers import NEEDED, Answer

ARCHITECTURE, GROUP = "architecture", "style_group"


def check(graph: str, inputs: Mapping[str, Port], outputs: Mapping[str, Port]) -> None:
    """Refuses a graph of which there is nothing to report.

    Raises:
        InvalidInput: it knows no architectures, or does not say how pictures are in their styles.
    """
    lacking = [name for name in NEEDED if name not in outputs]
    if ARCHITECTURE not in inputs or lacking:
        expected = f"one that takes {ARCHITECTURE} and answers {', '.join(NEEDED)}, as stylize does"
        raise InvalidInput("graph", expected, graph)


def check_group(root: Node, bundle: str, catalogue: Catalogue, values: Mapping[str, Any]) -> None:
    """Holds the values against the node that words styles, before anything loads.

    Raises:
        InvalidInput: there is no such group; or another value is wrong for it.
    """
    signatures = catalogue.signatures(root, bundle)
    for node in root.walk():
        if GROUP in values and GROUP in signatures[node.entry].inputs:
            alone = Node(name=node.name, entry=node.entry)
            check = Check(alone, signatures, catalogue.parts(alone, bundle))
            check({"prompt": "a photo", **values})


def architectures(port: Port, asked: Sequence[str]) -> list[str]:
    """Returns those that are asked for, all by default.

    Raises:
        InvalidInput: there is none of that name.
    """
    return list(dict.fromkeys(map(port.read, asked))) or [str(one) for one in port.schema["enum"]]


def rows(photos: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Returns a row for each photo and architecture."""
    return [
        replace(
            photo,
            name=f"{photo.name}--{name}",
            values={**photo.values, ARCHITECTURE: name},
            cell={ARCHITECTURE: name},
            photo=photo.name,
        )
        for photo in photos
        for name in names
    ]


def answers(folder: Folder, tasks: Sequence[Task]) -> list[Answer]:
    """Returns the answers of all tasks that are done, in their order."""
    found: list[Answer] = []
    for task in tasks:
        facts = _facts(folder, task)
        if facts:
            place = folder.row(task.row.name).relative_to(folder.place).as_posix()
            found += Answer.of_results(task.row.photo, task.row.cell[ARCHITECTURE], place, facts)
    return found


def _facts(folder: Folder, task: Task) -> Mapping[str, Any] | None:
    """Returns what a task has come to; nothing of one that is not done as it is to be."""
    try:
        facts: Mapping[str, Any] = orjson.loads((folder.row(task.row.name) / SUMMARY).read_bytes())
    except (OSError, ValueError):
        return None
    return facts if facts.get("key") == task.key else None
