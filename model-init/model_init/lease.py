"""The lock of a repository on the volume."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from model_init.errors import Busy, LeaseLost, Stopped
from model_init.store import Repository

LEASE_S = 30.0
HEARTBEAT_S = 5.0
STOPPED = "told to stop; what came so far is kept, and the next pull goes on from there"


@contextlib.contextmanager
def hold(
    repository: Repository,
    timeout_s: float,
    stop: threading.Event,
    say: Callable[[str], None],
    only_of_dead: bool = False,
) -> Iterator[Callable[[], None]]:
    """Holds the lock of a repository; gives a function that raises once the work has to end.

    The lock is a file that its holder touches, so it needs no flock: on the same machine a dead holder
    is seen at once, on another one after LEASE_S without a touch. A file that names no holder, as a
    machine that lost its power may leave it, goes half a lease later.

    Args:
        only_of_dead: do not wait for a holder that lives, which shows at its next touch.

    Raises:
        Busy: somebody else held it for longer than `timeout_s`, or lives.
        Stopped: `stop` was set while it waited.
    """
    from filelock import SoftFileLease, Timeout

    lost = threading.Event()
    with repository.writing():
        repository.lock.parent.mkdir(parents=True, exist_ok=True)
    lease = SoftFileLease(
        repository.lock,
        lease_duration=LEASE_S,
        heartbeat_interval=HEARTBEAT_S,
        on_compromise=lambda _: lost.set(),
    )

    def keep_on() -> None:
        if stop.is_set():
            raise Stopped(STOPPED)
        if lost.is_set():
            raise LeaseLost(f"{repository.lock} was taken over")

    start, said = time.monotonic(), False
    touched: int | None = None
    silent_since = start
    while not lease.is_locked:
        keep_on()
        waited = time.monotonic() - start
        try:
            with repository.writing():
                lease.acquire(timeout=min(1.0, max(timeout_s - waited, 0)), poll_interval=0.1)
        except Timeout as error:
            before, touched = touched, _touched(repository.lock)
            lives = only_of_dead and None not in (before, touched) and before != touched
            if touched != before:
                silent_since = time.monotonic()
            elif time.monotonic() - silent_since > 1.5 * LEASE_S:
                # Should it be another's by now, that one sees its loss and begins again.
                with repository.writing():
                    repository.lock.unlink(missing_ok=True)
            if lives or waited >= timeout_s:
                raise Busy(f"{repository.lock} is held by somebody else since {waited:.0f} s") from error
            if not said:
                say(f"{repository.name}: somebody else pulls it; waiting")
                said = True
    try:
        yield keep_on
    finally:
        lease.release()


def _touched(lock: Path) -> int | None:
    """Returns when a lock was last touched; None if it is gone."""
    try:
        return lock.stat().st_mtime_ns
    except FileNotFoundError:
        return None
