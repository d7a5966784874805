"""A batch from its folder as it is found to its results: what is left to do, what is written at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from imagegraph.batch import metrics
from imagegraph.batch.folder import FAILURES, PLAN, RESULTS, Folder, Shard
from imagegraph.batch.plan import Plan, Task
from imagegraph.batch.sheets import Sheets
from imagegraph.counted import counted
from imagegraph.errors import InvalidInput
from imagegraph.run.save import SUMMARY

READERS = 4  # threads that look at what is done


@dataclass(frozen=True)
class Found:
    """What an earlier run of the batch has left.

    Attributes:
        left: what is to be run, in the order in which it is best run.
        done: how many rows are done as they are to be.
        failures: the rows that failed then and are not tried again, by name.
    """

    left: Sequence[Task]
    done: int
    failures: Mapping[str, dict[str, Any]]

    @classmethod
    def look(
        cls,
        folder: Folder,
        plan: Plan,
        *,
        retry_failed: bool = False,
        overwrite: bool = False,
        shard: Shard | None = None,
    ) -> Found:
        """Compares a folder with a plan, or with the part of it that a shard is.

        Raises:
            InvalidInput: rows were done with other parameters, models or pictures, and shall not be
                overwritten.
        """
        tasks = [task for task in plan.in_order() if shard is None or shard.has(task.number)]
        with ThreadPoolExecutor(READERS) as pool:
            names = [task.row.name for task in tasks]
            keys = dict(zip(names, pool.map(folder.done, names), strict=True))
        changed = [task for task in tasks if keys[task.row.name] not in (None, task.key)]
        if changed and not overwrite:
            raise _changed(folder, plan, changed)
        left = [task for task in tasks if keys[task.row.name] != task.key]
        failed = _failed(folder, left)
        if retry_failed:
            return cls(left, len(tasks) - len(left), failed)
        return cls([task for task in left if task.row.name not in failed], len(tasks) - len(left), failed)


def begin(folder: Folder, plan: Plan, found: Found) -> None:
    """Says in the folder what is run, and which rows have failed before."""
    facts = {"run": plan.run, **plan.facts, "rows": len(plan.tasks)}
    folder.write(PLAN, orjson.dumps(facts, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")
    folder.write_lines(FAILURES, [found.failures[name] for name in sorted(found.failures)], own=True)


def ended(folder: Folder, plan: Plan) -> bool:
    """Whether every row is done or has failed, also those of other shards."""
    folder.refresh()
    done = {line["row"] for line in _results(folder, plan.tasks)}
    left = [task for task in plan.tasks if task.row.name not in done]
    return len(_failed(folder, left)) == len(left)


def finish(folder: Folder, plan: Plan, sheets: Sheets) -> list[dict[str, Any]]:
    """Writes results, failures, sheets and metrics of all rows; returns the summary of the metrics."""
    results = list(_results(folder, plan.tasks))
    folder.write_lines(RESULTS, results)
    done = {line["row"] for line in results}
    failed = _failed(folder, [task for task in plan.tasks if task.row.name not in done])
    folder.write_lines(FAILURES, [failed[name] for name in sorted(failed)])
    folder.gather(FAILURES)
    sheets.finish()
    rows = metrics.of_tasks(folder.lines(metrics.METRICS), plan.tasks)
    groups = metrics.summary(rows)
    if rows:
        folder.write(metrics.TABLE, metrics.parquet(rows))
        if drawn := metrics.plot(groups):
            folder.write(metrics.PLOT, drawn)
    return groups


def _failed(folder: Folder, tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
    """Returns the failures of rows that are to be run as they were then, by name."""
    known = {(line.get("row"), line.get("key")): line for line in folder.lines(FAILURES)}
    found = ((task.row.name, known.get((task.row.name, task.key))) for task in tasks)
    return {name: line for name, line in found if line}


def _results(folder: Folder, tasks: Sequence[Task]) -> Iterator[dict[str, Any]]:
    for task in tasks:
        place = folder.row(task.row.name)
        try:
            facts = orjson.loads((place / SUMMARY).read_bytes())
        except (OSError, ValueError):
            continue
        if facts.get("key") == task.key:
            files = Path(place.relative_to(folder.place)).as_posix()
            said = {name: facts[name] for name in ("parameters", "answer", "pictures")}
            yield {"row": task.row.name, "folder": files, "model": task.model.label, **said}


def _changed(folder: Folder, plan: Plan, changed: Sequence[Task]) -> InvalidInput:
    """Says what is other than it was."""
    try:
        before = orjson.loads((folder.place / PLAN).read_bytes())
    except (OSError, ValueError):
        before = {}
    remedy = "; give another folder, or --overwrite to run again what has changed"
    for name in plan.facts:
        if name in before and (found := _difference(name, before[name], plan.facts[name])):
            field, then, now = found
            return InvalidInput(
                field, f"{then!r}, as the batch in {folder.place} was begun with{remedy}", now
            )
    rows = ", ".join(task.row.name for task in changed[:3]) + (", …" if len(changed) > 3 else "")
    expected = f"the pictures and values that the batch in {folder.place} was begun with{remedy}"
    return InvalidInput("inputs", expected, f"others in {counted(len(changed), 'row')}: {rows}")


def _difference(name: str, before: Any, now: Any) -> tuple[str, Any, Any] | None:
    """Returns where two values differ first, and what is there."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            inner = key if name == "parameters" else f"{name}.{key}"
            if found := _difference(inner, before.get(key), now.get(key)):
                return found
        return None
    plain = orjson.loads(orjson.dumps(now))
    return None if before == plain else (name, before, plain)
