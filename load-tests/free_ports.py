"""Ports of this machine that nobody listens at."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack


def free_ports(count: int) -> int:
    """Returns the first of several free ports in a row: servers listen at their port and at some above it.

    multi-model-server knows no port above 32 766.
    """
    while True:
        with ExitStack() as stack:
            first = random.randrange(20_000, 32_000)
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
