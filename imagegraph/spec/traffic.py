"""Which version answers a request."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def share(request_id: str, percents: Sequence[int]) -> int:
    """Returns the index of the share that a request falls into: by hash, so that it stays there."""
    if len(percents) == 1:  # the hash would be the dearest step of the choice
        return 0
    point = int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:8]) % sum(percents)
    for index, percent in enumerate(percents):
        point -= percent
        if point < 0:
            return index
    return 0
