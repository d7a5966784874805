"""Machines and processes that die without a word: a call gives them up within ten seconds."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagegraph.calls.over_grpc import GrpcCall
from imagegraph.calls.over_http import HttpCall
from imagegraph.engine import walk
from imagegraph.engine.context import Context
from imagegraph.errors import Unavailable
from imagegraph.message import Message
from imagegraph.spec.graph import Node
from tests.calls import silent_machine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets us choose how long")

NOTICED_S = 10 + 5  # more than docs/kubernetes.md says, for a machine that is busy with other tests
Call = HttpCall | GrpcCall


async def given_up_after(call: Call, context: Context) -> float:
    """Asks, and returns how long it took until that was known to be in vain."""
    start = time.monotonic()
    try:
        with pytest.raises(Unavailable, match="node 'a': "):
            await walk.run(Node(name="a"), Message({"x": 1}), call, context)
    finally:
        await call.close()
    return time.monotonic() - start


def minute() -> Context:
    return Context(deadline=time.monotonic() + 60)


@pytest.fixture
def deaf() -> Iterator[str]:
    """Where no connection is taken and none refused: nobody accepts, and the backlog is full."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            yield f"127.0.0.1:{port}"


@pytest.fixture
def stopped() -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A gRPC server in a process that can be stopped."""
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        ports = [str(probe.getsockname()[1]) for probe in (one, other)]
    command = [sys.executable, str(Path(silent_machine.__file__)), "127.0.0.1", *ports]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "listens\n"
    yield f"127.0.0.1:{ports[1]}", process
    process.kill()
    process.wait()


def test_who_takes_no_connection_or_stops_in_mid_call_is_given_up_in_time(deaf, stopped):
    address, process = stopped

    async def stopped_call() -> float:
        asked = asyncio.create_task(given_up_after(GrpcCall({"a": address}, {}), minute()))
        assert process.stdout
        assert await asyncio.to_thread(process.stdout.readline) == "asked\n"
        process.send_signal(signal.SIGSTOP)
        start = time.monotonic()
        await asked
        return time.monotonic() - start

    async def main() -> list[float]:
        calls = (HttpCall({"a": deaf}), GrpcCall({"a": deaf}, {}))
        return await asyncio.gather(*(given_up_after(call, minute()) for call in calls), stopped_call())

    seconds = asyncio.run(main())
    assert max(seconds) < NOTICED_S, seconds


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and `ip` for a network namespace"
)
def test_a_machine_that_dies_in_mid_call_is_given_up_in_time():
    http = f"{silent_machine.MACHINE}:{silent_machine.HTTP_PORT}"
    grpc = f"{silent_machine.MACHINE}:{silent_machine.GRPC_PORT}"

    def watched() -> Context:
        return Context(deadline=minute().deadline, listener=lambda event: None)

    async def main(machine: silent_machine.Machine) -> list[float]:
        asked = [
            asyncio.create_task(given_up_after(call, context()))
            for context in (minute, watched)
            for call in (HttpCall({"a": http}), GrpcCall({"a": grpc}, {}))
        ]
        for _ in asked:
            await asyncio.to_thread(machine.wait_for, "asked")
        machine.die()
        start = time.monotonic()

        async def end(one: "asyncio.Task[float]") -> float:
            await one
            return time.monotonic() - start

        return await asyncio.gather(*map(end, asked))

    with silent_machine.machine() as machine:
        seconds = asyncio.run(main(machine))
    assert max(seconds) < NOTICED_S, seconds
