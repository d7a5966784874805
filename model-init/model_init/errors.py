"""Every way in which model-init fails, named by what to do about it; `exit_code` is the process's.

    Incomplete      3  pull
    NoSpace         4  enlarge the volume
    NoAccess        5  give a token, accept a licence, correct a name
    Unreachable     6  run again later
    NotWritable     7  mount the volume writable
    WrongBytes      8  ask the owner of the source
    WrongName       8  the same
    Busy            9  look at the pod that holds the lock

2 is what `InvalidDocument`, `UnknownName` and `WrongPin` say: correct the catalogue or the arguments.
"""

from __future__ import annotations

import errno
from pathlib import Path

from imagegraph.errors import ImagegraphError


class Failure(ImagegraphError):
    """Root of model-init's own errors."""

    exit_code = 1


class WrongPin(Failure):
    """A source is not what the catalogue pins, or is not there to be pulled."""

    exit_code = 2


class Incomplete(Failure):
    """Files are missing or broken."""

    exit_code = 3


class NoSpace(Failure):
    """The volume is too small."""

    exit_code = 4


class NoAccess(Failure):
    """The source does not let us in, or does not know what we ask for."""

    exit_code = 5


class Unreachable(Failure):
    """The source does not answer, or answers with its own errors."""

    exit_code = 6

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        """Takes how long the source asked us to wait, if it did."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotWritable(Failure):
    """The volume is read-only, or belongs to somebody else."""

    exit_code = 7


class WrongBytes(Failure):
    """What came is not what its hash says."""

    exit_code = 8


class WrongName(Failure):
    """A source names a file that would not be in its folder."""

    exit_code = 8


class Busy(Failure):
    """Somebody else holds a lock for too long."""

    exit_code = 9


class Stopped(Failure):
    """The process was told to stop."""

    exit_code = 143


class LeaseLost(Failure):
    """Somebody else has taken over our lock, since we were silent for too long."""


def volume_failure(error: OSError, folder: Path) -> Failure | None:
    """Returns what an error of the file system means; None if it does not come from the volume."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"{folder} is full; enlarge it or run `model-init gc --delete`, then pull again")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        if error.errno == errno.EROFS:
            return NotWritable(f"{folder} is mounted read-only, but files must be fetched; mount it writable")
        return NotWritable(f"{folder} does not let this user write, but files must be fetched; set fsGroup")
    return None
