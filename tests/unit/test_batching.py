"""The batcher: when it sends, what it puts together, and whom an error meets."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from imagegraph.batching import Batch, Batcher
from imagegraph.errors import DeadlineExceeded, Unavailable


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


class Worker:
    """Doubles numbers, slowly; remembers its batches; can be told to fail."""

    def __init__(self, seconds: float = 0.05, fail: Callable[[Sequence[Any]], None] | None = None) -> None:
        self.seconds, self.fail = seconds, fail
        self.batches: list[list[Any]] = []
        self.threads: set[int] = set()

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        self.batches.append(list(items))
        self.threads.add(threading.get_ident())
        time.sleep(self.seconds)
        if self.fail:
            self.fail(items)
        return [2 * item for item in items]


def run(worker: Worker, script: Callable[[Batcher[Any, Any]], Any], **limits: Any) -> Any:
    settings = {"max_batch": 4, "max_cost": 100.0, "max_queue": 50, **limits}

    async def main() -> Any:
        with ThreadPoolExecutor(1) as executor:
            return await script(Batcher(worker, executor, **settings))

    return asyncio.run(main())


async def outcomes(calls: Sequence[Any]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


def test_an_idle_worker_gets_a_job_at_once_and_a_busy_one_a_batch() -> None:
    worker = Worker()
    results = run(worker, lambda batcher: outcomes([batcher.submit(n) for n in range(6)]))
    assert results == [0, 2, 4, 6, 8, 10]
    # The first submit has its batch taken only when the loop turns: all six stand there by then.
    assert [len(batch) for batch in worker.batches] == [4, 2]
    assert len(worker.threads) == 1


def test_a_job_alone_waits_for_nobody() -> None:
    worker = Worker(seconds=0.0)
    start = time.perf_counter()
    assert run(worker, lambda batcher: batcher.submit(1)) == 2
    assert time.perf_counter() - start < 0.5


def test_only_equal_keys_share_a_batch_and_the_longest_waiting_goes_first() -> None:
    worker = Worker()

    async def script(batcher: Batcher[Any, Any]) -> None:
        keys = ["a", "b", "a", "b", "a"]
        await outcomes([batcher.submit(f"{key}{n}", key) for n, key in enumerate(keys)])

    run(worker, script)
    assert worker.batches == [["a0", "a2", "a4"], ["b1", "b3"]]


def test_the_cost_of_a_batch_is_limited_but_a_costly_job_still_runs() -> None:
    worker = Worker()

    async def script(batcher: Batcher[Any, Any]) -> list[Any]:
        return await outcomes([batcher.submit(n, cost=cost) for n, cost in enumerate([4, 4, 4, 30])])

    assert run(worker, script, max_cost=10) == [0, 2, 4, 6]
    assert worker.batches == [[0, 1], [2], [3]]


def test_a_full_queue_refuses() -> None:
    async def script(batcher: Batcher[Any, Any]) -> list[Any]:
        return await outcomes([batcher.submit(n) for n in range(8)])

    results = run(Worker(), script, max_queue=5)
    assert results[:5] == [0, 2, 4, 6, 8]
    assert all(isinstance(one, Unavailable) and one.retryable for one in results[5:])


def test_cancelled_and_late_jobs_never_reach_the_worker() -> None:
    worker = Worker()

    async def script(batcher: Batcher[Any, Any]) -> list[Any]:
        first = asyncio.create_task(batcher.submit("first"))
        await asyncio.sleep(0.01)
        gone = asyncio.create_task(batcher.submit("gone"))
        late = asyncio.create_task(batcher.submit("late", deadline=time.monotonic() + 0.01))
        kept = asyncio.create_task(batcher.submit("kept"))
        await asyncio.sleep(0)
        gone.cancel()
        return await outcomes([first, gone, late, kept])

    first, gone, late, kept = run(worker, script)
    assert (first, kept) == ("firstfirst", "keptkept")
    assert isinstance(gone, asyncio.CancelledError)
    assert isinstance(late, DeadlineExceeded)
    assert worker.batches == [["first"], ["kept"]]


def test_one_bad_job_fails_alone() -> None:
    def fail(items: Sequence[Any]) -> None:
        if 2 in items:
            raise ValueError("two")

    worker = Worker(0.0, fail)
    results = run(worker, lambda batcher: outcomes([batcher.submit(n) for n in range(4)]))
    assert [results[0], results[1], results[3]] == [0, 2, 6]
    assert isinstance(results[2], ValueError)


def test_out_of_memory_halves_the_batch_and_a_job_too_large_is_told() -> None:
    def fail(items: Sequence[Any]) -> None:
        if sum(items) > 5:
            raise OutOfMemoryError

    worker = Worker(0.0, fail)
    results = run(worker, lambda batcher: outcomes([batcher.submit(n) for n in (2, 3, 1, 9)]))
    assert results[:3] == [4, 6, 2]
    assert isinstance(results[3], Unavailable)
    assert worker.batches == [[2, 3, 1, 9], [2, 3], [1, 9], [1], [9]]


def test_batches_are_observed_with_their_size_and_waits() -> None:
    seen: list[Batch] = []

    async def script(batcher: Batcher[Any, Any]) -> None:
        await outcomes([batcher.submit(n) for n in range(6)])

    run(Worker(), script, observe=seen.append)
    assert [one.size for one in seen] == [4, 2]
    assert min(one.seconds for one in seen) >= 0.05
    assert seen[0].queued == 2
    assert min(seen[1].waited_s) >= 0.05


def test_draining_waits_for_all_and_refusing_answers_those_who_wait() -> None:
    async def script(batcher: Batcher[Any, Any]) -> list[Any]:
        tasks = [asyncio.create_task(batcher.submit(n)) for n in range(6)]
        await asyncio.sleep(0.01)
        batcher.refuse(Unavailable("shutting down"))
        await batcher.drain()
        assert all(task.done() for task in tasks)
        return await outcomes(tasks)

    results = run(Worker(), script)
    assert results[:4] == [0, 2, 4, 6]
    assert all(isinstance(one, Unavailable) for one in results[4:])


@pytest.mark.parametrize("count", [1, 50])
def test_a_batcher_goes_idle_and_starts_again(count: int) -> None:
    async def script(batcher: Batcher[Any, Any]) -> None:
        for n in range(count):
            assert await batcher.submit(n) == 2 * n
            assert batcher.queued == 0

    run(Worker(0.0), script)
