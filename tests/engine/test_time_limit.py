"""A time limit that is set once something has to be waited for."""

import asyncio
import time

import pytest

from imagegraph.engine.time_limit import within


class Told(Exception):
    """What a waiter is told."""


@pytest.mark.parametrize("seconds", [None, 5.0])
def test_what_work_returns_or_raises_comes_through_whether_it_waits_or_not(seconds):
    async def work(waits, fails):
        for _ in range(waits):
            await asyncio.sleep(0)
        if fails:
            raise Told
        return waits

    async def main():
        for waits in range(4):
            assert await within(seconds, work(waits, fails=False)) == waits
            with pytest.raises(Told):
                await within(seconds, work(waits, fails=True))

    asyncio.run(main())


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_work_that_takes_too_long_is_cancelled_at_whatever_it_waits_for(steps):
    cancelled = []

    async def work():
        for _ in range(steps):
            await asyncio.sleep(0.001)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def main():
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            await within(0.1, work())
        assert 0.09 < time.monotonic() - start < 30
        await asyncio.sleep(0)  # the task itself is not cancelled any more

    asyncio.run(main())
    assert cancelled == [True]


def test_who_is_cancelled_meanwhile_cancels_the_work_and_is_not_told_of_time():
    ended = []

    async def work():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)  # also what it waits for while it ends
            ended.append(True)

    async def main():
        async def limited():
            await within(30, work())

        task = asyncio.create_task(limited())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended == [True]


def test_work_may_go_on_after_something_that_it_waited_for_has_failed():
    async def fail():
        await asyncio.sleep(0)
        raise Told

    async def work():
        for _ in range(2):
            with pytest.raises(Told):
                await asyncio.ensure_future(fail())
        return "done"

    async def main():
        return await within(5, work())

    assert asyncio.run(main()) == "done"
