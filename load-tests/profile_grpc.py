"""What a call of the identity over gRPC takes by parts, in processor time of one thread, without the network.

python load-tests/profile_grpc.py
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "serving"))
from prometheus_client import CollectorRegistry
from ways import JPEG, grpc_request

from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.observe.metrics import Metrics
from imagegraph.observe.request_log import Journal
from imagegraph.serve.build import Assembly, Settings
from imagegraph.serve.grpc_v2 import Servicer
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.graph import NodeType
from imagegraph.wire import grpc_body, v2_grpc

ADDED = Path(__file__).resolve().parent / "serving" / "frameworks.yaml"
ROUNDS, CALLS = 9, 300
BODY = grpc_request(JPEG)


class Call:
    """A call as gRPC hands it to a servicer, of a client that says nothing beside its request."""

    def invocation_metadata(self) -> tuple[()]:
        """Returns no metadata."""
        return ()

    def time_remaining(self) -> None:
        """Returns no deadline."""

    def set_trailing_metadata(self, metadata: object) -> None:
        """Forgets them."""


async def microseconds(work: Callable[[], Awaitable[Any]]) -> float:
    """Returns how long a call takes in the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.thread_time()
        for _ in range(CALLS):
            await work()
        best = min(best, (time.thread_time() - start) / CALLS)
    return best * 1e6


async def main() -> None:
    """Measures and prints a Markdown table."""
    journal = Journal(Metrics("identity", CollectorRegistry(), role="node"))
    assembly = Assembly(Catalogue.read([ADDED]), Settings("cpu"), journal)
    service = assembly.node("identity", "pocket", "identity", NodeType.MODEL)
    await service.load()
    servicer = Servicer(service, 300.0)
    message = Message({"image": Image(JPEG)}, "an-id", "identity", {}, "sha256:" + 64 * "0")

    async def read() -> Any:
        return v2_grpc.decode_request(grpc_body.read_request(BODY))

    async def write() -> bytes:
        return bytes(v2_grpc.encode_answer(message).SerializeToString())

    async def join() -> bytes:
        return b"".join([bytes(100), JPEG])

    async def whole() -> bytes:
        return await servicer.ModelInfer(grpc_body.read_request(BODY), Call())

    print("| | µs a call |\n|---|---|")
    for what, work in {
        "reading a request": read,
        "writing an answer": write,
        "the least that a message class of our own could take for that": join,
        "all of it": whole,
    }.items():
        print(f"| {what} | {await microseconds(work):.0f} |", flush=True)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
