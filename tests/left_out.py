"""What cannot be tested on this machine: left out with a sentence, but not in CI, where nobody reads it."""

import contextlib
import os
from collections.abc import Iterator
from typing import NoReturn

import pytest

from tests.debian import Missing


def leave_out(reason: str) -> NoReturn:
    """Skips what asks, but fails where continuous integration would not notice a skip."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextlib.contextmanager
def left_out_if_missing(what: str) -> Iterator[None]:
    """Leaves out `what`, such as "the page", where the machine lacks something for it."""
    try:
        yield
    except Missing as error:
        leave_out(f"{what} is not tested here: {error}")
