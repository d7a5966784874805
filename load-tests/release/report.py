"""The result: what a program reads, what a person reads on a terminal, every request as a row."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from release import figures
from release.figures import Figures
from release.open_loop import Run
from release.servers import Sampler, use
from release.verdict import Check

HEAD = ("requests", "per s", "p50, s", "p95, s", "p99, s", "longest", "refused", "errors", "lost")
ROW = (
    "number", "way", "graph", "host", "step", "due_s", "sent_s", "ended_s", "latency_s", "status", "version",
    "words",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """A run with all that is said about it.

    Attributes:
        name: of the scenario.
        began: when, as people write it.
    """

    name: str
    began: str
    seed: int
    run: Run
    checks: Sequence[Check]
    sampler: Sampler

    @property
    def passed(self) -> bool:
        """Whether all was as the scenario asks for."""
        return all(check.passed for check in self.checks)

    @property
    def total(self) -> Figures:
        """The figures of all that counts."""
        return figures.figures(figures.counted(self.run), figures.seconds(self.run))


def as_json(result: Result) -> dict[str, Any]:
    """Returns the result as `plan` reads it."""
    run = result.run
    steps = [
        {
            "rate": step.rate,
            "begin_s": step.begin_s,
            "end_s": step.end_s,
            "counts": step.counts,
            **got._asdict(),
            "use": {
                name: one._asdict()
                for name, one in use(result.sampler.samples, step.begin_s, step.end_s).items()
            },
        }
        for step, got in zip(run.steps, figures.by_step(run), strict=True)
    ]
    failed = figures.failures(figures.counted(run))
    return {
        "scenario": result.name,
        "hosts": [
            {"graph": one.graph, "url": one.url, **got._asdict()}
            for one, got in zip(run.hosts, figures.by_host(run), strict=True)
        ],
        "began": result.began,
        "seed": result.seed,
        "passed": result.passed,
        "cut_short": run.cut_words if run.cut_short else "",
        "checks": [check._asdict() for check in result.checks],
        "total": result.total._asdict(),
        "ways": {way: got._asdict() for way, got in figures.by_way(run).items()},
        "versions": dict(figures.by_version(figures.counted(run))),
        "failures": [
            {"status": status, "words": words, "requests": count}
            for (status, words), count in failed.most_common()
        ],
        "unread_metrics": result.sampler.failed,
        "steps": steps,
    }


def write(result: Result, page: str, folder: Path) -> None:
    """Writes result.json, requests.csv and report.html."""
    (folder / "result.json").write_text(json.dumps(as_json(result), indent=2) + "\n")
    (folder / "report.html").write_text(page)
    with (folder / "requests.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(ROW)
        for one in result.run.outcomes:
            number, due_s, way, step = one.arrival
            asked = result.run.hosts[one.host]
            times = (f"{value:.6f}" for value in (due_s, one.sent_s, one.ended_s, one.latency_s))
            ended = (one.ended.status, one.ended.predictor, one.ended.words)
            rows.writerow([number, way, *asked, step, *times, *ended])


def show(result: Result, console: Console) -> None:
    """Prints the result."""
    run = result.run
    table = table_of(f"{result.name}: {run.scenario.summary}", "")
    for name in HEAD:
        table.add_column(name, justify="right", no_wrap=True)
    for way, got in figures.by_way(run).items():
        table.add_row(way, *cells(got))
    if len(run.scenario.requests) > 1:
        table.add_row("all", *cells(result.total), style="bold")
    if len(run.hosts) > 1:
        table.add_section()
        for label, got in zip(labels_of_hosts(run), figures.by_host(run), strict=True):
            table.add_row(label, *cells(got))
    if len(run.steps) > 1:
        table.add_section()
        for label, got in zip(labels(run), figures.by_step(run), strict=True):
            table.add_row(label, *cells(got))
    console.print(table)
    for (status, words), count in figures.failures(figures.counted(run)).most_common(5):
        console.print(f"  {count} x {status or 'no answer'}: {words}", markup=False, highlight=False)
    if run.cut_short:
        said = f"Cut short {run.cut_words} ({run.under_way} under way then are in no figures)"
        console.print(said, markup=False, highlight=False)
    verdicts = table_of("Thresholds", "", "asked for", "measured", "")
    for check in result.checks:
        mark = "[green]kept[/]" if check.passed else "[bold red]broken[/]"
        verdicts.add_row(check.name, check.expected, check.got, mark)
    console.print(verdicts)


def table_of(title: str, *columns: str) -> Table:
    """Returns a table without rows, as all of them look."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in columns:
        table.add_column(name, no_wrap=True)
    return table


def labels(run: Run) -> list[str]:
    """Returns what each step is called."""
    return [
        f"{step.begin_s:.0f} to {step.end_s:.0f} s, {step.rate:.3g}/s due{'' if step.counts else ', warm-up'}"
        for step in run.steps
    ]


def labels_of_hosts(run: Run) -> list[str]:
    """Returns what each host is called: by its graph, where no other has the same."""
    graphs = [one.graph for one in run.hosts]
    return [one.graph if graphs.count(one.graph) == 1 else one.url for one in run.hosts]


def cells(got: Figures) -> list[str]:
    """Returns figures as they stand in a row."""
    never = "-" if got.requests == got.refused else "never"
    times = (never if one is None else f"{one:.3f}" for one in (got.p50_s, got.p95_s, got.p99_s, got.max_s))
    counts = (got.refused, got.errors, got.lost)
    return [str(got.requests), f"{got.per_s:.1f}", *times, *map(str, counts)]
