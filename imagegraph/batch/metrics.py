"""What rows have cost: a table of every row, a summary by model and size of input, and a plot of it."""

from __future__ import annotations

import io
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from imagegraph.batch.plan import Task

METRICS, TABLE, PLOT = "metrics.jsonl", "metrics.parquet", "metrics.png"
_OF_NODES = {"nodes": "seconds", "waited": "waited", "together": "together"}


def of_tasks(lines: Iterable[Mapping[str, Any]], tasks: Iterable[Task]) -> list[dict[str, Any]]:
    """Returns the metrics of the rows that are done as they are to be now, the last of each, in order."""
    found = {(line.get("row"), line.get("key")): line for line in lines}
    known = [found.get((task.row.name, task.key)) for task in tasks]
    return [dict(one) for one in known if one]


def parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Returns a table with a column for each fact, and one of each node: seconds, waited and together."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    flat = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    table = pa.table({name: [row.get(name) for row in flat] for name in names})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def summary(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns a line for each model and size of input: rows, the time of one, and the most memory in use."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["model"], row.get("input_size") or ""), []).append(row)
    return [
        {
            "model": model,
            "input_size": size,
            "rows": len(some),
            "computing_s": statistics.median(_computed(row) for row in some),
            "seconds": statistics.median(row["seconds"] for row in some),
            "longest_s": max(row["seconds"] for row in some),
            "cpu_peak_mib": max((row["cpu_peak_mib"] or 0 for row in some), default=0),
            "gpu_peak_mib": max((row["gpu_peak_mib"] or 0 for row in some), default=0),
        }
        for (model, size), some in sorted(groups.items())
    ]


def plot(groups: Sequence[Mapping[str, Any]]) -> bytes | None:
    """Returns a PNG of time and memory by model and size of input; nothing where there is no matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    labels = [
        f"{one['model']}, input {one['input_size']}" if one["input_size"] else one["model"] for one in groups
    ]
    figure = Figure(figsize=(9, 1.6 + 0.5 * len(groups)), layout="constrained")
    FigureCanvasAgg(figure)
    times, memory = figure.subplots(1, 2, sharey=True)
    times.barh(labels, [one["computing_s"] for one in groups], color="#4477aa")
    times.set_xlabel("s of computing a row (median)")
    of = "gpu_peak_mib" if any(one["gpu_peak_mib"] for one in groups) else "cpu_peak_mib"
    memory.barh(labels, [one[of] for one in groups], color="#cc6677")
    memory.set_xlabel(f"MiB of {of[:3].upper()} memory at most")
    times.invert_yaxis()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _computed(row: Mapping[str, Any]) -> float:
    """Returns a row's share of the time that its nodes took (s), without waiting."""
    waited, together = row["waited"], row["together"]
    return float(
        sum(
            max(seconds - waited.get(node, 0.0), 0.0) / together.get(node, 1)
            for node, seconds in row["nodes"].items()
        )
    )


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat = {name: value for name, value in row.items() if not isinstance(value, Mapping)}
    flat["cached"] = ",".join(row["cached"])
    for name, prefix in _OF_NODES.items():
        flat |= {f"{prefix}_{node}": value for node, value in row[name].items()}
    return flat | {f"host_{name}": value for name, value in row["host"].items()}
