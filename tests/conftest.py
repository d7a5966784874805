"""What holds for all tests."""

import time
from collections.abc import Iterator

import pytest

from imagegraph.calls import loading


@pytest.fixture(scope="module", autouse=True)
def nothing_loads_beyond_its_module() -> Iterator[None]:
    """Waits for models that load in the background, also those of closed graphs.

    Tests load models by transformers itself, too. While it loads, it has torch make tensors of all threads
    without memory, and two that load at once never put that back.
    """
    yield
    while loading.LOADING.locked():
        with loading.LOADING:
            pass
        time.sleep(0.02)  # the next one, if any, begins
