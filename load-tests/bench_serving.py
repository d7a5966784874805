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
import os
import random
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from imagegraph.spec.graph import Node
from imagegraph.spec.seldon import seldon_deployment

sys.path.insert(0, str(Path(__file__).resolve().parent / "serving"))
from free_ports import free_ports
from servers import HERE, PYTHON, Server, environment, kserve, ours
from ways import (
    JPEG,
    V2,
    Way,
    binary_request,
    check,
    grpc_request,
    grpc_way,
    http_way,
    json_request,
    run,
    table,
)


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
        goal = "2" if way.name.startswith("ours") else ""
        added = [f"{way.p50_ms(1) - 20:.1f}", goal, f"{way.p99_ms(1) - 20:.1f}"]
        print(f"| {way.name} | {' | '.join(added)} | {way.errors()} |")


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
            half = way.p50_ms(1)
            times = f"{seldon.p50_ms(1) / half:.2f} x" if seldon else ""
            a_call = f"{half / calls[graph]:.2f}"
            cells = [graph, way.name, f"{half:.2f}", f"{way.p99_ms(1):.2f}", a_call, times]
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
