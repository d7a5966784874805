"""How many cases: the same few in every run of the tests, other and many more of them by `make fuzz`."""

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))


def cases(count: int) -> settings:
    """Settings of a test that tries `count` cases, and TIMES as many by `make fuzz`."""
    return settings(
        max_examples=count * TIMES,
        derandomize=TIMES == 1,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
