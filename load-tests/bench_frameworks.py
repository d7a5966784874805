"""The frameworks that `imagegraph export` writes for, beside our own server.

    python load-tests/bench_frameworks.py
    python load-tests/bench_frameworks.py --quick --formats flask,triton --only identity

Every framework has an environment of its own, made from frameworks/*.txt at first use. It serves what is
exported, by the `start.sh` of the folder, and is asked what the folder's `request.json` asks: V2 where it has
that. All answer the very bytes that our server answers, or the run ends. Rounds alternate in shuffled order;
while one server is asked, the others are stopped. What it takes to compute a request holds also on a busy
machine. Needs h2load, and Java for two. SELDON_EXECUTOR and KSERVE_ROUTER are binaries whose graphs are
asked, too. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "serving"))
import environments
import orjson
import pybase64
from bench_serving import CHAIN, manifest
from exported import ADDED, start
from free_ports import free_ports
from generator import ask
from servers import HERE, PYTHON, Server, kserve, ours
from ways import JPEG, Way, binary_request, check, grpc_request, grpc_way, http_way, json_request, run

from imagegraph.export import formats

CONCURRENCIES = (1, 8, 64)
TITLES = {
    "bentoml": "BentoML",
    "flask": "Flask",
    "mlflow": "MLflow",
    "mms": "multi-model-server",
    "seldon": "Seldon's wrapper",
    "torchserve": "TorchServe",
    "triton": "Triton",
    "vertex-cpr": "Vertex AI CPR",
}
ELSEWHERE = frozenset({"clearml"})  # it serves what a server of its own knows, which is no package
BATCHING = ("flask", "torchserve", "triton")  # their adapters hand on what waits together


@dataclass
class Options:
    """What to measure for how long."""

    formats: Sequence[str]
    rounds: int
    seconds: float


@dataclass
class Costs:
    """What a server takes beside the time of a request: seconds until its first answer, memory in MiB."""

    start_s: float
    memory_mib: float


def ours_ways(stack: ExitStack, *what: str, expected: bytes | None = JPEG) -> tuple[Server, list[Way], bytes]:
    """Starts our server; returns it, the ways to ask it, and the picture that it answers.

    Args:
        expected: the picture that it shall answer; None takes what it does answer.
    """
    server, port = ours(stack, *what, "--bundle", "pocket", catalogue=ADDED)
    text = http_way("ours, JSON", server, port, json_request(JPEG))
    server.wait(text.load(1, 1))
    if expected is None:
        output = orjson.loads(ask(text.load(1, 1)))["outputs"][0]
        expected = pybase64.b64decode(output["data"][0])
    ways = [text, http_way("ours, binary", server, port, *binary_request(JPEG))]
    for way in ways:
        check(way, expected)
    ways.append(grpc_way("ours, gRPC", server, port + 1, grpc_request(JPEG), expected))
    return server, ways, expected


def component(name: str, options: Options, costs: dict[str, dict[str, Costs]]) -> None:
    """Measures one component everywhere and prints its table."""
    with ExitStack() as stack:
        server, base, expected = ours_ways(stack, "--component", name, expected=None)
        servers = {"ours": server}
        ways = list(base)
        for format in options.formats:
            if name == "batch" and format not in BATCHING:
                continue
            server.pause()
            started = start(stack, format, name, TITLES[format], expected)
            server.resume()
            servers[TITLES[format]] = started.server
            ways += started.ways
        if name == "identity":
            server, port = kserve(stack, "identity")
            servers["KServe's SDK"] = server
            ways.append(http_way("KServe's SDK, JSON", server, port, json_request(JPEG)))
            check(ways[-1])
            ways.append(grpc_way("KServe's SDK, gRPC", server, port + 1, grpc_request(JPEG)))
            ways += transports(stack)
        run(ways, CONCURRENCIES, options.rounds, options.seconds)
        for title, one in servers.items():
            costs.setdefault(title, {})[name] = Costs(one.start_s, one.memory_mib())
    print_table(ways, base)


def transports(stack: ExitStack) -> list[Way]:
    """Starts what only hands back the bytes of a gRPC call: no server on these libraries does more."""
    port, envoy = free_ports(1), free_ports(1)
    alone = stack.enter_context(Server([PYTHON, HERE / "grpc_echo.py", str(port)]))
    pyvoy = environments.environment(HERE / "pyvoy.txt").with_name("pyvoy")
    command = [pyvoy, "envoy_echo:app", "--port", str(envoy), "--no-lifespan"]
    under = stack.enter_context(Server(command, {"PYTHONPATH": str(HERE)}))
    message = grpc_request(JPEG)
    return [
        grpc_way("grpc.aio alone, gRPC", alone, port, message),
        grpc_way("Envoy with Python in it, alone, gRPC", under, envoy, message),
    ]


def identity(options: Options, costs: dict[str, dict[str, Costs]]) -> None:
    """A picture in and out."""
    print(f"A JPEG of {len(JPEG) / 1024:.0f} KiB in and out, by a component that does nothing:\n")
    component("identity", options, costs)


def depth(options: Options, costs: dict[str, dict[str, Costs]]) -> None:
    """A real network."""
    print("\nThe component `depth` of the bundle `pocket`, of the same picture:\n")
    component("depth", options, costs)


def batch(options: Options, costs: dict[str, dict[str, Costs]]) -> None:
    """What gains from being computed together."""
    print("\nA component that takes 15 + 1.5 n ms for n pictures, which shares batches:\n")
    component("batch", options, costs)


def graph(options: Options, _: dict[str, dict[str, Costs]]) -> None:
    """Three steps: in one process, in Triton's ensemble, and by engines in front of nodes."""
    print("\nThe same picture through a graph of three components that do nothing:\n")
    with ExitStack() as stack:
        _, base, expected = ours_ways(stack, "--graph", "chain")
        ways = list(base)
        if "triton" in options.formats:
            started = start(stack, "triton", "chain", "Triton's ensemble", expected)
            ways += started.ways
        run(ways, CONCURRENCIES, options.rounds, options.seconds)
    print_table(ways, base)
    print("\nEngines in front of nodes that do nothing:\n")
    with ExitStack() as stack:
        base = engines(stack)
        run(base, CONCURRENCIES, options.rounds, options.seconds)
    print_table(base, base[:1])


def engines(stack: ExitStack) -> list[Way]:
    """Starts engines in front of one process that is every node: ours, and those that are given."""
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    node = free_ports(1)
    stack.enter_context(Server([PYTHON, HERE / "node.py", str(node)]))
    path = manifest(scratch / "chain.yaml", CHAIN, node)
    server, port = ours(stack, "--manifest", str(path))
    text = json_request(JPEG)
    ways = [http_way("ours, JSON", server, port, text)]
    if executor := os.environ.get("SELDON_EXECUTOR"):
        port = free_ports(2)
        where = ["--http_port", str(port), "--grpc_port", str(port + 1), "--file", str(path)]
        what = ["--sdep", "bench", "--namespace", "x", "--predictor", "default", "--protocol", "v2"]
        server = stack.enter_context(Server([executor, *where, *what], {"JAEGER_DISABLED": "true"}))
        ways.append(http_way("Seldon's executor, JSON", server, port, text))
    if router := os.environ.get("KSERVE_ROUTER"):
        step = {"serviceUrl": f"http://127.0.0.1:{node}/v2/models/m/infer", "data": "$response"}
        steps = [{"name": name, **step} for name in "abc"]
        document = {"nodes": {"root": {"routerType": "Sequence", "steps": steps}}}
        server = stack.enter_context(Server([router, "--graph-json", orjson.dumps(document).decode()]))
        ways.append(http_way("KServe's router, JSON", server, 8080, text, path="/"))  # it has no other port
    for way in ways:
        check(way)
    return ways


def print_table(ways: Sequence[Way], base: Sequence[Way]) -> None:
    """Prints a table; each is compared with the way of `base` that has the same protocol."""
    by_protocol = {way.name.rpartition(", ")[2]: way for way in base}
    many = " / ".join(map(str, CONCURRENCIES))
    print(f"| server | ours is faster by | requests/s at {many} | p50 ms | p95 ms | CPU ms each | errors |")
    print("|---|---|---|---|---|---|---|")
    for way in ways:
        if not all(way.rate(one) for one in CONCURRENCIES):  # nothing was measured
            print(
                f"| {way.name} | | every request failed under this load | | | | {way.errors()} |", flush=True
            )
            continue
        other = by_protocol.get(way.name.rpartition(", ")[2], base[0])
        cells = [
            [f"{other.ratio(one, way):.2f} x" for one in CONCURRENCIES],
            [f"{way.rate(one):.0f}" for one in CONCURRENCIES],
            [f"{way.p50_ms(one):.1f}" for one in CONCURRENCIES],
            [f"{way.p95_ms(one):.1f}" for one in CONCURRENCIES],
            [f"{statistics.median(way.cpu_ms[one]):.2f}" for one in CONCURRENCIES],
        ]
        print(
            f"| {way.name} | {' | '.join(' / '.join(cell) for cell in cells)} | {way.errors()} |", flush=True
        )


def print_costs(costs: dict[str, dict[str, Costs]], chosen: Sequence[str]) -> None:
    """Prints what the servers take beside time."""
    pythons = {TITLES[one]: environments.of_framework(one) for one in chosen}
    pythons["KServe's SDK"] = environments.environment(HERE / "kserve.txt")
    sizes = {title: environments.install_mb(one) for title, one in pythons.items()}
    sizes["ours"] = environments.closure_mb("imagegraph[serve]")
    print("\nWhat they take beside time; installed is what comes before any model's library:\n")
    print("| server | s to the first answer: identity, depth | MiB (PSS) of all processes | MB installed |")
    print("|---|---|---|---|")
    for title, kinds in costs.items():
        names = [name for name in ("identity", "depth") if name in kinds]
        starts = " / ".join(f"{kinds[name].start_s:.1f}" for name in names)
        memory = " / ".join(f"{kinds[name].memory_mib:.0f}" for name in names)
        print(f"| {title} | {starts} | {memory} | {sizes[title]:.0f} |")


TABLES = {"identity": identity, "depth": depth, "batch": batch, "graph": graph}


def formats_here() -> list[str]:
    """Returns the formats that have an environment and can be started by themselves."""
    return [name for name in formats.names() if name in environments.frameworks() and name not in ELSEWHERE]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=TABLES, help="one table alone")
    parser.add_argument("--formats", help="separated by commas; by default all that have an environment")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.5, help="a way to ask, concurrency and round")
    parser.add_argument("--quick", action="store_true", help="one short round: whether all of it works")
    asked = parser.parse_args()
    rounds, seconds = (1, 0.05) if asked.quick else (asked.rounds, asked.seconds)
    known = formats_here()
    chosen = asked.formats.split(",") if asked.formats else known
    if unknown := set(chosen) - set(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without ending the servers
    costs: dict[str, dict[str, Costs]] = {}
    for name, measure_table in TABLES.items():
        if asked.only in (None, name):
            measure_table(Options(chosen, rounds, seconds), costs)
    if costs:
        print_costs(costs, chosen)


if __name__ == "__main__":
    main()
