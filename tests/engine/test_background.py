"""A loop on a thread of its own."""

import asyncio
import subprocess
import sys
import time

import pytest

from imagegraph.engine.background import Background, background


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def test_work_is_done_for_whoever_has_no_loop_and_for_whoever_is_in_one() -> None:
    async def main() -> int:
        return background.run(double(2))

    assert background.run(double(1)) == 2
    assert asyncio.run(main()) == 4


def test_what_is_raised_comes_to_who_asked() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        background.run(fail())


def test_it_does_not_wait_for_itself() -> None:
    async def wait() -> int:
        return background.run(double(1))

    with pytest.raises(RuntimeError, match="await it instead"):
        background.run(wait())


def test_to_cancel_the_future_is_to_cancel_the_work() -> None:
    ended: list[bool] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    loop = Background()
    future = loop.submit(wait())
    loop.run(asyncio.sleep(0))
    future.cancel()
    end = time.monotonic() + 10
    while not ended and time.monotonic() < end:
        time.sleep(0.01)
    assert ended == [True]


def test_a_forked_process_has_a_loop_of_its_own() -> None:
    script = """
import os
from imagegraph.engine.background import background

async def double(number):
    return 2 * number

background.run(double(1))
if child := os.fork():
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
else:
    os._exit(background.run(double(21)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "42\n"), done.stderr


def test_what_it_was_asked_for_last_is_done_before_the_process_ends() -> None:
    script = """
import time
from imagegraph.engine.background import background

async def let_go():
    time.sleep(0.5)
    print("gone", flush=True)

background.submit(let_go())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "gone\n"), done.stderr
