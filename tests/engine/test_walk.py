import asyncio
import time
from typing import Any

import pytest

from imagegraph.engine import walk
from imagegraph.engine.context import Context, Event
from imagegraph.errors import DeadlineExceeded, ImagegraphError, InvalidInput, Unavailable
from imagegraph.message import Message
from imagegraph.spec.graph import Node
from tests.fake_call import FakeCall


def tree(text: dict[str, Any]) -> Node:
    return Node.model_validate(text)


def node(name: str, type_: str, *children: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "type": type_, "children": list(children)}


def leaf(name: str) -> dict[str, Any]:
    return {"name": name}


def mark(name: str) -> Any:
    """A function that writes its name behind the path of the message."""
    return lambda message: Message({"path": message.values["path"] + name})


def join(messages: list[Message]) -> Message:
    return Message({"path": "(" + ",".join(message.values["path"] for message in messages) + ")"})


def call(**functions: Any) -> FakeCall:
    return FakeCall({**{name: mark(name) for name in "abcdefgh"}, **functions})


def run(graph: dict[str, Any], fake: FakeCall, context: Context | None = None) -> Message:
    return asyncio.run(walk.run(tree(graph), Message({"path": ""}), fake, context))


def wait(seconds: float, name: str = "", error: Exception | None = None, cancelled: list[str] | None = None):
    """A function that takes its time, then answers or fails, and tells when it is cancelled."""

    async def work(message: Message) -> Message:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            if cancelled is not None:
                cancelled.append(name)
            raise
        if error:
            raise error
        return Message({"path": message.values["path"] + name})

    return work


@pytest.mark.parametrize(
    ("graph", "functions", "path"),
    [
        (leaf("a"), {}, "a"),
        (node("a", "MODEL", leaf("b")), {}, "ab"),
        (node("a", "TRANSFORMER", leaf("b")), {}, "ab"),
        (node("a", "OUTPUT_TRANSFORMER", leaf("b")), {}, "ba"),
        (node("a", "OUTPUT_TRANSFORMER"), {}, "a"),
        (node("a", "TRANSFORMER", node("b", "OUTPUT_TRANSFORMER", leaf("c"))), {}, "acb"),
        (node("a", "COMBINER", leaf("b"), leaf("c")), {"a": join}, "(b,c)"),
        (node("a", "COMBINER", leaf("b")), {"a": join}, "(b)"),
        (node("a", "OUTPUT_TRANSFORMER", node("b", "COMBINER", leaf("c"), leaf("d"))), {"b": join}, "(c,d)a"),
        (node("a", "MODEL", leaf("b"), leaf("c")), {}, "ab"),
        (node("a", "COMBINER", leaf("b"), leaf("c")), {"a": join, "b": wait(0.05, "b")}, "(b,c)"),
        (node("a", "ROUTER", leaf("b"), leaf("c")), {"a": lambda message: 0}, "b"),
        (node("a", "ROUTER", leaf("b"), leaf("c")), {"a": lambda message: 1}, "c"),
        (node("a", "ROUTER", leaf("b"), leaf("c")), {"a": lambda message: -1}, "b"),
        (node("a", "ROUTER", leaf("b"), leaf("c")), {"a": lambda message: -2}, ""),
        (node("a", "OUTPUT_TRANSFORMER", node("b", "ROUTER", leaf("c"))), {"b": lambda message: -2}, "a"),
    ],
)
def test_nodes_are_asked_in_the_order_of_seldons_executor(graph, functions, path):
    assert run(graph, call(**functions)).values["path"] == path


def test_every_type_is_asked_by_its_own_method():
    fake = call(a=lambda message: -1, c=join)
    run(node("a", "ROUTER", leaf("b"), node("c", "COMBINER", leaf("d"))), fake)
    assert fake.calls == [("a", "route"), ("b", "infer"), ("d", "infer"), ("c", "aggregate")]


def test_a_route_asks_one_child_only():
    fake = call(a=lambda message: 1)
    run(node("a", "ROUTER", leaf("b"), leaf("c")), fake)
    assert fake.calls == [("a", "route"), ("c", "infer")]


@pytest.mark.parametrize("choice", [2, -3])
def test_a_route_out_of_range_names_the_node(choice):
    with pytest.raises(ImagegraphError, match=f"node 'a': routed to child {choice} of 2") as caught:
        run(node("a", "ROUTER", leaf("b"), leaf("c")), call(a=lambda message: choice))
    assert caught.value.node == "a"


def test_children_run_at_once():
    children = [leaf(name) for name in "bcde"]
    functions = {name: wait(0.2, name) for name in "bcde"}
    start = time.monotonic()
    run(node("a", "COMBINER", *children), call(a=join, **functions))
    assert time.monotonic() - start < 0.5


def test_a_failure_cancels_the_siblings_at_once():
    cancelled: list[str] = []
    functions = {
        "b": wait(9, "b", cancelled=cancelled),
        "c": wait(0.02, "c", InvalidInput("steps", "at least 1", 0)),
        "d": wait(9, "d", cancelled=cancelled),
    }
    start = time.monotonic()
    with pytest.raises(InvalidInput, match="node 'c': steps"):
        run(
            node("a", "COMBINER", node("e", "MODEL", leaf("b")), leaf("c"), leaf("d")),
            call(a=join, **functions),
        )
    assert sorted(cancelled) == ["b", "d"]
    assert time.monotonic() - start < 2


def test_of_several_failures_the_first_in_the_document_counts():
    def fail(message: Message) -> Message:
        raise Unavailable("gone")

    with pytest.raises(Unavailable, match="node 'b': gone"):
        run(node("a", "COMBINER", leaf("b"), leaf("c")), call(b=fail, c=fail))


@pytest.mark.parametrize(
    ("graph", "name"),
    [(leaf("a"), "a"), (node("b", "COMBINER", leaf("a")), "a"), (node("a", "COMBINER", leaf("b")), "a")],
)
def test_a_foreign_error_becomes_one_of_ours_with_the_node(graph, name):
    def fail(argument: Any) -> Any:
        raise ZeroDivisionError("oh")

    with pytest.raises(ImagegraphError, match=f"node '{name}': ZeroDivisionError: oh") as caught:
        run(graph, call(a=fail))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_the_deadline_names_the_running_nodes_and_cancels_them():
    cancelled: list[str] = []
    functions = {name: wait(9, name, cancelled=cancelled) for name in "bc"}
    graph = node("a", "COMBINER", leaf("b"), leaf("c"), leaf("d"))
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="out of time in node b, c$"):
        run(graph, call(a=join, **functions), Context(deadline=start + 0.05))
    assert sorted(cancelled) == ["b", "c"]
    assert time.monotonic() - start < 2


def test_a_deadline_in_the_past_asks_no_node():
    fake = call()
    with pytest.raises(DeadlineExceeded):
        run(leaf("a"), fake, Context(deadline=time.monotonic() - 1))
    assert fake.calls == []


def test_a_timeout_of_a_node_is_not_the_graphs_deadline():
    def fail(message: Message) -> Message:
        raise TimeoutError("too slow")

    with pytest.raises(ImagegraphError, match="node 'a': TimeoutError: too slow") as caught:
        run(leaf("a"), call(a=fail), Context(deadline=time.monotonic() + 60))
    assert not isinstance(caught.value, DeadlineExceeded)


def test_cancelling_the_run_cancels_the_calls():
    cancelled: list[str] = []

    async def main() -> None:
        functions = {name: wait(9, name, cancelled=cancelled) for name in "bc"}
        graph = tree(node("a", "COMBINER", leaf("b"), leaf("c")))
        task = asyncio.create_task(walk.run(graph, Message({"path": ""}), call(a=join, **functions)))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert sorted(cancelled) == ["b", "c"]


def test_events_tell_what_happens_and_how_long_it_takes():
    heard: list[Event] = []
    context = Context(listener=heard.append)
    run(node("a", "COMBINER", leaf("b")), call(a=join, b=wait(0.05, "b")), context)
    assert [(event.node.name, event.method, event.kind) for event in heard] == [
        ("b", "infer", "started"),
        ("b", "infer", "finished"),
        ("a", "aggregate", "started"),
        ("a", "aggregate", "finished"),
    ]
    assert heard == context.events
    assert heard[1].message.values == {"path": "b"}
    assert 0.04 < context.timings["b"] < 1
    assert context.timings["a"] < 0.04


def test_a_failed_node_is_an_event_and_has_no_timing():
    context = Context()
    with pytest.raises(ImagegraphError):
        run(node("b", "COMBINER", leaf("a")), call(a=wait(0, error=Unavailable("x"))), context)
    assert [(event.node.name, event.kind) for event in context.events] == [("a", "started"), ("a", "failed")]
    assert context.timings == {}


def test_progress_is_told_but_not_kept():
    heard: list[Event] = []
    context = Context(listener=heard.append)
    context.tell(Event(tree(leaf("a")), "infer", "progress", done=1, total=2))
    assert len(heard) == 1
    assert context.events == []


def test_every_request_has_its_own_id():
    assert Context().id != Context().id
