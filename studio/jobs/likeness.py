"""Gives pictures their vectors, by a graph of the catalogue, while nothing else is to be done."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from imagegraph import Graph
from imagegraph.errors import ImagegraphError, Unsupported
from imagegraph.image import Image
from studio.backends.backend import Backend, Backends
from studio.jobs.bell import PICTURES, Bell, wait
from studio.store import vectors
from studio.store.contents import Contents
from studio.store.database import Database
from studio.store.vectors import Numbers, Space

log = logging.getLogger("studio.jobs")

GRAPH = "likeness"
BATCH = 16
LOOK_S, PAUSE_S = 3.0, 30.0
TIMEOUT_S = 600.0


class Likeness:
    """Searches by likeness."""

    def __init__(self, database: Database, contents: Contents, backends: Backends, bell: Bell) -> None:
        """Takes where pictures and vectors are, and what makes them."""
        self._database = database
        self._contents = contents
        self._backends = backends
        self._bell = bell
        self._space: Space | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def backend(self) -> Backend:
        """The graph that makes vectors.

        Raises:
            Unsupported: there is none here.
        """
        if GRAPH not in self._backends:
            raise Unsupported(f"search by likeness needs the graph '{GRAPH}', which is not served here")
        return self._backends.find(GRAPH)

    def start(self, is_idle: Callable[[], bool]) -> None:
        """Begins to give vectors to pictures that have none, while `is_idle` says so."""
        if GRAPH in self._backends:
            self._task = asyncio.create_task(self._work(is_idle))

    async def stop(self) -> None:
        """Ends."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self, is_idle: Callable[[], bool]) -> None:
        with self._bell.listening(PICTURES) as rung:
            while True:
                await wait(rung, LOOK_S)
                try:
                    while is_idle() and await self._some():
                        pass
                except ImagegraphError as error:
                    log.warning("pictures have no likeness yet: %s", error)
                    await asyncio.sleep(PAUSE_S)
                except Exception:
                    log.exception("pictures have no likeness yet")
                    await asyncio.sleep(PAUSE_S)

    async def _some(self) -> bool:
        """Gives some pictures their vectors; returns whether there were some.

        Not in a thread: the end of the server would wait until the model has loaded.
        """
        images = await asyncio.to_thread(self._lacking)
        if images:
            graph = await asyncio.to_thread(self._graph)
            answer = await graph.run({"pictures": list(images.values())}, timeout_s=TIMEOUT_S)
            await asyncio.to_thread(self._keep, images, answer["picture_vectors"])
        return bool(images)

    def _lacking(self) -> dict[int, Image]:
        with self._database.read() as session:
            found = vectors.lacking(session, self.space().name, BATCH)
        return self._images(dict(found))

    def _images(self, hashes: Mapping[int, str]) -> dict[int, Image]:
        """Reads pictures by their numbers; those whose bytes are gone are left out."""
        images: dict[int, Image] = {}
        for number, hash in hashes.items():
            with contextlib.suppress(FileNotFoundError):
                images[number] = Image(self._contents.read(hash))
        return images

    def _keep(self, images: Mapping[int, Image], rows: Any) -> None:
        made = {number: np.asarray(row, np.float16) for number, row in zip(images, rows, strict=True)}
        with self._database.write(changes="") as session:
            vectors.keep(session, self.space().name, made)

    def _graph(self) -> Graph:
        return self.backend.open(self.backend.version(None))

    def space(self) -> Space:
        """Returns the space of the model that answers now.

        Raises:
            Unsupported: as `backend`.
        """
        name = self.backend.identity(self.backend.version(None))[:200]
        if self._space is None or self._space.name != name:
            self._space = Space(name)
        return self._space

    def of_words(self, words: str) -> Numbers:
        """Returns the vector of a text."""
        rows = self._graph()({"texts": [words]}, timeout_s=TIMEOUT_S)["text_vectors"]
        found: Numbers = np.asarray(rows, np.float16)[0].astype(np.float32)
        return found

    def of_picture(self, number: int, hash: str) -> Numbers:
        """Returns the vector of a picture, made now if it has none.

        Raises:
            Unsupported: its bytes are gone.
        """
        space = self.space()
        for _ in range(2):
            with self._database.read() as session:
                if (found := space.of(session, number)) is not None:
                    return found
            images = self._images({number: hash})
            if images:
                answer = self._graph()({"pictures": list(images.values())}, timeout_s=TIMEOUT_S)
                self._keep(images, answer["picture_vectors"])
        raise Unsupported("the picture has no likeness, since its bytes are gone")
