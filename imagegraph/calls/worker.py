"""A thread that computes: whatever is raised there, whoever waits gets an error that it can handle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from imagegraph.errors import ImagegraphError, describe

Result = TypeVar("Result")


class Worker:
    """One thread, and when it last gave a sign of life."""

    def __init__(self, name: str) -> None:
        """Takes the thread's name."""
        self._executor = ThreadPoolExecutor(1, name)
        self._alive_at: float | None = None

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Returns what `work` does, after all that was asked before; who is cancelled by then costs nothing.

        Raises:
            Exception: whatever `work` raises; see `carried`.
        """

        def watched() -> Result | _Raised:
            self._alive_at = time.monotonic()
            try:
                return work(*arguments)
            except BaseException as error:
                return _Raised(carried(error))
            finally:
                self._alive_at = None

        outcome = await asyncio.get_running_loop().run_in_executor(self._executor, watched)
        if isinstance(outcome, _Raised):
            raise outcome.taken()
        return outcome

    def sign(self) -> None:
        """Says that the work goes on; callable from any thread, also when it has ended."""
        if self._alive_at is not None:
            self._alive_at = time.monotonic()

    @property
    def silent_s(self) -> float:
        """How long the work that runs has given no sign of life; 0 if none runs."""
        alive_at = self._alive_at
        return 0.0 if alive_at is None else time.monotonic() - alive_at

    def close(self) -> None:
        """Gives up what waits; does not wait for what runs."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def contained(work: Callable[..., Result], *arguments: Any) -> Result:
    """Returns what `work` does here, on the caller's own thread.

    Raises:
        Exception: whatever `work` raises; see `carried`.
    """
    try:
        return work(*arguments)
    except BaseException as error:
        raised = _Raised(carried(error))
    raise raised.taken()


class _Raised:
    """An error on its way from one thread to another: futures cannot carry StopIteration.

    The frames of its traceback hold this object, and whatever a request has sent: who raises it takes it out,
    so that nothing of that waits for the garbage collector.
    """

    def __init__(self, error: Exception) -> None:
        self._error = [error]

    def taken(self) -> Exception:
        return self._error.pop()


def carried(error: BaseException) -> Exception:
    """Returns an error as it is, or as a fault of ours if a coroutine could not raise it to its caller.

    StopIteration ends generators, CancelledError and GeneratorExit say that nobody waits any more, SystemExit
    and KeyboardInterrupt end the process: none of these is for the code of a component to say.
    """
    if isinstance(error, Exception) and not isinstance(error, (StopIteration, StopAsyncIteration)):
        return error
    fault = ImagegraphError(describe(error))
    fault.__cause__ = error
    return fault
