"""Takes jobs from the queue, as many at once as are allowed, and keeps their leases while they run."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

from studio.backends.backend import Backends
from studio.jobs.bell import PLACES, QUEUE, Bell, wait
from studio.jobs.run import Run
from studio.metrics import Metrics
from studio.problems import NoRoom, problem
from studio.settings import Settings
from studio.store import queue
from studio.store.contents import Contents
from studio.store.database import Database
from studio.store.models import Job
from studio.store.usage import Usage

log = logging.getLogger("studio.jobs")

LOOK_S = 1.0  # between looks at the queue where nobody rings, as other servers put jobs into it, too
QUIET_S = 2.0
PAUSE_S = 2.0  # after a failure of the database


class Runner:
    """The part of a server that runs jobs."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        contents: Contents,
        backends: Backends,
        bell: Bell,
        usage: Usage,
        metrics: Metrics,
    ) -> None:
        """Takes where jobs come from, what runs them, who has room, and what counts them."""
        self.server = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self._settings = settings
        self._database = database
        self._contents = contents
        self._backends = backends
        self._bell = bell
        self._usage = usage
        self._metrics = metrics
        self._places = threading.BoundedSemaphore(settings.jobs_at_once)
        self._may_wait = False  # whether a job may have come for which there was no place
        self._ended_at = float("-inf")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._reasons: dict[str, str] = {}
        self._loops: list[asyncio.Task[Any]] = []

    def start(self) -> None:
        """Begins to take jobs."""
        self._loop = asyncio.get_running_loop()
        self._loops = [asyncio.create_task(one) for one in (self._take(), self._keep_leases())]

    async def stop(self) -> None:
        """Takes no more; what runs goes back to the queue, for another server or the next start."""
        self._loop = None
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        for id in list(self._runs):
            self._end(id, "stop")
        await asyncio.gather(*self._runs.values(), return_exceptions=True)

    def cancel(self, id: str) -> None:
        """Ends a job that runs here; of others their server hears within seconds."""
        self._end(id, "cancel")

    @property
    def running(self) -> int:
        """How many jobs run here."""
        return len(self._runs)

    def has(self, id: str) -> bool:
        """Whether a job runs here; once it does not, its end is written down. On the loop."""
        return id in self._runs

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs here, nor has a moment ago: the next job often follows at once."""
        return not self._runs and time.monotonic() - self._ended_at > QUIET_S

    def _end(self, id: str, reason: str) -> None:
        if id in self._runs:
            self._reasons.setdefault(id, reason)
            # Not before it has begun: then it would neither write down its end nor give its place back.
            asyncio.get_running_loop().call_soon(self._runs[id].cancel)

    def reserve(self) -> bool:
        """Takes one of the places of jobs that run at once, if one is free; from any thread."""
        return self._loop is not None and self._places.acquire(blocking=False)

    def give_back(self) -> None:
        """Gives a place back; who may wait for it is looked for."""
        self._places.release()
        if self._may_wait:
            self._bell.ring(PLACES)

    def begin(self, job: Job, values: Mapping[str, Any]) -> None:
        """Runs a job that this server has the lease of, in the place that was reserved; from any thread.

        Args:
            values: what its graph takes, which was read already.
        """
        if loop := self._loop:
            loop.call_soon_threadsafe(self._start, job, values)

    async def _take(self) -> None:
        with self._bell.listening(PLACES) as rung:
            while True:
                try:
                    while await self._take_one():
                        pass
                except Exception:
                    log.exception("cannot look at the queue")
                    await asyncio.sleep(PAUSE_S)
                await wait(rung, LOOK_S)

    async def _take_one(self) -> bool:
        """Takes a job from the queue and begins it; returns whether there was one, and a place for it."""
        if not self.reserve():
            self._may_wait = True
            return False
        self._may_wait = False
        job = None
        try:
            job = await asyncio.to_thread(self._claim)
        finally:
            if job is None:
                self._places.release()
        if job is None:
            return False
        self._start(job)
        self._bell.ring(job.id)
        self._bell.ring(QUEUE)  # those behind it have moved up
        return True

    def _start(self, job: Job, values: Mapping[str, Any] | None = None) -> None:
        backend = self._backends.find(job.graph)
        run = Run(job, backend, self._database, self._contents, self._bell, self.server, values)
        self._runs[job.id] = asyncio.create_task(self._run(run))

    def _claim(self) -> Job | None:
        names = [one.name for one in self._backends]
        # A look that changes nothing needs no lock.
        with self._database.read() as session:
            if not queue.is_there_one(session, names):
                return None
        refused: list[str] = []
        with self._database.write(changes="") as session:
            while job := queue.claim(session, self.server, self._settings.lease_s, names):
                try:
                    self._usage.check(session, job.owner)
                    break
                except NoRoom as error:  # others of theirs have drawn so much since it was accepted
                    queue.end(session, job, "failed", {"error": problem(error)})
                    session.flush()
                    refused.append(job.id)
        for id in refused:
            self._bell.ring_end(id)
        return job

    async def _run(self, run: Run) -> None:
        try:
            await run(self._settings.job_timeout_s)
        except asyncio.CancelledError:
            await self._cancelled(run)
        except queue.LeaseLost:
            log.warning("job %s: another server has it", run.id)
        except Exception:
            log.exception("job %s: its end cannot be written down; it will be run again", run.id)
        finally:
            if run.ended:
                self._metrics.job(*run.ended)
            self._runs.pop(run.id, None)
            self._reasons.pop(run.id, None)
            self._ended_at = time.monotonic()
            self.give_back()

    async def _cancelled(self, run: Run) -> None:
        reason = self._reasons.get(run.id)
        try:
            if reason == "cancel":
                await asyncio.to_thread(run.end, "cancelled")
            elif reason == "stop":
                await asyncio.to_thread(self._hand_back, run.id)
        except queue.LeaseLost:
            log.info("job %s ended meanwhile", run.id)

    def _hand_back(self, id: str) -> None:
        with self._database.write(changes="") as session:
            queue.hand_back(session, id, self.server)

    async def _keep_leases(self) -> None:
        lease_s = self._settings.lease_s
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(lease_s / 3)
            ids = list(self._runs)
            try:
                kept = await asyncio.wait_for(asyncio.to_thread(self._renew, ids), lease_s / 3) if ids else {}
                renewed = time.monotonic()
            except Exception:
                log.exception("cannot renew leases")
                # Before anybody else may take them: a job never runs twice at once.
                if time.monotonic() - renewed < lease_s * 0.6:
                    continue
                kept = {}
            for id in ids:
                if id not in kept:
                    self._end(id, "lost")
                elif kept[id]:
                    self._end(id, "cancel")

    def _renew(self, ids: list[str]) -> dict[str, bool]:
        with self._database.write(changes="") as session:
            return queue.renew(session, ids, self.server, self._settings.lease_s)
