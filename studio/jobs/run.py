"""One job as it runs: what happens at the nodes is written down and told, then its result."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Any

from imagegraph import Answer, Event
from imagegraph.errors import ImagegraphError
from imagegraph.image import Image
from studio.backends.backend import Backend
from studio.jobs import result
from studio.jobs import values as json_values
from studio.jobs.bell import PICTURES, Bell
from studio.problems import problem
from studio.store import queue
from studio.store.contents import Contents, Kept, small
from studio.store.database import Database
from studio.store.models import Job

log = logging.getLogger("studio.jobs")

PREVIEW_SIDE = 256  # px, at most
PREVIEW_S = 0.2  # between two of them
GATHER_S = 0.005  # what happens within this time is written down at once

Happened = tuple[str, dict[str, Any]]  # the kind of an event, and its data


class Run:
    """A job that this server has the lease of.

    Attributes:
        ended: once it has: its graph, version and state, how long it waited, and how long it ran (s).
    """

    def __init__(
        self,
        job: Job,
        backend: Backend,
        database: Database,
        contents: Contents,
        bell: Bell,
        server: str,
        values: Mapping[str, Any] | None = None,
    ) -> None:
        """Takes the job, where things are, and what its graph takes, where that was read already."""
        self.id = job.id
        self._job = job
        self._backend = backend
        self._database = database
        self._contents = contents
        self._bell = bell
        self._server = server
        self._nodes = {name: _waiting(name) for name in _names(backend.describe().tree)}
        self._previewed = 0.0
        self._values = values
        # What the storage has of this run by the `id` of its Image, and the Images, whose ids are theirs so.
        self._kept: dict[str, Kept] = {}
        self._images: list[Image] = []
        self.ended: tuple[str, str, str, float, float] | None = None

    async def __call__(self, timeout_s: float) -> None:
        """Runs it to its end; a failure of the graph is one, too.

        Raises:
            LeaseLost: another server has it now, and nothing of this run counts.
        """
        try:
            values = self._values if self._values is not None else await asyncio.to_thread(self._read)
            happened: asyncio.Queue[Event | Answer | Exception] = asyncio.Queue()
            listening = asyncio.create_task(self._listen(happened, values, timeout_s))
            try:
                while not await asyncio.to_thread(self._record, await _all_of(happened), values):
                    pass
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
        except queue.LeaseLost:
            raise
        except Exception as error:
            told = problem(error)
            if not isinstance(error, ImagegraphError):
                log.exception("job %s failed", self.id)
            await asyncio.to_thread(self.end, "failed", {"error": told})

    async def _listen(
        self, happened: asyncio.Queue[Any], values: Mapping[str, Any], timeout_s: float
    ) -> None:
        """Takes what the graph tells as soon as it tells it: writing it down may take longer."""
        try:
            async for one in self._backend.run(self._job.bundle, values, timeout_s):
                happened.put_nowait(one)
        except Exception as error:
            happened.put_nowait(error)

    def _record(self, happened: list[Event | Answer | Exception], values: Mapping[str, Any]) -> bool:
        """Writes down what has happened, all in one transaction; returns whether that was the end.

        Raises:
            Exception: why the graph failed.
        """
        last = happened[-1]
        self._keep(happened)
        events = [told for one in happened if isinstance(one, Event) for told in self._tell(one)]
        if isinstance(last, Answer):
            self._finish(last, values, events)
            return True
        self._write(events)
        if isinstance(last, Exception):
            raise last
        return False

    def _read(self) -> dict[str, Any]:
        fetch = self._contents.read
        return json_values.read(self._job.inputs, self._job.sources, fetch)

    def _tell(self, event: Event) -> list[Happened]:
        """Returns what is to be told of an event."""
        name, seconds = event.node, round(event.seconds, 6)
        if event.kind == "loading":
            return [("loading", {"entry": name, "done": event.done, "total": event.total})]
        node = self._nodes.setdefault(name, _waiting(name))
        if event.kind == "started":
            node |= {"state": "running", "progress": None, "outputs": {}}
            return [("node-started", {"node": name})]
        if event.kind == "progress":
            node["progress"] = fraction = event.done / event.total if event.total else None
            facts = {"node": name, "step": event.done, "steps": event.total, "fraction": fraction}
            return [("node-progress", facts), *self._preview(event, facts)]
        if event.kind == "finished":
            outputs = {port: json_values.told(value, self._kept) for port, value in event.outputs.items()}
            batch = event.batch or None
            facts = {"seconds": seconds, "cached": event.cached, "batch": batch, "outputs": outputs}
            node |= {"state": "done", "progress": 1.0, **facts}
            return [("node-finished", {"node": name, **facts})]
        node |= {"state": "failed", "seconds": seconds}
        return [("node-failed", {"node": name, "seconds": seconds})]

    def _preview(self, event: Event, facts: dict[str, Any]) -> list[Happened]:
        if event.preview is None or time.monotonic() - self._previewed < PREVIEW_S:
            return []
        self._previewed = time.monotonic()
        data = base64.b64encode(small(event.preview, PREVIEW_SIDE)).decode()
        return [("picture-preview", {**facts, "preview": f"data:image/webp;base64,{data}"})]

    def _keep(self, happened: list[Event | Answer | Exception]) -> None:
        """Keeps the pictures of what happened, each once, before anything refers to them."""
        written = [one.outputs if isinstance(one, Event) else one for one in happened]
        values = [value for one in written if isinstance(one, Mapping) for value in one.values()]
        found = {str(id(one)): one for value in values for one in json_values.images(value)}
        fresh = [one for id, one in found.items() if id not in self._kept]
        if fresh:
            self._kept |= result.keep(self._contents, fresh)
            self._images += fresh

    def _write(self, events: list[Happened]) -> None:
        with self._database.write(changes="") as session:
            job = queue.held(session, self.id, self._server)
            job.nodes = list(map(dict, self._nodes.values()))
            result.refer(session, job.id, self._kept.values())
            queue.append(session, job, events)
        self._bell.ring(self.id)

    def _finish(self, answer: Answer, values: Mapping[str, Any], events: list[Happened]) -> None:
        """Adds the result to the store and ends the job, all at once or not at all."""
        drawn = list(result.pictures(answer, list(self._backend.describe().priors)))
        record = self._backend.record(self._job.bundle, values)
        record["sources"] = self._sources()
        with self._database.write(changes="") as session:
            job = queue.held(session, self.id, self._server)
            job.nodes = list(map(dict, self._nodes.values()))
            queue.append(session, job, events)
            rows = result.add(session, job, answer, drawn, self._kept)
            job.record = record
            queue.end(session, job, "done", {"pictures": [row.id for row in rows], "outputs": job.outputs})
        self._has_ended(job)
        self._bell.ring(PICTURES)

    def _sources(self) -> dict[str, list[dict[str, str]]]:
        """Returns the pictures of the request by input, as provenance has them."""
        found: dict[str, list[dict[str, str]]] = {}
        for name, value in self._job.inputs.items():
            for one in value if isinstance(value, list) else [value]:
                if json_values.is_reference(one):
                    sha256 = self._job.sources[one["picture"]]
                    found.setdefault(name, []).append({"file": f"{sha256}.png", "sha256": sha256})
        return found

    def end(self, state: str, facts: dict[str, Any] | None = None) -> None:
        """Ends it otherwise than by its result.

        Raises:
            LeaseLost: as when it is called.
        """
        with self._database.write(changes="") as session:
            job = queue.held(session, self.id, self._server)
            for node in self._nodes.values():
                if node["state"] == "running":
                    node["state"] = "cancelled" if state == "cancelled" else "failed"
            job.nodes = list(map(dict, self._nodes.values()))
            queue.end(session, job, state, facts)
        self._has_ended(job)

    def _has_ended(self, job: Job) -> None:
        begin, end = job.started_at or job.created_at, job.finished_at or job.created_at
        self.ended = job.graph, job.bundle, job.state, begin - job.created_at, end - begin
        self._bell.ring_end(self.id)


async def _all_of(happened: asyncio.Queue[Any]) -> list[Any]:
    """Waits for something, and returns all that happens shortly after it, up to the end."""
    found = [await happened.get()]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GATHER_S):
            while isinstance(found[-1], Event):
                found.append(await happened.get())
    return found


def _waiting(name: str) -> dict[str, Any]:
    return {
        "name": name, "state": "waiting", "progress": None, "seconds": None, "cached": False, "batch": None,
        "outputs": {},
    }  # fmt: skip


def _names(tree: Mapping[str, Any]) -> list[str]:
    """Returns the names of all nodes, those below before those above, as they run."""
    return [*(name for child in tree["children"] for name in _names(child)), tree["name"]]
