"""A thread that computes, and its signs of life."""

import asyncio
import threading

import pytest

from imagegraph.calls.worker import Worker, contained
from imagegraph.errors import ImagegraphError


def test_a_worker_is_silent_while_it_computes_until_it_gives_a_sign() -> None:
    begun, end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        end.wait(30)

    async def main() -> None:
        worker = Worker("test")
        worker.sign()
        assert worker.silent_s == 0
        task = asyncio.create_task(worker.run(work))
        await asyncio.to_thread(begun.wait, 30)
        await asyncio.sleep(0.1)
        assert worker.silent_s >= 0.1
        worker.sign()
        assert worker.silent_s < 0.1
        end.set()
        await task
        worker.sign()  # of a thread that a component has left behind
        assert worker.silent_s == 0
        worker.close()

    asyncio.run(main())


def test_work_that_nobody_waits_for_any_more_is_not_begun() -> None:
    done: list[int] = []
    go = threading.Event()

    async def main() -> None:
        worker = Worker("test")
        first = asyncio.create_task(worker.run(go.wait, 30))
        second = asyncio.create_task(worker.run(done.append, 2))
        third = asyncio.create_task(worker.run(done.append, 3))
        await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.wait([second])
        go.set()
        await asyncio.gather(first, third)
        worker.close()

    asyncio.run(main())
    assert done == [3]


@pytest.mark.parametrize(
    "error", [StopIteration("x"), SystemExit("x"), GeneratorExit("x"), KeyboardInterrupt("x")]
)
def test_what_no_coroutine_can_hand_on_is_a_fault_with_its_cause(error: BaseException) -> None:
    def work() -> None:
        raise error

    with pytest.raises(ImagegraphError, match=f"^{type(error).__name__}: x$") as caught:
        contained(work)
    assert caught.value.__cause__ is error
