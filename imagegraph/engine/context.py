"""What travels with a request beside its values, and how nodes are asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.spec.graph import Node

Method = Literal["infer", "aggregate", "route"]


class Event(NamedTuple):
    """Something happened at a node: started, a step of progress, finished or failed.

    Attributes:
        seconds: for "finished" and "failed", how long the call took.
        done, total, preview: for "progress", see `component.Progress`.
        message: for "finished" by infer or aggregate, what the node answered.
    """

    node: Node
    method: Method
    kind: Literal["started", "progress", "finished", "failed"]
    seconds: float = 0.0
    done: int = 0
    total: int = 0
    preview: Callable[[], Image] | None = None
    message: Message | None = None


class Turn(NamedTuple):
    """How a node's work came to be done: how long it waited (s), and how many were computed together."""

    waited_s: float
    batch: int


@dataclass
class Context:
    """What travels with a request beside its values.

    Attributes:
        id: the request's id, the same at every node.
        deadline: `time.monotonic()` at which the whole graph must have answered, if any.
        listener: told of every event, on the engine's thread.
        events: all events so far; `timings` sums them up.
        cache_hits: the nodes that were not asked, since their result was known.
        cache_misses: those that were asked, though their result might have been known.
        predictor: the version of the graph that is asked for, or that answers.
        trace: the headers of W3C Trace Context, as they go on to nodes.
        turns: of the nodes that were computed in this process.
        graph: the root of the graph that was run, if one was.
    """

    id: str = field(default_factory=lambda: os.urandom(16).hex())
    deadline: float | None = None
    listener: Callable[[Event], None] | None = None
    events: list[Event] = field(default_factory=list)
    cache_hits: list[str] = field(default_factory=list)
    cache_misses: list[str] = field(default_factory=list)
    predictor: str | None = None
    trace: Mapping[str, str] = field(default_factory=dict)
    turns: dict[str, Turn] = field(default_factory=dict)
    graph: Node | None = None

    def tell(self, event: Event) -> None:
        """Records an event and tells the listener."""
        if event.kind != "progress":
            self.events.append(event)
        if self.listener:
            self.listener(event)

    @property
    def timings(self) -> dict[str, float]:
        """Seconds spent in each finished node."""
        seconds: dict[str, float] = {}
        for event in self.events:
            if event.kind == "finished":
                seconds[event.node.name] = seconds.get(event.node.name, 0.0) + event.seconds
        return seconds

    @property
    def critical_path(self) -> dict[str, float]:
        """Seconds of the nodes that the answer had to wait for: of children side by side, of the slowest."""
        seconds = self.timings

        def longest(node: Node) -> dict[str, float]:
            below = max(map(longest, node.children), key=lambda path: sum(path.values()), default={})
            return below | ({node.name: seconds[node.name]} if node.name in seconds else {})

        return longest(self.graph) if self.graph else {}


class Call(Protocol):
    """How nodes are reached: in process, over HTTP, over gRPC, or as doubles in tests."""

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        """Asks a MODEL, TRANSFORMER or OUTPUT_TRANSFORMER."""

    async def aggregate(self, node: Node, messages: Sequence[Message], context: Context) -> Message:
        """Asks a COMBINER to make one message of its children's answers."""

    async def route(self, node: Node, message: Message, context: Context) -> int:
        """Asks a ROUTER for the index of a child, -1 for all, -2 for none."""
