"""Components in this process."""

import asyncio
import functools
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from imagegraph import component
from imagegraph.calls.in_process import LocalCall
from imagegraph.engine import walk
from imagegraph.engine.context import Context, Event
from imagegraph.errors import (
    DeadlineExceeded,
    ImagegraphError,
    InvalidInput,
    MissingWeights,
    UnknownName,
    Unsupported,
)
from imagegraph.message import Message
from imagegraph.spec.graph import Node, NodeType
from imagegraph.wire import tensors
from tests import tiny
from tests.calls.running import local, run_local

A = Node(name="a", entry="double")


def test_a_model_answers_its_own_values_only(tmp_path):
    answer = run_local(tmp_path, A, {"number": 2, "else": 1})
    assert (answer.values, answer.id, answer.origin) == ({"doubled": 4}, "7", "a")


@pytest.mark.parametrize("type_", [NodeType.TRANSFORMER, NodeType.OUTPUT_TRANSFORMER])
def test_other_nodes_pass_on_what_they_did_not_write(tmp_path, type_):
    node = Node(name="a", entry="add", type=type_)
    assert run_local(tmp_path, node, {"number": 2, "else": 1}).values == {"number": 12, "else": 1}


def test_the_entrys_defaults_stand_in(tmp_path):
    assert run_local(tmp_path, Node(name="add"), {}).values == {"number": 15}


@pytest.mark.parametrize(("entry", "elsewhere"), [("double", True), ("source", False), ("unite", False)])
def test_only_what_computes_next_to_nothing_stays_on_the_loop(tmp_path, entry, elsewhere, monkeypatch):
    threads: list[bool] = []
    kind = tiny.catalogue(tmp_path).entry(entry).kind
    method = "aggregate" if issubclass(kind, component.Combiner) else "predict"
    original = getattr(kind, method)

    def look(*arguments: Any, **ports: Any) -> Any:
        threads.append(threading.current_thread() is not threading.main_thread())
        return original(*arguments, **ports)

    monkeypatch.setattr(kind, method, functools.wraps(original)(look))
    batches: list[int] = []

    async def ask() -> Context:
        context, message, node = Context(), Message({"number": 1}), Node(name="n", entry=entry)
        if method == "aggregate":
            await call.aggregate(node, [message], context)
        else:
            await call.infer(node, message, context)
        return context

    with LocalCall(
        tiny.catalogue(tmp_path), "pocket", [entry], "cpu", observe=lambda batch: batches.append(batch.size)
    ) as call:
        context = asyncio.run(ask())
    assert threads == [elsewhere]
    assert batches == [1] * elsewhere
    assert ("n" in context.turns) == elsewhere


def test_a_graph_of_components_runs(tmp_path):
    catalogue = tiny.catalogue(tmp_path)
    answer = run_local(tmp_path, catalogue.graph("sum").root, {"number": 1, "else": "kept"})
    assert answer.values == {"number": 13, "doubled": 2, "else": "kept"}
    ways = catalogue.graph("ways").root
    assert run_local(tmp_path, ways, {"number": 1}).values == {"number": 11}
    assert run_local(tmp_path, ways, {"number": 10}).values == {"doubled": 20}


def test_values_from_the_wire_are_read_and_checked(tmp_path):
    assert run_local(tmp_path, A, {"number": tensors.of(3)}).values == {"doubled": 6}
    with pytest.raises(InvalidInput, match="node 'a': number: expected a value, got 'nothing'"):
        run_local(tmp_path, A, {})


@pytest.mark.parametrize(
    ("type_", "entry", "message"),
    [
        ("COMBINER", "double", "cannot aggregate: 'double' is no Combiner"),
        ("ROUTER", "double", "cannot route: 'double' is no Router"),
        ("MODEL", "by-size", "cannot infer: 'by-size' chooses or unites"),
        ("TRANSFORMER", "unite", "cannot infer: 'unite' chooses or unites"),
    ],
)
def test_a_component_is_asked_only_for_what_it_can_do(tmp_path, type_, entry, message):
    root = Node(name="a", entry=entry, type=NodeType(type_), children=(Node(name="add"),))
    with pytest.raises(Unsupported, match=f"node 'a': {message}"):
        run_local(tmp_path, root, {"number": 1}, entries=[entry, "add"])


def test_a_fault_of_a_component_names_the_node(tmp_path):
    with pytest.raises(ImagegraphError, match="node 'a': ZeroDivisionError"):
        run_local(tmp_path, Node(name="a", entry="faulty"), {"number": 1})


def test_a_component_uses_others_only_where_the_graph_has_them(tmp_path):
    assert run_local(tmp_path, Node(name="user"), {"number": 1}).values == {"number": -1}
    for entries in (["double", "user"], ["user", "double"]):
        both = run_local(tmp_path, Node(name="user"), {"number": 1}, entries=entries)
        assert both.values == {"number": 2}, "whatever the graph's order"


def test_a_failure_to_load_meets_every_node_under_its_own_name(tmp_path):
    async def main() -> None:
        with local(tmp_path, "broken", "double") as call:
            for name in ("one", "other", "one"):
                with pytest.raises(MissingWeights, match=f"^node '{name}': no weights; pull them"):
                    await walk.run(Node(name=name, entry="broken"), Message({"number": 1}), call)
            assert (await walk.run(A, Message({"number": 1}), call)).values == {"doubled": 2}
            with pytest.raises(MissingWeights, match="node .broken.: no weights"):
                await call.ready()

    asyncio.run(main())


def test_an_unknown_bundle_fails_before_anything_loads(tmp_path):
    with pytest.raises(UnknownName, match="unknown bundle 'sdx'"):
        LocalCall(tiny.catalogue(tmp_path), "sdx", ["late"])


def test_a_request_given_up_while_it_loads_does_not_stop_the_loading(tmp_path):
    async def main() -> None:
        tiny.Late.go.clear()
        with local(tmp_path, "late", "double") as call:
            with pytest.raises(DeadlineExceeded, match="node a"):
                await walk.run(A, Message({"number": 1}), call, Context(deadline=time.monotonic() + 0.05))
            tiny.Late.go.set()
            await call.ready()
            assert (await walk.run(A, Message({"number": 1}), call)).values == {"doubled": 2}
            assert call.load_seconds["late"] > 0.04

    asyncio.run(main())


def test_progress_reaches_the_listener_and_cancelling_reaches_the_component(tmp_path):
    heard: list[Event] = []
    tiny.Slow.stopped.clear()

    async def main() -> None:
        with local(tmp_path, "slow") as call:
            work = walk.run(Node(name="slow"), Message({}), call, Context(listener=heard.append))
            task = asyncio.create_task(work)
            while len(heard) < 4:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(tiny.Slow.stopped.wait, 5)

    asyncio.run(main())
    assert [(event.kind, event.done, event.total) for event in heard[:3]] == [
        ("started", 0, 0),
        ("progress", 0, 1000),
        ("progress", 1, 1000),
    ]


def test_the_deadline_reaches_the_component(tmp_path, monkeypatch):
    tiny.Slow.stopped.clear()
    begun: list[Event] = []

    def later() -> float:
        """The component's clock: at its second step, the hour is over."""
        return time.monotonic() + (3600 if any(event.kind == "progress" for event in begun) else 0)

    monkeypatch.setattr(component, "time", SimpleNamespace(monotonic=later))
    context = Context(deadline=time.monotonic() + 3600, listener=begun.append)
    with pytest.raises(DeadlineExceeded, match="node 'slow': the request's time is over"):
        run_local(tmp_path, Node(name="slow"), {}, context)
    assert tiny.Slow.stopped.is_set()


def test_an_entry_does_one_thing_at_a_time_and_starves_no_other(tmp_path):
    tiny.Slow.stopped.clear()

    async def main() -> None:
        with local(tmp_path, "slow", "double") as call:
            slow = [asyncio.create_task(walk.run(Node(name="slow"), Message({}), call)) for _ in range(50)]
            await asyncio.sleep(0.05)
            answer = await asyncio.wait_for(walk.run(A, Message({"number": 1}), call), 5)
            assert answer.values == {"doubled": 2}
            for task in slow:
                task.cancel()
            await asyncio.gather(*slow, return_exceptions=True)

    asyncio.run(main())


def test_requests_that_wait_for_a_batched_component_are_computed_together(tmp_path):
    heard: list[Event] = []

    async def main() -> list[Any]:
        with local(tmp_path, "together") as call:
            node = Node(name="together")
            component = await call._loader.component("together")

            def ask(number: int) -> asyncio.Task[Message]:
                context = Context(listener=heard.append)
                return asyncio.create_task(walk.run(node, Message({"number": number}), call, context))

            first = ask(0)
            await asyncio.sleep(0.05)
            others = [ask(number) for number in (1, 2, 3, -1, 4, 6)]
            await asyncio.sleep(0.01)
            others[5].cancel()
            answers = await asyncio.gather(first, *others, return_exceptions=True)
            assert sorted(component.batches) == [[0], [1, 3], [2, 4]]
            return answers

    *right, wrong, four, cancelled = asyncio.run(main())
    assert [answer.values["doubled"] for answer in (*right, four)] == [0, 2, 4, 6, 8]
    assert str(wrong) == "node 'together': number: expected greater than or equal to 0, got -1"
    assert isinstance(cancelled, asyncio.CancelledError)
    assert sum(event.kind == "progress" for event in heard) == 5 * 10
