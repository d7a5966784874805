"""The batcher: when it sends, what it puts together, and whom an error meets."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from imagegraph.calls.batching import Batch, Batcher
from imagegraph.calls.worker import Worker
from imagegraph.errors import DeadlineExceeded, ImagegraphError, Unavailable, describe


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


class Doubler:
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


def run(worker: Doubler, script: Callable[[Batcher[Any, Any]], Any], **limits: Any) -> Any:
    settings = {"max_batch": 4, "max_cost": 100.0, "max_queue": 50, **limits}

    async def main() -> Any:
        thread = Worker("test")
        try:
            return await asyncio.wait_for(script(Batcher(worker, thread, **settings)), 30)
        finally:
            thread.close()

    return asyncio.run(main())


async def submit(batcher: Batcher[Any, Any], item: Any, *arguments: Any, **named: Any) -> Any:
    with batcher.place() as place:
        return await place.submit(item, *arguments, **named)


async def outcomes(calls: Sequence[Any]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


def test_an_idle_worker_gets_a_job_at_once_and_a_busy_one_a_batch() -> None:
    worker = Doubler()
    results = run(worker, lambda batcher: outcomes([submit(batcher, n) for n in range(6)]))
    assert results == [0, 2, 4, 6, 8, 10]
    # The first submit has its batch taken only when the loop turns: all six stand there by then.
    assert [len(batch) for batch in worker.batches] == [4, 2]
    assert len(worker.threads) == 1


def test_a_job_alone_waits_for_nobody() -> None:
    worker = Doubler(seconds=0.0)
    start = time.perf_counter()
    assert run(worker, lambda batcher: submit(batcher, 1)) == 2
    assert time.perf_counter() - start < 0.5


def test_only_equal_keys_share_a_batch_and_the_longest_waiting_goes_first() -> None:
    worker = Doubler()

    async def script(batcher: Batcher[Any, Any]) -> None:
        keys = ["a", "b", "a", "b", "a"]
        await outcomes([submit(batcher, f"{key}{n}", key) for n, key in enumerate(keys)])

    run(worker, script)
    assert worker.batches == [["a0", "a2", "a4"], ["b1", "b3"]]


def test_the_cost_of_a_batch_is_limited_but_a_costly_job_still_runs() -> None:
    worker = Doubler()

    async def script(batcher: Batcher[Any, Any]) -> list[Any]:
        return await outcomes([submit(batcher, n, cost=cost) for n, cost in enumerate([4, 4, 4, 30])])

    assert run(worker, script, max_cost=10) == [0, 2, 4, 6]
    assert worker.batches == [[0, 1], [2], [3]]


def test_a_full_queue_refuses() -> None:
    async def script(batcher: Batcher[Any, Any]) -> list[Any]:
        return await outcomes([submit(batcher, n) for n in range(8)])

    results = run(Doubler(), script, max_queue=5)
    assert results[:5] == [0, 2, 4, 6, 8]
    assert all(isinstance(one, Unavailable) and one.retryable for one in results[5:])


def test_cancelled_and_late_jobs_never_reach_the_worker() -> None:
    worker = Doubler()

    async def script(batcher: Batcher[Any, Any]) -> list[Any]:
        first = asyncio.create_task(submit(batcher, "first"))
        await asyncio.sleep(0.01)
        gone = asyncio.create_task(submit(batcher, "gone"))
        late = asyncio.create_task(submit(batcher, "late", deadline=time.monotonic() + 0.01))
        kept = asyncio.create_task(submit(batcher, "kept"))
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

    worker = Doubler(0.0, fail)
    results = run(worker, lambda batcher: outcomes([submit(batcher, n) for n in range(4)]))
    assert [results[0], results[1], results[3]] == [0, 2, 6]
    assert isinstance(results[2], ValueError)


def test_out_of_memory_halves_the_batch_and_a_job_too_large_is_told() -> None:
    def fail(items: Sequence[Any]) -> None:
        if sum(items) > 5:
            raise OutOfMemoryError

    worker = Doubler(0.0, fail)
    results = run(worker, lambda batcher: outcomes([submit(batcher, n) for n in (2, 3, 1, 9)]))
    assert results[:3] == [4, 6, 2]
    assert isinstance(results[3], Unavailable)
    assert worker.batches == [[2, 3, 1, 9], [2, 3], [1, 9], [1], [9]]


def test_batches_are_observed_with_their_size_and_waits() -> None:
    seen: list[Batch] = []

    async def script(batcher: Batcher[Any, Any]) -> None:
        await outcomes([submit(batcher, n) for n in range(6)])

    run(Doubler(), script, observe=seen.append)
    assert [one.size for one in seen] == [4, 2]
    assert min(one.seconds for one in seen) >= 0.05
    assert min(seen[1].waited_s) >= 0.05


def test_who_leaves_gives_the_place_back_at_once() -> None:
    worker = Doubler(seconds=0.2)

    async def script(batcher: Batcher[Any, Any]) -> list[Any]:
        first = asyncio.create_task(submit(batcher, 0))
        await asyncio.sleep(0.05)
        for _ in range(3):
            gone = [asyncio.create_task(submit(batcher, n)) for n in range(5)]
            await asyncio.sleep(0)
            assert batcher.queued == 5
            for task in gone:
                task.cancel()
            assert all(isinstance(one, asyncio.CancelledError) for one in await outcomes(gone))
            assert batcher.queued == 0
        return await outcomes([first, submit(batcher, 7)])

    assert run(worker, script, max_queue=5) == [0, 14]
    assert worker.batches == [[0], [7]]


def test_a_place_is_taken_before_its_work_is_there() -> None:
    async def script(batcher: Batcher[Any, Any]) -> None:
        with batcher.place():
            assert batcher.queued == 1
            with pytest.raises(Unavailable, match="the queue is full: 1 requests wait"):
                await submit(batcher, 1)
        assert batcher.queued == 0
        assert await submit(batcher, 1) == 2

    run(Doubler(0.0), script, max_queue=1)


class WordlessError(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    "raised",
    [
        StopIteration("7"),
        StopAsyncIteration(),
        GeneratorExit(),
        SystemExit(3),
        KeyboardInterrupt(),
        asyncio.CancelledError(),
        TimeoutError(),
        WordlessError(),
        MemoryError(),
        BaseException("base"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("count", [1, 3])
def test_whatever_is_raised_fails_its_batch_and_the_next_one_is_computed(
    raised: BaseException, count: int
) -> None:
    def fail(items: Sequence[Any]) -> None:
        if 1 in items:
            raise raised

    async def script(batcher: Batcher[Any, Any]) -> None:
        first, *others = await outcomes([submit(batcher, n) for n in range(1, count + 1)])
        assert isinstance(first, Exception)
        expected = "out of memory" if isinstance(raised, MemoryError) else type(raised).__name__
        assert expected in describe(first)
        assert others == [2 * n for n in range(2, count + 1)]
        assert await submit(batcher, 5) == 10

    run(Doubler(0.0, fail), script)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda items: [], "expected one result for each of 1 requests, got 0 results"),
        (lambda items: [1, 2, 3], "got 3 results"),
        (lambda items: None, "expected a list of results, got None"),
        (lambda items: (n for n in items), "expected a list of results, got <generator"),
        (lambda items: dict.fromkeys(items), "expected a list of results, got {1: None}"),
    ],
)
def test_a_wrong_number_of_results_fails_its_batch_and_the_next_one_is_computed(
    answer: Callable[[Sequence[Any]], Any], words: str
) -> None:
    class Wrong(Doubler):
        def __call__(self, items: Sequence[Any]) -> Any:
            return answer(items) if 1 in items else super().__call__(items)

    async def script(batcher: Batcher[Any, Any]) -> None:
        wrong, right = await outcomes([submit(batcher, 1), submit(batcher, 2)])
        assert words in str(wrong)
        assert isinstance(wrong, ImagegraphError)
        assert right == 4
        assert await submit(batcher, 3) == 6

    run(Wrong(0.0), script)


def test_a_key_that_cannot_be_compared_fails_who_waits_and_the_next_ones_are_computed() -> None:
    class Key:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            raise ValueError("no order")

    async def script(batcher: Batcher[Any, Any]) -> None:
        results = await outcomes([submit(batcher, n, Key()) for n in range(3)])
        assert results[0] == 0
        assert all("no order" in str(one) for one in results[1:])
        assert batcher.queued == 0
        assert await submit(batcher, 1) == 2

    run(Doubler(0.0), script)


def test_jobs_of_a_worker_that_ends_are_told() -> None:
    async def main() -> list[Any]:
        thread = Worker("test")
        batcher: Batcher[Any, Any] = Batcher(Doubler(0.1), thread, max_cost=9, max_queue=9, max_batch=1)
        tasks = [asyncio.create_task(submit(batcher, n)) for n in range(3)]
        await asyncio.sleep(0.02)
        thread.close()
        return await asyncio.wait_for(outcomes(tasks), 30)

    first, *others = asyncio.run(main())
    assert first == 0
    assert all(isinstance(one, Exception) for one in others)


@pytest.mark.parametrize("count", [1, 50])
def test_a_batcher_goes_idle_and_starts_again(count: int) -> None:
    async def script(batcher: Batcher[Any, Any]) -> None:
        for n in range(count):
            assert await submit(batcher, n) == 2 * n
            assert batcher.queued == 0

    run(Doubler(0.0), script)
