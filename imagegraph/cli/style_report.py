"""`style-report`: styles in each architecture over many photos, and which of them does best."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from imagegraph.batch import session, table
from imagegraph.batch.engines import EmbeddedPlatform
from imagegraph.batch.folder import Folder
from imagegraph.batch.machine import Memory
from imagegraph.batch.models import Choices
from imagegraph.batch.plan import Plan
from imagegraph.batch.runner import Runner, Work
from imagegraph.batch.session import Found
from imagegraph.batch.show import show
from imagegraph.cli.batch_run import already, end, run_until_stopped
from imagegraph.cli.batch_words import sort_words
from imagegraph.cli.command import RunCommand, given
from imagegraph.cli.inputs import Reader
from imagegraph.cli.options import (
    Added,
    Bundle,
    Debug,
    Device,
    complete_graph,
    console,
    progress,
)
from imagegraph.counted import counted
from imagegraph.spec.catalogue import DEFAULT_BUNDLE, Catalogue
from imagegraph.style_report import trial
from imagegraph.style_report.answers import Answer, to_parquet
from imagegraph.style_report.figures import LEAST_PHOTOS, Verdict, figures
from imagegraph.style_report.page import page, signed
from imagegraph.style_report.samples import Report, words

GRAPH = "stylize"
TABLE, PAGE = "answers.parquet", "report.html"
CACHE_BYTES = 2**26  # for what all architectures have in common, as the caption


class StyleReportCommand(RunCommand):
    """A command with an option for each input of its graph, which is `stylize` by default."""

    def _options(self, ctx: Any, found: Mapping[str, Any]) -> list[Any]:
        return super()._options(ctx, {**found, "name": found.get("graph") or GRAPH})


def style_report(
    ctx: typer.Context,
    photos: Annotated[
        list[str],
        typer.Argument(help="Folders, patterns such as 'x/**/*.png', pictures; and inputs as name=value"),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the report; one that is there is gone on with")
    ] = Path("report"),
    graph: Annotated[str, typer.Option(help="What draws and asks", autocompletion=complete_graph)] = GRAPH,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Take the pictures of folders in folders, too")
    ] = False,
    bundle: Bundle = None,
    in_flight: Annotated[
        int, typer.Option(min=1, max=128, help="Photos under way at once; those that can share a loop")
    ] = 8,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try photos again that have failed before")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Draw again what was drawn with other parameters")
    ] = False,
    catalogue: Added = None,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Draw every photo in every style and architecture, ask of each picture whether it is in its style.

    Beside these options there is one for each input of the graph. The same command goes on where it was
    stopped. Writes all pictures, a table of all answers, and a page that says what does best.

    Ends with 2 where you can do something about photos that failed, with 1 where not.
    """
    known = Catalogue.read(catalogue or [])
    weights = bundle or DEFAULT_BUNDLE
    choices = Choices(known.graph(graph).root, [weights])
    platform = EmbeddedPlatform(graph, choices, known, device, cache_bytes=CACHE_BYTES)
    interface = platform.interface
    trial.check(graph, interface.inputs, interface.outputs)
    reader = Reader(graph, interface)
    asked = given(ctx)
    names = trial.architectures(interface.inputs[trial.ARCHITECTURE], asked.pop(trial.ARCHITECTURE, []))
    sources, values = sort_words(photos, reader, asked)
    trial.check_group(choices.root, weights, known, values)
    rows = trial.rows(table.read(sources, reader.ports, recursive), names)
    model = platform.choose(rows[0])
    plan = Plan.make(graph, rows, [model] * len(rows), {model.label: platform.facts(model)}, values)
    with Folder(out) as folder:
        found = Found.look(folder, plan, retry_failed=retry_failed, overwrite=overwrite)
        session.begin(folder, plan, found)
        with show(progress) as shown, Memory() as memory:
            work = Work(plan, found.left, platform.open, values, in_flight)
            runner = Runner(work, folder, shown, memory, dict(found.failures))
            if found.done:
                shown.say(already(found.done, len(rows)))
            signalled = asyncio.run(run_until_stopped(runner, shown)) if found.left else 0
        facts = [f"{graph} with weights of {weights}", *(f"{name} {values[name]}" for name in values)]
        answers = trial.answers(folder, plan.tasks)
        if answers:
            _write(folder, answers, facts, _by_photo(plan, runner.failures))
    end(runner, out, signalled, "photos")


def _by_photo(plan: Plan, failures: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Returns what was wrong, once for each photo."""
    photos = {task.row.name: task.row.photo for task in plan.tasks}
    return {photos[row]: str(one["error"]) for row, one in failures.items()}


def _write(
    folder: Folder, answers: Sequence[Answer], facts: Sequence[str], failures: Mapping[str, str]
) -> None:
    """Writes the table and, once a photo has all of its pictures, the page; says what is best."""
    folder.write(TABLE, to_parquet(answers))
    result = figures(answers)
    about = [*facts, counted(len(answers), "picture")]
    folder.write(PAGE, page(Report(folder.place, answers, result, about, failures)).encode())
    for what, verdict in (("style", result.style), ("architecture", result.architecture)):
        if verdict:
            console.print(f"{what}: {_sentence(verdict, result.photos)}", soft_wrap=True)
    console.print(folder.place / PAGE, soft_wrap=True)


def _sentence(verdict: Verdict, photos: int) -> str:
    doubt = "may be chance" if photos >= LEAST_PHOTOS else "too few photos to tell"
    difference = f"{verdict.difference:.3f} above {words(verdict.next)}"
    interval = f"{signed(verdict.low)} to {signed(verdict.high)}"
    return f"{words(verdict.best)}, {difference} ({interval}), {'real' if verdict.real else doubt}"
