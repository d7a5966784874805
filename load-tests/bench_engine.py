"""What the engine itself costs: time a node adds to its own work, and graph time to critical path.

    python load-tests/bench_engine.py            prints Markdown tables
    python load-tests/bench_engine.py --check    also fails beyond the goals

Medians of many runs, so that other work on the machine moves them little.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypedDict

from imagegraph.calls.in_process import LocalCall
from imagegraph.component import Component
from imagegraph.engine import walk
from imagegraph.engine.context import Call
from imagegraph.message import Message
from imagegraph.spec.catalogue import Catalogue, entry_names
from imagegraph.spec.graph import Node, NodeType
from tests.fake_call import FakeCall

RUNS = 300
SLEEPING_RUNS = 10
GOAL_MS_A_NODE = 1.0
GOAL_CRITICAL_PATH = 1.05

# Seconds that each node of `reimagine` sleeps, in about the proportions of the real ones.
SLEEPS = {
    "source": 0.0,
    "depth": 0.15,
    "pose": 0.2,
    "segmentation": 0.15,
    "edges": 0.02,
    "caption": 0.3,
    "priors": 0.0,
    "generate": 0.6,
    "upscale": 0.2,
    "rank": 0.2,
}
READERS = ("source", "depth", "pose", "segmentation", "edges", "caption")
CRITICAL_PATH = ("caption", "priors", "generate", "upscale", "rank")

CATALOGUE = """
base: none
graphs: {}
entries:
  empty: {component: bench_engine:Empty, summary: Does nothing, bundles: {bench: {}}}
  unite: {component: components.priors:Priors, summary: Unites, bundles: {bench: {}}}
"""


class Nothing(TypedDict):
    """No ports."""


class Empty(Component):
    """Does nothing."""

    def predict(self) -> Nothing:
        """Answers nothing."""
        return {}


def reimagine() -> Node:
    """Ten nodes in the shape of the main job, all of them empty but for the combiner."""
    readers = tuple(Node(name=name, entry="empty", type=NodeType.TRANSFORMER) for name in READERS)
    root = Node(name="priors", entry="unite", type=NodeType.COMBINER, children=readers)
    for name in ("generate", "upscale", "rank"):
        root = Node(name=name, entry="empty", type=NodeType.OUTPUT_TRANSFORMER, children=(root,))
    return root


def chain() -> Node:
    """Ten nodes one after another."""
    root = Node(name="n0", entry="empty", type=NodeType.TRANSFORMER)
    for index in range(1, 10):
        root = Node(name=f"n{index}", entry="empty", type=NodeType.TRANSFORMER, children=(root,))
    return root


def fake(root: Node, sleeps: dict[str, float] | None = None) -> FakeCall:
    """Nodes that answer at once, or after they slept."""

    def function(name: str) -> Callable[[Message | list[Message]], Message | Awaitable[Message]]:
        def answer(argument: Message | list[Message]) -> Message:
            return argument[0] if isinstance(argument, list) else argument

        async def sleep(argument: Message | list[Message]) -> Message:
            await asyncio.sleep((sleeps or {})[name])
            return answer(argument)

        return sleep if sleeps else answer

    return FakeCall({node.name: function(node.name) for node in root.walk()})


async def seconds(root: Node, call: Call, runs: int) -> float:
    """Returns the median time of a run."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        await walk.run(root, Message({"prompt": "a red sphere"}), call)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


async def measure() -> bool:
    """Prints both tables; returns whether the goals are reached."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalogue.yaml"
        path.write_text(CATALOGUE)
        catalogue = Catalogue.read([path])
    good = True
    print("| 10 empty nodes | call | ms a node | goal |")
    print("|---|---|---:|---:|")
    for shape, root in (("one after another", chain()), ("as in reimagine", reimagine())):
        with LocalCall(catalogue, "bench", entry_names(root), "cpu") as local:
            await local.ready()
            for name, call in (("fake", fake(root)), ("local", local)):
                await seconds(root, call, RUNS // 10)  # warm
                cost = 1000 * await seconds(root, call, RUNS) / sum(1 for _ in root.walk())
                good &= cost <= GOAL_MS_A_NODE
                print(f"| {shape} | {name} | {cost:.3f} | {GOAL_MS_A_NODE:g} |")
    root = reimagine()
    path_s = sum(SLEEPS[name] for name in CRITICAL_PATH)
    graph_s = await seconds(root, fake(root, SLEEPS), SLEEPING_RUNS)
    good &= graph_s <= GOAL_CRITICAL_PATH * path_s
    print("\n| sleeping nodes as in reimagine | s | ratio | goal |")
    print("|---|---:|---:|---:|")
    print(f"| one after another | {sum(SLEEPS.values()):.3f} | {sum(SLEEPS.values()) / path_s:.3f} | |")
    print(f"| critical path | {path_s:.3f} | 1 | |")
    print(f"| the engine | {graph_s:.3f} | {graph_s / path_s:.3f} | {GOAL_CRITICAL_PATH:g} |")
    return good


def main() -> None:
    """Measures and, with --check, compares with the goals."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="fail beyond the goals")
    check = parser.parse_args().check
    if not asyncio.run(measure()) and check:
        sys.exit("beyond the goals")


if __name__ == "__main__":
    main()
