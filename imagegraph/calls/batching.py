"""A work-conserving batcher: sends work at once when its worker is idle, collects while it is busy.

A fixed wait for more requests only adds latency: under load requests collect by themselves while the
last batch is computed, without load nobody else is coming.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import logging
import time
import traceback
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from imagegraph.calls.worker import Worker
from imagegraph.errors import (
    DeadlineExceeded,
    ImagegraphError,
    OutOfMemory,
    Overloaded,
    Unavailable,
    describe,
    shorten,
)

log = logging.getLogger("imagegraph.calls.batching")

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch was, for metrics: its size, how long it took and each waited (s)."""

    size: int
    seconds: float
    waited_s: tuple[float, ...]


class Place(Generic[Item, Result]):
    """A place in a batcher's queue, taken before anything is prepared; who leaves gives it back at once.

    Use as a context manager.
    """

    def __init__(self, batcher: Batcher[Item, Result]) -> None:
        """Takes the batcher."""
        self._batcher = batcher
        self._future: asyncio.Future[Result] | None = None
        self.waiting = False
        self.bucket: dict[Place[Item, Result], None] = {}

    def __enter__(self) -> Self:
        self._batcher._admit(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._batcher._leave(self)
        self._future = None  # it holds the error whose traceback holds this place

    async def submit(
        self,
        item: Item,
        key: Hashable = None,
        cost: float = 1.0,
        deadline: float | None = None,
        begin: Callable[[float, int], None] | None = None,
    ) -> Result:
        """Returns the result of `item`.

        Args:
            key: what has to be equal for two jobs to be computed together.
            cost: share of `max_cost` that the job takes.
            deadline: `time.monotonic()` after which the job is not begun any more.
            begin: called when its turn comes, with the seconds waited and the size of its batch.

        Raises:
            OutOfMemory: the job by itself is too large for the device.
            DeadlineExceeded: the deadline passed while the job waited.
            Exception: what was raised by the work.
        """
        self.item, self.cost, self.deadline, self.begin = item, cost, deadline, begin
        self.since = time.monotonic()
        self._future = asyncio.get_running_loop().create_future()
        self._batcher._enqueue(self, key)
        return await self._future

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits for its result."""
        return self._future is not None and not self._future.done()

    def answer(self, result: Result) -> None:
        """Hands the result to whoever waits for it."""
        if self._future is not None and not self._future.done():
            self._future.set_result(result)

    def fail(self, error: Exception) -> None:
        """Hands the error to whoever waits for a result."""
        if self._future is not None and not self._future.done():
            self._future.set_exception(error)


class Batcher(Generic[Item, Result]):
    """Collects jobs of one kind of work and hands them in batches to one worker thread.

    Jobs share a batch when their keys are equal. The batch of the longest-waiting job goes next, so
    a rare shape is not starved by a common one.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Result]],
        worker: Worker,
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
            max_queue: most places; more are refused.
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
        self._buckets: dict[Hashable, dict[Place[Item, Result], None]] = {}
        self._queued = 0
        self._running: asyncio.Task[None] | None = None

    @property
    def queued(self) -> int:
        """How many places are taken by jobs that are prepared or wait."""
        return self._queued

    def place(self) -> Place[Item, Result]:
        """Returns a place in the queue, which is taken when it is entered.

        Entering raises Overloaded where the queue is full.
        """
        return Place(self)

    def _admit(self, place: Place[Item, Result]) -> None:
        if self._queued >= self._max_queue:
            raise Overloaded(f"the queue is full: {self._queued} requests wait")
        self._queued += 1
        place.waiting = True

    def _leave(self, place: Place[Item, Result]) -> None:
        if place.waiting:
            place.waiting = False
            self._queued -= 1
            place.bucket.pop(place, None)

    def _enqueue(self, place: Place[Item, Result], key: Hashable) -> None:
        place.bucket = self._buckets.setdefault(key, {})
        place.bucket[place] = None
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        jobs: list[Place[Item, Result]] = []
        try:
            while self._buckets:
                jobs = self._next()
                if jobs:
                    await self._compute(jobs)
        except asyncio.CancelledError:
            self._refuse(jobs, Unavailable("the worker has ended"))
            raise
        except Exception as error:  # such as of a key that cannot be compared: nobody shall wait for ever
            log.exception("the queue was emptied")
            self._refuse(jobs, ImagegraphError(describe(error)))
        finally:
            self._running = None

    def _next(self) -> list[Place[Item, Result]]:
        """Takes the next batch off the queue, without the jobs whose time is over."""
        for key in [key for key, bucket in self._buckets.items() if not bucket]:
            del self._buckets[key]
        if not self._buckets:
            return []
        bucket = min(self._buckets.values(), key=lambda one: next(iter(one)).since)
        jobs: list[Place[Item, Result]] = []
        cost = 0.0
        for job in list(bucket):
            late = job.deadline is not None and time.monotonic() > job.deadline
            if not late and jobs and (len(jobs) == self._max_batch or cost + job.cost > self._max_cost):
                break
            self._leave(job)
            if late:
                job.fail(DeadlineExceeded("the request's time was over before its turn"))
            elif job.wanted:
                jobs.append(job)
                cost += job.cost
        return jobs

    async def _compute(self, jobs: list[Place[Item, Result]]) -> None:
        began = time.monotonic()
        for job in jobs:
            if job.begin:
                job.begin(began - job.since, len(jobs))
        try:
            results = await self._worker.run(self._answers, [job.item for job in jobs])
        except Exception as error:
            await self._recover(jobs, error)
        else:
            for job, result in zip(jobs, results, strict=True):
                job.answer(result)
        if self._observe:
            waited = tuple(began - job.since for job in jobs)
            self._observe(Batch(len(jobs), time.monotonic() - began, waited))

    def _answers(self, items: Sequence[Item]) -> Sequence[Result]:
        """Does the work, and checks that it answers every job."""
        results = self._work(items)
        if not isinstance(results, Sequence):
            raise ImagegraphError(f"expected a list of results, got {shorten(results)}")
        if len(results) != len(items):
            asked = f"each of {len(items)} requests"
            raise ImagegraphError(f"expected one result for {asked}, got {len(results)} results")
        return results

    async def _recover(self, jobs: list[Place[Item, Result]], error: Exception) -> None:
        """Tries halves where memory ran out, and each job by itself where one may spoil the others."""
        exhausted = out_of_memory(error)
        if exhausted:
            traceback.clear_frames(error.__traceback__)  # they hold what filled the memory
            if self._release:
                await self._worker.run(self._release)
        if len(jobs) == 1:
            jobs[0].fail(OutOfMemory(f"out of memory: {shorten(describe(error))}") if exhausted else error)
            return
        step = (len(jobs) + 1) // 2 if exhausted else 1
        for start in range(0, len(jobs), step):
            part = [job for job in jobs[start : start + step] if job.wanted]
            if part:
                await self._compute(part)

    def _refuse(self, jobs: Sequence[Place[Item, Result]], error: ImagegraphError) -> None:
        """Answers these jobs, and all that wait, with an error."""
        buckets, self._buckets = self._buckets, {}
        for job in itertools.chain(jobs, *buckets.values()):
            job.fail(copy.copy(error))  # each may get a node's name of its own


def out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python ran out of memory; known by name, since this file imports no torch."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
