"""Sends one request over and over on several connections at once and says how long answers took.

A process of its own, fed with a pickled `Load` on standard input; `measure` starts it. HTTP/1.1 is
spoken on bare sockets and gRPC without decoding messages, so that the generator costs far less than
any server that it asks, and all servers the same.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import pickle
import re
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

GRPC_METHOD = "/inference.GRPCInferenceService/ModelInfer"
ANSWER_S = 60.0


@dataclass(frozen=True)
class Load:
    """What to send where.

    Attributes:
        path: for HTTP; gRPC has one method.
        concurrency: connections (HTTP) or calls (gRPC) at once.
        seconds: how long to go on beginning requests; at least one a connection is sent.
    """

    port: int
    body: bytes
    concurrency: int
    seconds: float
    path: str = "/v2/models/m/infer"
    headers: Mapping[str, str] = field(default_factory=dict)
    grpc: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of it: answers a second and quantiles of their times; errors are no answers."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    errors: int


def measure(load: Load) -> Outcome:
    """Runs a load in a process of its own."""
    limit_s = load.seconds + 2 * ANSWER_S
    command = [sys.executable, str(Path(__file__))]
    run = subprocess.run(
        command, input=pickle.dumps(load), stdout=subprocess.PIPE, timeout=limit_s, check=True
    )
    return Outcome(**json.loads(run.stdout))


def http_head(load: Load) -> bytes:
    """Returns the head of the request."""
    lines = [f"POST {load.path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(load.body)}"]
    lines += [f"{name}: {value}" for name, value in load.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


class Connection:
    """One HTTP connection and the request that is under way on it."""

    def __init__(self, port: int, request: bytes) -> None:
        """Connects."""
        self._request = memoryview(request)
        self._line = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S)
        self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._line.setblocking(False)
        self.begin()

    def fileno(self) -> int:
        """For epoll."""
        return self._line.fileno()

    def begin(self) -> None:
        """Makes the next request ready to be sent."""
        self._left_to_send = self._request
        self._left_to_read: int | None = None  # not known before the head of the answer is there
        self._chunked = False
        self._head = self._tail = b""
        self.ok = False
        self.since = time.perf_counter()

    def send(self) -> bool:
        """Sends what the socket takes; returns whether all is sent."""
        self._left_to_send = self._left_to_send[self._line.send(self._left_to_send) :]
        return not self._left_to_send

    def receive(self, buffer: bytearray) -> bool:
        """Reads what is there; returns whether the answer is complete."""
        count = self._line.recv_into(buffer)
        if not count:
            raise ConnectionResetError("the server closed the connection")
        self._tail = (self._tail + buffer[max(0, count - 5) : count])[-5:]
        if self._left_to_read is not None:
            self._left_to_read -= count
        else:
            self._head += buffer[:count]
            head, found, body = self._head.partition(b"\r\n\r\n")
            if not found:
                return False
            self.ok = head.startswith(b"HTTP/1.1 200")
            length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
            # Go sends large answers in chunks; no JSON holds what ends the last one.
            self._chunked = length is None
            self._left_to_read = int(length[1]) - len(body) if length else 0
        return self._tail == b"0\r\n\r\n" if self._chunked else self._left_to_read == 0

    def close(self) -> None:
        """Closes the socket."""
        self._line.close()


def drive_http(load: Load) -> tuple[list[float], int, float]:
    """Returns the seconds that each answer took, the number of errors, and the seconds of all."""
    request = http_head(load) + load.body
    buffer = bytearray(2**20)
    times: list[float] = []
    errors = 0
    poll = select.epoll()
    lines = {one.fileno(): one for one in (Connection(load.port, request) for _ in range(load.concurrency))}
    for number in lines:
        poll.register(number, select.EPOLLOUT)
    start = time.perf_counter()
    while lines:
        ready = poll.poll(ANSWER_S)
        if not ready:
            raise TimeoutError(f"no answer within {ANSWER_S:g} s")
        for number, event in ready:
            line = lines[number]
            try:
                if event & select.EPOLLOUT and not event & select.EPOLLIN:
                    if line.send():
                        poll.modify(number, select.EPOLLIN)
                    continue
                if not line.receive(buffer):
                    continue
            except ConnectionError:
                line.ok = False
            now = time.perf_counter()
            if line.ok:
                times.append(now - line.since)
            errors += not line.ok
            if line.ok and now - start < load.seconds:
                line.begin()
                # Most requests fit into the socket's buffer: no need to wait until it says so.
                poll.modify(number, select.EPOLLIN if line.send() else select.EPOLLOUT)
            else:
                poll.unregister(number)
                lines.pop(number).close()
    return times, errors, time.perf_counter() - start


async def drive_grpc(load: Load) -> tuple[list[float], int, float]:
    """As `drive_http`, over one gRPC channel."""
    from grpc import aio

    times: list[float] = []
    errors = itertools.count()
    unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    async with aio.insecure_channel(f"127.0.0.1:{load.port}", options=unlimited) as channel:
        await channel.channel_ready()
        call = channel.unary_unary(GRPC_METHOD)
        start = time.perf_counter()

        async def client() -> None:
            while True:
                since = time.perf_counter()
                try:
                    await call(load.body, timeout=ANSWER_S)
                except aio.AioRpcError:
                    next(errors)
                    return
                now = time.perf_counter()
                times.append(now - since)
                if now - start >= load.seconds:
                    return

        await asyncio.gather(*(client() for _ in range(load.concurrency)))
        return times, next(errors), time.perf_counter() - start


def main() -> None:
    """Reads a load, drives it, and prints the outcome as JSON."""
    load = pickle.load(sys.stdin.buffer)
    times, errors, seconds = asyncio.run(drive_grpc(load)) if load.grpc else drive_http(load)
    quantiles = statistics.quantiles(times, n=100) if len(times) > 1 else [(times or [0.0])[0]] * 99
    outcome = Outcome(len(times) / seconds, 1000 * quantiles[49], 1000 * quantiles[98], errors)
    print(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main()
