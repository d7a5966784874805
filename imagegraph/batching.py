"""A work-conserving batcher: sends work at once when its worker is idle, collects while it is busy.

A fixed wait for more requests only adds latency: under load requests collect by themselves while the
last batch is computed, without load nobody else is coming.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from imagegraph.errors import DeadlineExceeded, ImagegraphError, OutOfMemory, Overloaded, shorten

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(eq=False)
class _Job(Generic[Item, Result]):
    item: Item
    cost: float
    deadline: float | None
    future: asyncio.Future[Result]
    begin: Callable[[float, int], None] | None
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch was, for metrics: its size, how long it took and each waited (s), how many still wait."""

    size: int
    seconds: float
    waited_s: tuple[float, ...]
    queued: int


class Batcher(Generic[Item, Result]):
    """Collects jobs of one kind of work and hands them in batches to one worker thread.

    Jobs share a batch when their keys are equal. The batch of the longest-waiting job goes next, so
    a rare shape is not starved by a common one.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Result]],
        worker: Executor,
        *,
        max_batch: int = 64,
        max_cost: float,
        max_queue: int,
        observe: Callable[[Batch], None] | None = None,
        release: Callable[[], None] | None = None,
    ) -> None:
        """Takes the function that does the work and the one thread that it runs on.

        Args:
            work: computes the results of a batch, in order; an error of it is every job's error
                when the batch is of one, else jobs are tried again one by one.
            max_batch: most jobs in a batch.
            max_cost: most cost in a batch (a single job may exceed it).
            max_queue: most jobs waiting; more are refused.
            observe: called after every batch.
            release: called by the worker where memory ran out, before anything is tried again.
        """
        self._work = work
        self._worker = worker
        self._max_batch = max_batch
        self._max_cost = max_cost
        self._max_queue = max_queue
        self._observe = observe
        self._release = release
        self._buckets: dict[Hashable, deque[_Job[Item, Result]]] = {}
        self._queued = 0
        self._running: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        """How many jobs wait."""
        return self._queued

    async def submit(
        self,
        item: Item,
        key: Hashable = None,
        cost: float = 1.0,
        deadline: float | None = None,
        begin: Callable[[float, int], None] | None = None,
    ) -> Result:
        """Returns the result of `item`; a caller that is cancelled leaves the queue.

        Args:
            key: what has to be equal for two jobs to be computed together.
            cost: share of `max_cost` that the job takes.
            deadline: `time.monotonic()` after which the job is not begun any more.
            begin: called when its turn comes, with the seconds waited and the size of its batch.

        Raises:
            Overloaded: the queue is full.
            OutOfMemory: the job by itself is too large for the device.
            DeadlineExceeded: the deadline passed while the job waited.
        """
        if self._queued >= self._max_queue:
            raise Overloaded(f"the queue is full: {self._queued} requests wait")
        job = _Job[Item, Result](item, cost, deadline, asyncio.get_running_loop().create_future(), begin)
        self._buckets.setdefault(key, deque()).append(job)
        self._queued += 1
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await job.future

    async def _run(self) -> None:
        try:
            while self._buckets:
                jobs = self._next()
                if jobs:
                    await self._compute(jobs)
        finally:
            self._running = None

    def _next(self) -> list[_Job[Item, Result]]:
        """Takes the next batch off the queue, without the jobs that nobody waits for any more."""
        key = min(self._buckets, key=lambda one: self._buckets[one][0].since)
        bucket = self._buckets[key]
        jobs: list[_Job[Item, Result]] = []
        cost = 0.0
        while bucket and len(jobs) < self._max_batch:
            job = bucket[0]
            wanted = not job.future.done()
            if wanted and job.deadline is not None and time.monotonic() > job.deadline:
                job.future.set_exception(DeadlineExceeded("the request's time was over before its turn"))
                wanted = False
            if wanted and jobs and cost + job.cost > self._max_cost:
                break
            bucket.popleft()
            self._queued -= 1
            if wanted:
                jobs.append(job)
                cost += job.cost
        if not bucket:
            del self._buckets[key]
        return jobs

    async def _compute(self, jobs: list[_Job[Item, Result]]) -> None:
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        for job in jobs:
            if job.begin:
                job.begin(began - job.since, len(jobs))
        try:
            results = await loop.run_in_executor(self._worker, self._work, [job.item for job in jobs])
        except Exception as error:
            await self._recover(jobs, error)
        else:
            for job, result in zip(jobs, results, strict=True):
                if not job.future.done():
                    job.future.set_result(result)
        if self._observe:
            waited = tuple(began - job.since for job in jobs)
            self._observe(Batch(len(jobs), time.monotonic() - began, waited, self._queued))

    async def _recover(self, jobs: list[_Job[Item, Result]], error: Exception) -> None:
        """Tries halves where memory ran out, and each job by itself where one may spoil the others."""
        exhausted = out_of_memory(error)
        if exhausted:
            traceback.clear_frames(error.__traceback__)  # they hold what filled the memory
            if self._release:
                await asyncio.get_running_loop().run_in_executor(self._worker, self._release)
        if len(jobs) == 1:
            if not jobs[0].future.done():
                fault = OutOfMemory(f"out of memory: {shorten(str(error))}") if exhausted else error
                jobs[0].future.set_exception(fault)
            return
        step = (len(jobs) + 1) // 2 if exhausted else 1
        for start in range(0, len(jobs), step):
            part = [job for job in jobs[start : start + step] if not job.future.done()]
            if part:
                await self._compute(part)

    async def drain(self) -> None:
        """Waits until nothing waits or runs."""
        while self._running is not None:
            await asyncio.wait([self._running])

    def refuse(self, error: ImagegraphError) -> None:
        """Answers all waiting jobs with an error; the running batch goes on."""
        for bucket in self._buckets.values():
            for job in bucket:
                if not job.future.done():
                    job.future.set_exception(error)


def out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python ran out of memory; known by name, since this file imports no torch."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
