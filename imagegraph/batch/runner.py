"""Runs the tasks of a batch: several at once, each ended before it counts, whatever happens to the others."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from imagegraph.batch import machine
from imagegraph.batch.engines import Engine, Outcome
from imagegraph.batch.folder import FAILURES, Folder, NoRoom
from imagegraph.batch.machine import Memory, Peak
from imagegraph.batch.metrics import METRICS
from imagegraph.batch.models import Model
from imagegraph.batch.patience import Patience
from imagegraph.batch.plan import Plan, Task
from imagegraph.batch.show import Count, Show
from imagegraph.batch.table import load
from imagegraph.errors import ImagegraphError, describe
from imagegraph.run import save

LOOK_S = 0.2  # between looks at what loads, and at how far it is
ATTEMPTS = 10  # of a row that is refused while others are answered
GIVE_UP_S = 120.0  # without any answer, before the batch ends
READERS = 2  # threads that read and write what is not computed


class Gone(ImagegraphError):
    """Nobody answers any more; the rows that are not done count as not begun."""


class _Dropped(ImagegraphError):
    """The batch stops, and a row that would be asked for again counts as not begun."""


@dataclass
class Work:
    """What a batch is to do, and how.

    Attributes:
        tasks: in the order in which they begin.
        open: makes the engine of a model.
        common: values of all rows, unless they have their own.
        in_flight: how many rows are under way at once.
        noticed: told of every row that has ended well.
        before: how many rows were done already.
    """

    plan: Plan
    tasks: Sequence[Task]
    open: Callable[[Model], Engine]
    common: Mapping[str, Any]
    in_flight: int
    noticed: Callable[[Task], None] = lambda task: None
    before: int = 0


@dataclass
class Runner:
    """Runs a batch in a folder.

    Attributes:
        failures: by row, also of earlier runs.
        stopped: whether no further row shall begin.
    """

    work: Work
    folder: Folder
    show: Show
    memory: Memory
    failures: dict[str, dict[str, Any]] = field(default_factory=dict)
    stopped: bool = False

    def __post_init__(self) -> None:
        names = {task.row.name for task in self.work.tasks}
        failed = len([name for name in self.failures if name not in names])
        self.count = Count(len(names) + failed, self.work.before, failed)
        self._threads = ThreadPoolExecutor(READERS, "rows")
        self._running: set[asyncio.Task[None]] = set()
        self._patience = Patience(self.work.in_flight)
        self._host: dict[str, Any] = {}

    async def run(self) -> None:
        """Runs every task, those of one model after the other.

        Raises:
            NoRoom: the folder cannot be written to any more.
            ImagegraphError: models cannot be loaded, or the server is not there.
        """
        try:
            for model, tasks in itertools.groupby(self.work.tasks, key=lambda task: task.model):
                if self.stopped:
                    break
                engine = self.work.open(model)
                try:
                    await self._load(engine)
                    await self._all(engine, iter(list(tasks)))
                finally:
                    await engine.close()
        finally:
            self._threads.shutdown(wait=True, cancel_futures=True)

    def stop(self) -> bool:
        """Begins no further row, the second time drops those under way; returns whether it was the first."""
        first, self.stopped = not self.stopped, True
        self._patience.end()
        if first:
            return True
        for task in self._running:
            task.cancel()
        return False

    @property
    def under_way(self) -> int:
        """How many rows have begun and not ended."""
        return len(self._running)

    async def _load(self, engine: Engine) -> None:
        ready = asyncio.create_task(engine.ready())
        while not (await asyncio.wait([ready], timeout=LOOK_S))[0]:
            if self.stopped:
                ready.cancel()
                return
            if loading := engine.loading:
                self.show.load(*loading)
        await ready
        self._host = machine.facts()  # once loaded, torch tells of the GPU
        if not self.count.rate:
            self.count.began = time.monotonic()
        self._patience.begin()
        self.show.update(self.count)

    async def _all(self, engine: Engine, tasks: Iterator[Task]) -> None:
        """Keeps as many under way as wanted."""
        try:
            while True:
                while not self.stopped and len(self._running) < self.work.in_flight:
                    task = next(tasks, None)
                    if task is None:
                        break
                    self._running.add(asyncio.create_task(self._one(engine, task)))
                if not self._running:
                    return
                ended, _ = await asyncio.wait(
                    self._running, timeout=LOOK_S * 5, return_when=asyncio.FIRST_COMPLETED
                )
                self._running -= ended
                failures = [one.exception() for one in ended if not one.cancelled()]
                for error in filter(None, failures):
                    raise error
                self.show.update(self.count)
        finally:
            for one in self._running:
                one.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
            self._running.clear()

    async def _one(self, engine: Engine, task: Task) -> None:
        name, began = task.row.name, time.monotonic()
        try:
            values = await self._thread(load, {**self.work.common, **task.row.values})
            with self.memory.peak() as peak:
                outcome = await self._answer(engine, values)
            seconds = time.monotonic() - began
            await self._thread(self._keep, task, outcome, seconds, peak)
        except (NoRoom, Gone):
            raise
        except _Dropped:
            return
        except Exception as error:
            self._fail(task, error)
        else:
            self.count.done += 1
            if self.failures.pop(name, None):
                self._write_failures()
            self.work.noticed(task)

    async def _answer(self, engine: Engine, values: Mapping[str, Any]) -> Outcome:
        """Asks until there is an answer, or it is known that there will be none.

        Raises:
            Gone: nobody is answered any more.
            _Dropped: the batch stops, and this row may be answered later.
            ImagegraphError: this row is not, while others are.
        """
        for attempt in itertools.count(1):
            async with self._patience.turn():
                try:
                    outcome = await engine.answer(values)
                except ImagegraphError as error:
                    refusal = error
                else:
                    self._patience.answered()
                    return outcome
            if not refusal.retryable:
                raise refusal
            if self.stopped:
                raise _Dropped from refusal
            if self._patience.silent_s > GIVE_UP_S:
                raise Gone(f"no row was answered for {GIVE_UP_S:.0f} s: {refusal}") from refusal
            if attempt >= ATTEMPTS and self._patience.silent_s < GIVE_UP_S / ATTEMPTS:
                raise refusal
            self._patience.refused(refusal.retry_after_s, attempt)
        raise AssertionError("attempts end")

    def _keep(self, task: Task, outcome: Outcome, seconds: float, peak: Peak) -> None:
        """Writes what came of a row; its metrics last: they tell of no row that could not be saved."""
        results = replace(outcome.results, more={"row": task.row.name, "key": task.key})
        self.folder.put(task.row.name, lambda staged: save.write_into(staged, results))
        self.folder.append(
            METRICS,
            {
                "run": self.work.plan.run,
                "row": task.row.name,
                "key": task.key,
                "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "model": task.model.label,
                "input_size": "x".join(map(str, task.size)) if task.size else None,
                "seconds": round(seconds, 4),
                "nodes": {node: round(spent, 4) for node, spent in outcome.seconds.items()},
                "waited": {node: round(spent, 4) for node, spent in outcome.waited_s.items()},
                "together": dict(outcome.together),
                "cached": list(outcome.cached),
                "cpu_peak_mib": round(peak.cpu_mib, 1) if outcome.here else None,
                "host": self._host if outcome.here else {},
                "gpu_peak_mib": None if peak.gpu_mib is None or not outcome.here else round(peak.gpu_mib, 1),
            },
        )

    def _fail(self, task: Task, error: Exception) -> None:
        name = task.row.name
        ours = isinstance(error, ImagegraphError)
        said = str(error) if ours else describe(error)
        status = error.status if isinstance(error, ImagegraphError) else 500
        self.failures[name] = {"row": name, "key": task.key, "error": said, "status": status}
        self.count.failed += 1
        self._write_failures()
        self.show.say(f"{name}: {said}")

    def _write_failures(self) -> None:
        lines = [self.failures[name] for name in sorted(self.failures)]
        self.folder.write_lines(FAILURES, lines, own=True)

    async def _thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(work, *arguments))
