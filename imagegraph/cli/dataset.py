"""`dataset`: pictures of a folder or of the hub as a data set that `datasets` loads."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from imagegraph.cli.options import Bundle, Device, console, progress
from imagegraph.dataset import collect, sources
from imagegraph.dataset.collect import Captions, Collected, Tell, Wanted
from imagegraph.dataset.splits import Splits
from imagegraph.image import Image
from imagegraph.run.destination import fill, new_folder
from imagegraph.run.embedded import Embedded
from imagegraph.spec.catalogue import DEFAULT_BUNDLE, Catalogue

SILENCE_S = 10.0  # between lines, where there is no terminal
CAPTION = "caption"


class Texts(StrEnum):
    """Where the texts of pictures come from, beside what the source says."""

    SOURCE = "source"
    NAMES = "names"
    MODEL = "model"


def dataset(
    source: Annotated[
        list[str], typer.Argument(help="Folders, or data sets of the hub as owner/name, maybe @revision")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new or empty folder")] = Path("data"),
    size: Annotated[
        int, typer.Option(min=16, max=4096, help="Shorter side in px of what is larger")
    ] = Wanted.size,
    validation: Annotated[float, typer.Option(help="Part of the pictures kept for validation")] = 0.1,
    test: Annotated[float, typer.Option(help="Part of the pictures kept for the test")] = 0.0,
    captions: Annotated[
        Texts,
        typer.Option(
            help="What pictures show, in words: as the source says it, else the name of the file "
            "(underscores are spaces); or as a model of --bundle sees it"
        ),
    ] = Texts.SOURCE,
    licence: Annotated[str | None, typer.Option(help="Of the pictures, where you know better")] = None,
    bundle: Bundle = None,
    device: Device = "auto",
) -> None:
    """Collect pictures into a data set: whole ones, each once, no larger than wanted, split by their hash."""
    found = [sources.find(one, licence) for one in source]
    wanted = Wanted(size, Splits(validation, test), captions is Texts.NAMES)
    with new_folder(out, "data") as folder, contextlib.ExitStack() as stack:
        describe = None
        if captions is Texts.MODEL:  # what cannot be loaded shall not wait for all the pictures
            describe = stack.enter_context(_captions(bundle or DEFAULT_BUNDLE, device))
        tell = stack.enter_context(_shown())
        collected = collect.look(found, tell)
        fill(folder, lambda staged: collect.write(staged, found, collected, wanted, describe, tell))
    _report(collected, out)


@contextlib.contextmanager
def _captions(bundle: str, device: str) -> Iterator[Captions]:
    """Gives what says in words what pictures show."""
    catalogue = Catalogue.read()
    with (
        asyncio.Runner() as runner,
        Embedded(catalogue.graph(CAPTION).root, bundle, catalogue, device) as one,
    ):

        async def all_of(images: Sequence[Image]) -> list[str]:
            answers = await asyncio.gather(*(one.run({"image": image}) for image in images))
            return [str(answer.values[CAPTION]) for answer in answers]

        runner.run(one.ready())
        yield lambda images: runner.run(all_of(images))


@contextlib.contextmanager
def _shown() -> Iterator[Tell]:
    """Gives what shows how far it is: a bar on a terminal, else a line every few seconds."""
    if not progress.is_interactive:
        yield _lines()
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=progress, transient=True) as display:
        task = display.add_task("", total=None)
        yield lambda what, done, total: display.update(task, description=what, completed=done, total=total)


def _lines() -> Callable[[str, int, int | None], None]:
    last = time.monotonic()

    def tell(what: str, done: int, total: int | None) -> None:
        nonlocal last
        if time.monotonic() - last >= SILENCE_S:
            last = time.monotonic()
            progress.print(f"{what}, {done}{f' of {total}' if total else ''}")

    return tell


def _report(collected: Collected, out: Path) -> None:
    kept = sum(map(len, collected.kept.values()))
    table = Table("", box=None, pad_edge=False)
    table.add_column("pictures", justify="right")
    copies = sum(one.is_copy for one in collected.dropped)
    for what, count in (
        ("found", collected.found),
        ("copies", copies),
        ("broken", len(collected.dropped) - copies),
        ("kept", kept),
    ):
        table.add_row(what, str(count))
    console.print(table)
    console.print(f"{out}: README.md says what is in it", soft_wrap=True)
