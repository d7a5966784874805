"""Our server beside others, and our engine in front of nodes that do nothing.

    python load-tests/bench_serving.py
    SELDON_EXECUTOR=path/to/executor python load-tests/bench_serving.py --only engine

Every server has an environment of its own, made from serving/*.txt at first use, and a process of its
own, stopped while another is asked. Rounds alternate in shuffled order, so that a slow minute of the
machine hits all alike; ratios are medians over rounds of the ratio within a round. All servers get the
same picture as the same V2 JSON, decode its base64 and encode it again; ours and KServe's are asked in
their other protocols, too. Needs h2load, which Debian has in nghttp2-client. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import http.client
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import orjson
import yaml

from imagegraph import wire
from imagegraph.catalogue import ROOT
from imagegraph.graph import Node
from imagegraph.image import Image
from imagegraph.manifest import seldon_deployment
from imagegraph.message import Message
from imagegraph.protocol import pb

HERE = Path(__file__).resolve().parent / "serving"
sys.path.insert(0, str(HERE))
from generator import GRPC_METHOD, Load, Outcome, framed, measure  # noqa: E402

ENVIRONMENTS = HERE / ".environments"
START_S = 120.0
STOP_S = 15.0
JPEG = (ROOT / "pocket" / "examples" / "photo.jpg").read_bytes()
PYTHON = Path(sys.executable)
UV = PYTHON.with_name("uv")
JSON_HEADERS = {"Content-Type": "application/json"}
V2 = "/v2/models/m/infer"


def environment(name: str) -> Path:
    """Returns the interpreter of a server's own environment; makes it if its requirements are new."""
    requirements = HERE / f"{name}.txt"
    folder = ENVIRONMENTS / f"{name}-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    done = folder / "complete"
    if not done.exists():
        print(f"making {folder.name}", file=sys.stderr)
        subprocess.run([UV, "venv", "--quiet", "--clear", "--python", PYTHON, folder], check=True)
        install = [UV, "pip", "install", "--quiet", "--no-deps", "--python", python]
        subprocess.run([*install, "--requirement", requirements], check=True)
        done.touch()
    return python


def free_ports(count: int) -> int:
    """Returns the first of several free ports in a row."""
    while True:
        with ExitStack() as stack:
            first = random.randrange(20000, 30000)
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first


class Server:
    """A server process with all its children; use as a context manager."""

    def __init__(self, command: Sequence[str | Path], variables: Mapping[str, str] | None = None) -> None:
        """Starts it, in a folder and a session of its own."""
        self._folder = tempfile.TemporaryDirectory()
        self._log = Path(self._folder.name) / "log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                cwd=self._folder.name,
                env={**os.environ, "OMP_NUM_THREADS": "1", **(variables or {})},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self, load: Load) -> None:
        """Waits until the load's request is answered."""
        end = time.monotonic() + START_S
        while time.monotonic() < end and self._process.poll() is None:
            try:
                ask(load)
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"{self._process.args} does not answer:\n{self._log.read_text()[-3000:]}")

    def pause(self) -> None:
        """Stops it for a while: some servers are busy even when nobody asks them."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Has it go on."""
        os.killpg(self._process.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(ProcessLookupError):
            self.resume()
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
            os.killpg(self._process.pid, signal.SIGKILL)  # also what it left behind
        self._process.wait()
        self._folder.cleanup()


def ask(load: Load) -> bytes:
    """Sends a load's request once over HTTP and returns the answer's body.

    Raises:
        OSError: nobody answers, or not with 200.
    """
    connection = http.client.HTTPConnection("127.0.0.1", load.port, timeout=30)
    try:
        connection.request("POST", load.path, load.body, dict(load.headers))
        answer = connection.getresponse()
        body = answer.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise OSError(f"{answer.status}: {body[:500]!r}")
    return body


def json_request(data: bytes) -> bytes:
    """Returns a V2 request with one BYTES tensor as base64."""
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(data).decode()]}
    return orjson.dumps({"inputs": [tensor]})


def binary_request(data: bytes) -> tuple[bytes, dict[str, str]]:
    """Returns a V2 request with one binary tensor, and its headers."""
    body, length = wire.encode(Message({"image": Image(data)}))
    return body, {"Content-Type": "application/octet-stream", wire.HEADER_LENGTH: str(length)}


def grpc_request(data: bytes) -> bytes:
    """Returns a ModelInferRequest with raw contents."""
    tensor = pb.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])
    raw = len(data).to_bytes(4, "little") + data
    message = pb.ModelInferRequest(model_name="m", inputs=[tensor], raw_input_contents=[raw])
    return bytes(message.SerializeToString())


@dataclass
class Way:
    """One way to ask one server, and what came of it: by concurrency, an outcome a round."""

    name: str
    server: Server
    load: Callable[[int, int], Load]
    goals: Mapping[int, float] = field(default_factory=dict)
    outcomes: dict[int, list[Outcome]] = field(default_factory=dict)

    def median(self, concurrency: int, value: Callable[[Outcome], float]) -> float:
        """Returns the median over rounds."""
        return statistics.median(value(one) for one in self.outcomes[concurrency])

    def errors(self) -> int:
        """Returns how many requests failed in all rounds."""
        return sum(one.errors for outcomes in self.outcomes.values() for one in outcomes)

    def ratio(self, concurrency: int, other: Way) -> float:
        """Returns the median over rounds of the requests a second for one of the other's."""
        pairs = zip(self.outcomes[concurrency], other.outcomes[concurrency], strict=True)
        return statistics.median(mine.requests_per_s / theirs.requests_per_s for mine, theirs in pairs)


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


def grpc_way(name: str, server: Server, port: int, body: bytes) -> Way:
    """Asks over gRPC, once now: an answer under load that is shorter is none."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        grpc.channel_ready_future(channel).result(START_S)
        answer = channel.unary_unary(GRPC_METHOD)(body, timeout=START_S)
    if JPEG not in answer:
        raise RuntimeError(f"{name} answers {answer[:300]!r}, not the picture")
    size = len(framed(answer))
    return Way(name, server, lambda many, requests: Load(port, body, many, requests, grpc_answer=size))


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
                many = max(least, round(seconds * rates[way.name, concurrency])) if turn else 2 * least
                outcome = measure(way.load(concurrency, many))
                way.server.pause()
                rates[way.name, concurrency] = outcome.requests_per_s
                if turn:
                    way.outcomes.setdefault(concurrency, []).append(outcome)
    for way in ways:
        way.server.resume()


def ours(stack: ExitStack, *arguments: str) -> tuple[Server, int]:
    """Starts our server; returns it and its HTTP port, which gRPC's follows."""
    port = free_ports(2)
    paths = os.pathsep.join([str(ROOT), str(HERE)])
    variables = {"IMAGEGRAPH_CATALOGUE": str(HERE / "catalogue.yaml"), "PYTHONPATH": paths}
    command = [PYTHON, "-m", "imagegraph.cli", "serve", "--device", "cpu"]
    ports = ["--http-port", str(port), "--grpc-port", str(port + 1)]
    return stack.enter_context(Server([*command, *arguments, *ports], variables)), port


def kserve(stack: ExitStack, kind: str) -> tuple[Server, int]:
    """Starts KServe's own server; returns it and its HTTP port, which gRPC's follows."""
    port = free_ports(2)
    command = [environment("kserve"), HERE / "kserve_server.py", kind, str(port), str(port + 1)]
    return stack.enter_context(Server(command)), port


def peers(stack: ExitStack, kind: str) -> list[Way]:
    """Starts the other frameworks, asked in JSON."""
    body = json_request(JPEG)
    ways = []
    for name, title, path in (
        ("mlserver", "MLServer", V2),
        ("litserve", "LitServe", "/predict"),
        ("fastapi", "FastAPI", V2),
    ):
        port = free_ports(3)
        command = [environment(name), HERE / f"{name}_server.py", kind, str(port)]
        ways.append(http_way(f"{title}, JSON", stack.enter_context(Server(command)), port, body, path=path))
    port = free_ports(1)
    bentoml = environment("bentoml").with_name("bentoml")
    command = [bentoml, "serve", "bentoml_server:Identity", "--host", "127.0.0.1", "--port", str(port)]
    variables = {"KIND": kind, "PYTHONPATH": str(HERE), "BENTOML_DO_NOT_TRACK": "true", "BENTOML_HOME": "."}
    server = stack.enter_context(Server([*command, "--working-dir", str(HERE)], variables))
    ways.append(http_way("BentoML, JSON", server, port, body, path="/infer"))
    return ways


def check(way: Way) -> None:
    """Waits until the server is there and makes sure that it answers the picture that it gets."""
    load = way.load(1, 1)
    if load.grpc_answer is not None:
        return  # asked when it was made
    way.server.wait(load)
    body = ask(load)
    if JPEG not in body and base64.b64encode(JPEG) not in body:
        raise RuntimeError(f"{way.name} answers {body[:300]!r}, not the picture")


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
        rates = [f"{way.median(one, lambda out: out.requests_per_s):.0f}" for one in concurrencies]
        halves = [f"{way.median(one, lambda out: out.p50_ms):.1f}" for one in concurrencies]
        tails = [f"{way.median(one, lambda out: out.p99_ms):.1f}" for one in concurrencies]
        cells = [ratios, goals, rates, halves, tails]
        rows.append(f"| {way.name} | {' | '.join(' / '.join(cell) for cell in cells)} | {way.errors()} |")
    return "\n".join(rows)


def identity(rounds: int, seconds: float) -> None:
    """A picture in and out, nothing done to it."""
    concurrencies = (1, 8, 64)
    text, message = json_request(JPEG), grpc_request(JPEG)
    with ExitStack() as stack:
        server, port = kserve(stack, "identity")
        base = http_way("KServe, JSON", server, port, text)
        ways = [base, grpc_way("KServe, gRPC", server, port + 1, message), *peers(stack, "identity")]
        port = free_ports(1)
        server = stack.enter_context(Server([PYTHON, HERE / "grpc_echo.py", str(port)]))
        ways.append(grpc_way("grpc.aio alone, bytes", server, port, message))
        server, port = ours(stack, "--bundle", "bench", "--component", "identity")
        for goal, way in (
            (1.8, http_way("ours, JSON", server, port, text)),
            (2.4, http_way("ours, binary", server, port, *binary_request(JPEG))),
            (2.6, grpc_way("ours, gRPC", server, port + 1, message)),
        ):
            way.goals = dict.fromkeys(concurrencies, goal)
            ways.append(way)
        for way in ways:
            check(way)
        run(ways, concurrencies, rounds, seconds)
    print(f"A JPEG of {len(JPEG) / 1024:.0f} KiB in and out, ratio to KServe's REST:\n")
    print(table(ways, base, concurrencies))
    print("\n`grpc.aio alone` hands back the bytes that come: no server on that library does more.")


def sleep(rounds: int, seconds: float) -> None:
    """What a server adds to a model of 20 ms, asked by one client."""
    text = json_request(JPEG)
    with ExitStack() as stack:
        server, port = kserve(stack, "sleep")
        ways = [http_way("KServe, JSON", server, port, text), *peers(stack, "sleep")]
        server, port = ours(stack, "--bundle", "bench", "--component", "sleep")
        ways.append(http_way("ours, JSON", server, port, text))
        ways.append(http_way("ours, binary", server, port, *binary_request(JPEG)))
        for way in ways:
            check(way)
        run(ways, (1,), rounds, seconds)
    print("Added to a model that takes 20 ms, one client:\n")
    print("| server | p50, ms added | goal | p99, ms added | errors |\n|---|---|---|---|---|")
    for way in ways:
        half, tail = (way.median(1, value) - 20 for value in (lambda out: out.p50_ms, lambda out: out.p99_ms))
        goal = "2" if way.name.startswith("ours") else ""
        print(f"| {way.name} | {half:.1f} | {goal} | {tail:.1f} | {way.errors()} |")


def batch(rounds: int, seconds: float) -> None:
    """A model that gains from batches, against one that gets its pictures one by one."""
    concurrencies = (1, 8, 64)
    text, message = json_request(JPEG), grpc_request(JPEG)
    with ExitStack() as stack:
        server, port = kserve(stack, "batch")
        base = http_way("KServe, JSON, no batches", server, port, text)
        ways = [base]
        server, port = ours(stack, "--bundle", "bench", "--component", "batch")
        for way in (
            http_way("ours, JSON", server, port, text),
            http_way("ours, binary", server, port, *binary_request(JPEG)),
            grpc_way("ours, gRPC", server, port + 1, message),
        ):
            way.goals = dict(zip(concurrencies, (1.0, 2.9, 6.4), strict=True))
            ways.append(way)
        for way in ways:
            check(way)
        run(ways, concurrencies, rounds, seconds)
    print("A model that takes 15 + 1.5 n ms for n pictures, ratio to KServe's REST without batches:\n")
    print(table(ways, base, concurrencies))


NODE = {"entry": "identity", "type": "TRANSFORMER"}
CHAIN = {**NODE, "name": "a", "children": [{**NODE, "name": "b", "children": [{**NODE, "name": "c"}]}]}
CHILDREN = [{**NODE, "name": name} for name in "abc"]
GRAPHS = {
    "one node": {**NODE, "name": "a"},
    "chain of three": CHAIN,
    "three children and a combiner": {
        "name": "u",
        "entry": "unite",
        "type": "COMBINER",
        "children": CHILDREN,
    },
}
PAYLOADS = {"small": 32, "484 KB": 484_000, "10 MB": 10_000_000}


def manifest(path: Path, graph: Mapping[str, Any], port: int) -> Path:
    """Writes a SeldonDeployment whose nodes are all at one port."""
    document = seldon_deployment("bench", Node.model_validate(graph), "bench", "image")
    (predictor,) = document["spec"]["predictors"]
    units = [predictor["graph"]]
    for unit in units:
        units.extend(unit.get("children", []))
        unit["endpoint"] = {"service_host": "127.0.0.1", "httpPort": port, "type": "REST"}
    path.write_text(yaml.safe_dump(document))
    return path


def engine(rounds: int, seconds: float) -> None:
    """Graphs of nodes that do nothing, one client; beside Seldon's executor if SELDON_EXECUTOR is given."""
    executor = os.environ.get("SELDON_EXECUTOR")
    kept: dict[str, dict[str, list[Way]]] = {}
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        node_port = free_ports(1)
        node = stack.enter_context(Server([PYTHON, HERE / "node.py", str(node_port)]))
        fronts: dict[str, list[tuple[str, Server, int]]] = {
            "no engine": [("the node itself", node, node_port)]
        }
        for name, graph in GRAPHS.items():
            path = manifest(scratch / f"{name}.yaml", graph, node_port)
            server, port = ours(stack, "--manifest", str(path))
            fronts[name] = [("ours", server, port)]
            if executor:
                port = free_ports(2)
                where = ["--http_port", str(port), "--grpc_port", str(port + 1), "--file", str(path)]
                what = ["--sdep", "bench", "--namespace", "x", "--predictor", "default", "--protocol", "v2"]
                variables = {"JAEGER_DISABLED": "true"}
                server = stack.enter_context(Server([executor, *where, *what], variables))
                fronts[name].append(("Seldon's executor", server, port))
        for payload, size in PAYLOADS.items():
            data = random.Random(1).randbytes(size)
            body, (binary, headers) = json_request(data), binary_request(data)
            kept[payload] = {}
            for graph_name, servers in fronts.items():
                ways = []
                for name, server, port in servers:
                    ways.append(http_way(f"{name}, JSON", server, port, body))
                    if name == "ours":
                        ways.append(http_way(f"{name}, binary", server, port, binary, headers))
                for way in ways:
                    way.server.wait(way.load(1, 1))
                kept[payload][graph_name] = ways
            every = [way for ways in kept[payload].values() for way in ways if way.server is not node]
            run([*every], (1,), rounds, seconds)
            run(kept[payload]["no engine"], (1,), rounds, seconds)
    for payload, graphs in kept.items():
        print_engine(payload, graphs)


def print_engine(payload: str, graphs: Mapping[str, Sequence[Way]]) -> None:
    """Prints one payload's table."""
    print(f"\nEngine in front of nodes that do nothing, {payload}, one client:\n")
    print("| graph | asked | p50 ms | p99 ms | ms a call of a node | Seldon's executor takes | errors |")
    print("|---|---|---|---|---|---|---|")
    calls = {"no engine": 1, "one node": 1, "chain of three": 3, "three children and a combiner": 4}
    for graph, ways in graphs.items():
        seldon = next((way for way in ways if way.name.startswith("Seldon")), None)
        for way in ways:
            half, tail = (way.median(1, value) for value in (lambda out: out.p50_ms, lambda out: out.p99_ms))
            times = f"{seldon.median(1, lambda out: out.p50_ms) / half:.2f} x" if seldon else ""
            cells = [graph, way.name, f"{half:.2f}", f"{tail:.2f}", f"{half / calls[graph]:.2f}", times]
            print(f"| {' | '.join(cells)} | {way.errors()} |")


TABLES = {"identity": identity, "sleep": sleep, "batch": batch, "engine": engine}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=TABLES, help="one table alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="a server and round")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without ending the servers
    for name, measure_table in TABLES.items():
        if options.only in (None, name):
            measure_table(options.rounds, options.seconds)
            print()


if __name__ == "__main__":
    main()
