"""The runs of one graph, one for each photo, with models that are loaded once."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import typer

from imagegraph.cli import photos
from imagegraph.cli.inputs import Request
from imagegraph.cli.photos import Photo
from imagegraph.cli.report import Done, Report
from imagegraph.errors import ImagegraphError
from imagegraph.run import destination, save
from imagegraph.run.destination import Replaced
from imagegraph.run.embedded import Embedded
from imagegraph.run.screen import Screen, load_shown, run_shown

OVERWRITE = "--overwrite"


class Runs:
    """Runs a graph, and keeps what has come of it.

    Attributes:
        done: what has ended well.
        failed: what was wrong with others of several photos.
    """

    def __init__(
        self,
        name: str,
        embedded: Embedded,
        request: Request,
        report: Report,
        shown: Screen,
        replaced: Replaced,
    ) -> None:
        """Takes the graph's name, the graph as it loads, what is asked of it, and who is told."""
        self._name = name
        self._embedded = embedded
        self._request = request
        self._report = report
        self._shown = shown
        self._replaced = replaced
        self._loaded = self._loading = False
        self.done: list[Done] = []
        self.failed: list[ImagegraphError] = []

    async def all(self, out: Path | None, timeout_s: float | None) -> None:
        """Runs the graph once for each photo, or once if there is none.

        Args:
            out: folder for the results, or for a folder of each of several photos.
            timeout_s: that each may take, the first with loading.

        Raises:
            ImagegraphError: of the only run; or the models cannot be loaded. What is wrong with one of
                several photos is kept in `failed`.
        """
        request = self._request
        if not request.several:
            photo = next(iter(request.photos), None)
            try:
                await self._one(photo, out, timeout_s)
            except ImagegraphError as error:
                self._report.refused(photo.path if photo else "", error)
                raise
            return
        stems = photos.names(request.photos, self._name)
        # Those that are not there are told of first: who has misspelt a name shall not wait for the others.
        jobs = sorted(zip(request.photos, stems, strict=True), key=lambda job: job[0].is_there)
        for number, (photo, stem) in enumerate(jobs, 1):
            self._shown.begin(photo.path, number, len(jobs))
            try:
                await self._one(photo, None if out is None else out / stem, timeout_s)
            except ImagegraphError as error:
                if self._loading:
                    raise
                error.file = photo.path
                self.failed.append(error)
                self._report.failed(photo.path, error, self._shown)

    async def _one(self, photo: Photo | None, out: Path | None, timeout_s: float | None) -> None:
        begun = time.monotonic()
        deadline = None if timeout_s is None else begun + timeout_s
        stem = (photo and photo.stem) or self._name
        with destination.new_folder(out, stem, self._replaced, OVERWRITE) as folder:
            values: dict[str, Any] = dict(self._request.values)
            if photo is not None:
                values[self._request.port] = photo.read(self._request.port)
            self._embedded.parameters(values)  # a wrong value shall not wait for the weights
            if not self._loaded:
                self._loading = True
                await load_shown(self._embedded, self._shown, timeout_s)
                self._loaded, self._loading = True, False
            loading_s = time.monotonic() - begun
            answer, context, _ = await run_shown(self._embedded, values, deadline, self._shown)
            files = save.save(
                folder, self._name, self._embedded, values, answer, context.timings, self._replaced
            )
        facts = json.loads((files[0].parent / save.SUMMARY).read_bytes())
        seconds = time.monotonic() - begun
        self.done.append(Done(photo.path if photo else "", files, facts, seconds, loading_s))
        self._report.done(self.done[-1], self._shown)

    def open(self) -> None:
        """Shows the results in the desktop's viewer: the first file, or of several photos their folder."""
        first = self.done[0]
        place = first.folder.parent if len(self.done) > 1 else first.files[0]
        if typer.launch(str(place)):
            typer.echo(f"{place}: no viewer is here that opens it", err=True)
