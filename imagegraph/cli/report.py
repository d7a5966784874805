"""What `run` says of its results: in words for people, as JSON for programs, or hardly anything."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from imagegraph.cli.options import console
from imagegraph.errors import ImagegraphError
from imagegraph.picture import ORDER
from imagegraph.run.screen import Screen

SLOWEST = 6  # times that are named
LEAST_S = 0.05  # of one that is
LONGEST_LIST = 10  # values of a list that are told
FIGURE = "{:.2f}"  # all digits are in `results.json`


class Done(NamedTuple):
    """A run that has ended well.

    Attributes:
        photo: its path; nothing where there is none.
        files: that were written, the most telling first.
        facts: what `results.json` says.
        seconds: that it took, loading included.
        loading_s: of these, until everything was loaded.
    """

    photo: str
    files: Sequence[Path]
    facts: Mapping[str, Any]
    seconds: float
    loading_s: float

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self.files[0].parent


class Report(ABC):
    """Told of each run as it ends, and at the end of all."""

    def __init__(self, several: bool) -> None:
        """Takes whether there is a run for each of several photos."""
        self._several = several

    @abstractmethod
    def done(self, run: Done, shown: Screen) -> None:
        """Takes a run that has ended well."""

    def failed(self, photo: str, error: ImagegraphError, shown: Screen) -> None:
        """Says what was wrong with one of several photos."""
        shown.say(str(error))

    def refused(self, photo: str, error: ImagegraphError) -> None:  # noqa: B027  (most have nothing to add)
        """Takes what was wrong with the only run; the program says it."""

    def end(self, runs: Sequence[Done]) -> None:  # noqa: B027
        """Sums up, once nothing is shown any more."""


class Words(Report):
    """For people."""

    def done(self, run: Done, shown: Screen) -> None:
        """Says where the results of one of several photos are."""
        if self._several:
            shown.say(f"{run.photo}: {run.folder}, {run.seconds:.1f} s")

    def end(self, runs: Sequence[Done]) -> None:
        """Shows scores, and where everything is."""
        if self._several and runs:
            _print_best(runs)
        elif runs:
            _print_all(runs[0])


class Json(Report):
    """For programs: a JSON object a line and photo, on the standard output."""

    def done(self, run: Done, shown: Screen) -> None:
        """Writes what was answered, and where it is."""
        files = [str(path) for path in run.files]
        where = {"folder": str(run.folder), "shown": files, "total_seconds": round(run.seconds, 3)}
        _write({"photo": run.photo or None, **where, **run.facts})

    def failed(self, photo: str, error: ImagegraphError, shown: Screen) -> None:
        """Writes what was wrong, and says it."""
        self.refused(photo, error)
        super().failed(photo, error, shown)

    def refused(self, photo: str, error: ImagegraphError) -> None:
        """Writes what was wrong."""
        _write({"photo": photo or None, "error": str(error), "status": error.status})


class Folders(Report):
    """For scripts that want to know no more than where the results are."""

    def done(self, run: Done, shown: Screen) -> None:
        """Writes the folder."""
        print(run.folder, flush=True)


def _write(facts: Mapping[str, Any]) -> None:
    print(json.dumps(facts, ensure_ascii=False), flush=True)


def _print_all(run: Done) -> None:
    """Prints what one run has answered: values, scores, files, times."""
    facts = run.facts
    for name, value in facts["answer"].items():
        if name != ORDER and (text := _begin(value)):
            console.print(f"{name}: {text}", soft_wrap=True)
    scored = [one for one in facts["pictures"] if _scores(one)]
    if scored:
        table = _table(["", "picture"], scored)
        for place, one in enumerate(scored, 1):
            table.add_row(str(place), one["file"], *_cells(one, scored))
        console.print(table)
    told = {one["file"] for one in scored}
    names = (path.name for path in run.files if path.name not in told)
    console.print(f"{run.folder}:", "  ".join(names))
    spent = {"loading": run.loading_s, **facts["seconds"]}
    slowest = sorted(spent, key=lambda name: -spent[name])[:SLOWEST]
    times = ", ".join(f"{name} {spent[name]:.1f}" for name in slowest if spent[name] >= LEAST_S)
    console.print(f"{run.seconds:.1f} s{times and f': {times}'}", soft_wrap=True)


def _print_best(runs: Sequence[Done]) -> None:
    """Prints the best picture of each photo, or what was answered where no picture has scores."""
    bests: list[Mapping[str, Any]] = [next(filter(_scores, run.facts["pictures"]), {}) for run in runs]
    answers = [{} if any(bests) else run.facts["answer"] for run in runs]
    told = list(
        dict.fromkeys(
            name for one in answers for name, value in one.items() if name != ORDER and _short(value)
        )
    )
    table = _table(["photo", *told], bests)
    table.add_column("best" if any(bests) else "results", overflow="fold")
    for run, best, answer in zip(runs, bests, answers, strict=True):
        place = run.folder / best["file"] if best else run.folder
        values = (_short(answer.get(name)) for name in told)
        table.add_row(run.photo, *values, *_cells(best, bests), str(place))
    console.print(table)


def _table(head: Sequence[str], pictures: Sequence[Mapping[str, Any]]) -> Table:
    """Returns an empty table with a column for every score that a picture has."""
    table = Table(*head, box=None, pad_edge=False)
    for name in _names(pictures):
        table.add_column(name.replace("_", " "), justify="right")
    return table


def _cells(picture: Mapping[str, Any], pictures: Sequence[Mapping[str, Any]]) -> list[str]:
    scores = _scores(picture)
    return [FIGURE.format(scores[name]) if name in scores else "" for name in _names(pictures)]


def _names(pictures: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for one in pictures for name in _scores(one)))


def _scores(picture: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in picture.items() if isinstance(value, float)}


def _begin(value: Any) -> str:
    """Returns a value in words, and of a long list of texts how it begins."""
    if isinstance(value, list) and len(value) > LONGEST_LIST and isinstance(value[0], str):
        return f"{_short(value[:LONGEST_LIST])}, … ({len(value)} in all)"
    return _short(value)


def _short(value: Any) -> str:
    """Returns a value or a short list of values in words; nothing of what is longer."""
    if isinstance(value, list) and len(value) <= LONGEST_LIST:
        apart = "; " if any(isinstance(one, list) for one in value) else ", "
        return apart.join(map(_short, value)) if all(map(_short, value)) else ""
    if isinstance(value, float):
        return FIGURE.format(value)
    return str(value) if isinstance(value, (str, int)) else ""
