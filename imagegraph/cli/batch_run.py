"""A batch under way in this process, which signals stop, and what is printed at its end."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from imagegraph.batch.folder import FAILURES
from imagegraph.batch.grid import Scores
from imagegraph.batch.runner import Runner
from imagegraph.batch.show import Show
from imagegraph.cli.options import console
from imagegraph.counted import counted


@dataclass
class _Signals:
    """Stops a runner at the first signal, and drops what is under way at the second."""

    runner: Runner
    shown: Show
    number: int = 0

    def __call__(self, number: int) -> None:
        self.number = number
        if self.runner.stop():
            rows = self.runner.under_way
            said = f"{counted(rows, 'row')} under way; once more drops"
            self.shown.say(f"finishing {said} {'them' if rows != 1 else 'it'}")


async def run_until_stopped(runner: Runner, shown: Show) -> int:
    """Runs all; returns the number of the signal that stopped it, 0 if none did or no row was left."""
    signals, loop = _Signals(runner, shown), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, signals, number)
    await runner.run()
    return signals.number if runner.count.ended < runner.count.total else 0


def already(done: int, rows: int) -> str:
    """Says how many rows an earlier run has done."""
    return f"{done} of {counted(rows, 'row')} {'is' if done == 1 else 'are'} done already"


def report(
    runner: Runner, groups: Sequence[Mapping[str, Any]], scores: Scores | None, out: str, signalled: int
) -> None:
    """Prints what was measured and where everything is; ends the command where not all went well."""
    if groups:
        console.print(_table(groups))
    if scores:
        for name, cell in scores.winners.items():
            values = ", ".join(f"{axis} {cell[axis]}" for axis in scores.axes)
            console.print(f"best by {name}: {values} ({cell[name]:.4f})", soft_wrap=True)
        for sentence in scores.missing:
            console.print(f"grid: {sentence}", soft_wrap=True)
    done = counted(runner.count.done, "row")
    console.print(f"{out}: {done} in this run, {len(runner.failures)} failed", soft_wrap=True)
    end(runner, out, signalled, "rows")


def end(runner: Runner, out: str | Path, signalled: int, rows: str) -> None:
    """Ends the command where not all went well.

    Args:
        out: where failures are listed.
        signalled: the signal that stopped it, or 0.
        rows: what its user calls them.
    """
    if signalled:
        command = shlex.join(["imagegraph", *sys.argv[1:]])
        typer.echo(f"stopped before all {rows} were done; go on with: {command}", err=True)
        raise typer.Exit(128 + signalled)
    if failures := runner.failures.values():
        typer.echo(
            f"error: {len(failures)} of {counted(len(runner.work.plan.tasks), 'row')} failed, listed in "
            f"{out}/{FAILURES}; --retry-failed tries them again",
            err=True,
        )
        raise typer.Exit(1 if any(not 400 <= one["status"] < 499 for one in failures) else 2)


def _table(groups: Sequence[Mapping[str, Any]]) -> Table:
    shown = Table("model", "input size", box=None, pad_edge=False)
    for head in ("rows", "computing a row, s", "a row with waiting, s", "longest, s", "CPU MiB", "GPU MiB"):
        shown.add_column(head, justify="right")
    for one in groups:
        times = (f"{one[name]:.3f}" for name in ("computing_s", "seconds", "longest_s"))
        memory = (f"{one[name]:.0f}" if one[name] else "" for name in ("cpu_peak_mib", "gpu_peak_mib"))
        shown.add_row(one["model"], one["input_size"], str(one["rows"]), *times, *memory)
    return shown
