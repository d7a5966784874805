"""An event loop on a thread of its own, so that who is not asynchronous can call what is, also in a loop."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")
END_S = 10  # that its last work may take when the process ends


class Background:
    """One loop, started when it is first asked for something; it ends with the process."""

    def __init__(self) -> None:
        """Begins without a thread."""
        self.forget()

    def forget(self) -> None:
        """Begins anew, in a process that was forked: no thread comes along."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def submit(self, work: Coroutine[Any, Any, Result]) -> concurrent.futures.Future[Result]:
        """Starts work on the loop; to cancel the future is to cancel the work."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="imagegraph", daemon=True)
                self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def end(self) -> None:
        """Ends the loop after what it was asked for last, such as to let go of a model.

        Python kills a thread that outlives it, and with one that is within torch the whole process.
        """
        if self._loop and self._thread:
            with contextlib.suppress(TimeoutError):
                self.submit(asyncio.sleep(0)).result(END_S)  # after all that has begun before
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(END_S)

    @property
    def is_here(self) -> bool:
        """Whether this runs on the loop's own thread, which must not wait for itself."""
        return threading.current_thread() is self._thread

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Returns what the work does; who interrupts the wait (Ctrl-C) cancels it.

        Raises:
            RuntimeError: asked for on the very loop that would do it.
            Exception: whatever the work raises.
        """
        if self.is_here:
            work.close()
            raise RuntimeError("this runs on the loop that would have to answer: await it instead")
        future = self.submit(work)
        try:
            return future.result()
        finally:
            future.cancel()


background = Background()


os.register_at_fork(after_in_child=background.forget)
atexit.register(background.end)
