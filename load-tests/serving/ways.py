"""Ways to ask servers, and rounds of asking them in turn."""

from __future__ import annotations

import base64
import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import grpc
import orjson
from generator import GRPC_METHOD, START_S, Load, Outcome, ask, framed, measure
from servers import Server

from imagegraph.message import Message, Tensor
from imagegraph.spec.catalogue import ROOT
from imagegraph.wire import v2_json
from imagegraph.wire.grpc_messages import pb

JPEG = (ROOT / "pocket" / "examples" / "photo.jpg").read_bytes()
JSON_HEADERS = {"Content-Type": "application/json"}
V2 = "/v2/models/m/infer"


def json_request(data: bytes) -> bytes:
    """Returns a V2 request with one BYTES tensor as base64."""
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(data).decode()]}
    return orjson.dumps({"inputs": [tensor]})


def binary_request(data: bytes, shape: Sequence[int] = (1,)) -> tuple[bytes, dict[str, str]]:
    """Returns a V2 request with one binary tensor, and its headers."""
    body, length = v2_json.encode(Message({"image": Tensor("BYTES", tuple(shape), [data])}))
    return body, {"Content-Type": "application/octet-stream", v2_json.HEADER_LENGTH: str(length)}


def grpc_request(data: bytes, model: str = "m", shape: Sequence[int] = (1,)) -> bytes:
    """Returns a ModelInferRequest with raw contents."""
    tensor = pb.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=shape)
    raw = len(data).to_bytes(4, "little") + data
    message = pb.ModelInferRequest(model_name=model, inputs=[tensor], raw_input_contents=[raw])
    return bytes(message.SerializeToString())


@dataclass
class Way:
    """One way to ask one server, and what came of it: by concurrency, an outcome a round.

    Attributes:
        cpu_ms: how long the server has computed for a request, by concurrency and round.
    """

    name: str
    server: Server
    load: Callable[[int, int], Load]
    goals: Mapping[int, float] = field(default_factory=dict)
    outcomes: dict[int, list[Outcome]] = field(default_factory=dict)
    cpu_ms: dict[int, list[float]] = field(default_factory=dict)

    def rate(self, concurrency: int) -> float:
        """Returns the requests a second, the median over rounds."""
        return statistics.median(one.requests_per_s for one in self.outcomes[concurrency])

    def p50_ms(self, concurrency: int) -> float:
        """Returns the time that half of the answers took at most, the median over rounds."""
        return statistics.median(one.p50_ms for one in self.outcomes[concurrency])

    def p99_ms(self, concurrency: int) -> float:
        """Returns the time that 99 of 100 answers took at most, the median over rounds."""
        return statistics.median(one.p99_ms for one in self.outcomes[concurrency])

    def p95_ms(self, concurrency: int) -> float:
        """Returns the time that 95 of 100 answers took at most, the median over rounds."""
        return statistics.median(one.p95_ms for one in self.outcomes[concurrency])

    def errors(self) -> int:
        """Returns how many requests failed in all rounds."""
        return sum(one.errors for outcomes in self.outcomes.values() for one in outcomes)

    def ratio(self, concurrency: int, other: Way) -> float:
        """Returns the median over rounds of the requests a second for one of the other's."""
        pairs = zip(self.outcomes[concurrency], other.outcomes[concurrency], strict=True)
        return statistics.median(
            mine.requests_per_s / theirs.requests_per_s if theirs.requests_per_s else math.inf
            for mine, theirs in pairs
        )


def http_way(
    name: str,
    server: Server,
    port: int,
    body: bytes,
    headers: Mapping[str, str] = JSON_HEADERS,
    path: str = V2,
) -> Way:
    """Asks over HTTP."""
    return Way(name, server, lambda many, requests: Load(port, body, many, requests, path, headers))


def grpc_way(name: str, server: Server, port: int, body: bytes, expected: bytes = JPEG) -> Way:
    """Asks over gRPC, once now: an answer under load that is shorter is none."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        grpc.channel_ready_future(channel).result(START_S)
        answer = channel.unary_unary(GRPC_METHOD)(body, timeout=START_S)
    if expected not in answer:
        raise RuntimeError(f"{name} answers {answer[:300]!r}, not the picture")
    size = len(framed(answer))
    return Way(name, server, lambda many, requests: Load(port, body, many, requests, grpc_answer=size))


def check(way: Way, expected: bytes = JPEG) -> None:
    """Waits until the server is there and makes sure that it answers the right picture."""
    load = way.load(1, 1)
    if load.grpc_answer is not None:
        return  # asked when it was made
    way.server.wait(load)
    body = ask(load)
    if expected not in body and base64.b64encode(expected) not in body:
        raise RuntimeError(f"{way.name} answers {body[:300]!r}, not the picture")


def run(ways: Sequence[Way], concurrencies: Sequence[int], rounds: int, seconds: float) -> None:
    """Measures all ways in alternating rounds, in a new order each; first a short round to warm up."""
    shuffle = random.Random(1).shuffle
    rates: dict[tuple[str, int], float] = {}
    for way in ways:
        way.server.pause()
    for turn in range(rounds + 1):
        for concurrency in concurrencies:
            order = list(ways)
            shuffle(order)
            for way in order:
                way.server.resume()
                # As many as the time will allow by what the round before has shown.
                least = 2 * concurrency
                many = max(least, round(seconds * rates[way.name, concurrency])) if turn else max(least, 20)
                before = way.server.cpu_s()
                outcome = measure(way.load(concurrency, many))
                cpu_ms = 1000 * (way.server.cpu_s() - before) / many
                way.server.pause()
                rates[way.name, concurrency] = outcome.requests_per_s
                if turn:
                    way.outcomes.setdefault(concurrency, []).append(outcome)
                    way.cpu_ms.setdefault(concurrency, []).append(cpu_ms)
    for way in ways:
        way.server.resume()


def table(ways: Sequence[Way], other: Way, concurrencies: Sequence[int]) -> str:
    """Returns the ratios to `other` and the figures behind them as Markdown."""
    many = " / ".join(map(str, concurrencies))
    rows = [
        f"| server | ratio at {many} at once | goal | requests/s | p50 ms | p99 ms | errors |",
        "|---|---|---|---|---|---|---|",
    ]
    for way in ways:
        ratios = [f"{way.ratio(one, other):.2f}" for one in concurrencies]
        goals = [f"{way.goals[one]:g}" for one in concurrencies] if way.goals else []
        rates = [f"{way.rate(one):.0f}" for one in concurrencies]
        halves = [f"{way.p50_ms(one):.1f}" for one in concurrencies]
        tails = [f"{way.p99_ms(one):.1f}" for one in concurrencies]
        cells = [ratios, goals, rates, halves, tails]
        rows.append(f"| {way.name} | {' | '.join(' / '.join(cell) for cell in cells)} | {way.errors()} |")
    return "\n".join(rows)
