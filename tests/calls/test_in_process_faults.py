"""Components in this process that fail, hang or are left: who hears of it, and what stays."""

import asyncio
import contextlib
import functools
import gc
import inspect
import threading
import time
import weakref
from typing import Any

import pytest

from imagegraph.calls.in_process import LocalCall
from imagegraph.engine import walk
from imagegraph.engine.context import Context, Event
from imagegraph.errors import (
    DeadlineExceeded,
    ImagegraphError,
    InvalidInput,
    OutOfMemory,
    Overloaded,
)
from imagegraph.message import Message
from imagegraph.spec.graph import Node, NodeType
from tests import tiny
from tests.calls.running import local, run_local

A = Node(name="a", entry="double")


def throws(error: BaseException) -> Any:
    def throw(*_: Any, **__: Any) -> Any:
        raise error

    return throw


def planned(**attributes: Any) -> Any:
    """A plan whose attributes are properties: what they raise is raised when somebody looks."""
    made = {
        name: property(one if callable(one) else lambda _, one=one: one) for name, one in attributes.items()
    }
    return lambda number: type("Plan", (), {"key": 0, "cost": 1.0, **made})()


@pytest.mark.parametrize(
    ("method", "does", "words"),
    [
        ("plan", throws(StopIteration("x")), "StopIteration: x"),
        ("plan", throws(SystemExit(3)), "SystemExit: 3"),
        ("plan", throws(asyncio.CancelledError()), "CancelledError"),
        ("plan", throws(ValueError("x")), "ValueError: x"),
        ("plan", lambda number: None, "AttributeError"),
        ("plan", planned(key=[1]), r"the job's key: expected what can be hashed, got \[1\]"),
        ("plan", planned(key=throws(KeyboardInterrupt())), "KeyboardInterrupt"),
        ("plan", planned(cost=throws(StopIteration())), "StopIteration"),
        ("plan", planned(cost="2"), "the job's cost: expected a number from 0 up, got '2'"),
        ("plan", planned(cost=None), "the job's cost: expected a number"),
        ("plan", planned(cost=float("nan")), "the job's cost: expected a number"),
        ("plan", planned(cost=-1), "the job's cost: expected a number"),
        ("answer", throws(StopIteration()), "StopIteration"),
        ("answer", throws(GeneratorExit()), "GeneratorExit"),
        ("answer", throws(asyncio.CancelledError()), "CancelledError"),
        ("answer", lambda jobs: [], "expected one result for each of 1 requests, got 0"),
        ("answer", lambda jobs: [{}, {}], "expected one result for each of 1 requests, got 2"),
        ("answer", lambda jobs: {"doubled": 1}, "expected a list of results"),
        ("answer", lambda jobs: [None], "expected an answer of values by name, got None"),
        ("answer", lambda jobs: [{}], "expected an answer with doubled, got none"),
        ("answer", lambda jobs: [{"doubld": 1}], "expected an answer of doubled, got doubld"),
        ("answer", lambda jobs: ["doubled"], "expected an answer of values by name, got 'doubled'"),
    ],
)
def test_whatever_a_component_does_its_request_fails_and_the_next_one_is_answered(
    tmp_path, monkeypatch, method, does, words
):
    node = Node(name="hostile")

    async def main() -> None:
        with local(tmp_path, "hostile") as call:

            async def ask() -> Message:
                return await asyncio.wait_for(walk.run(node, Message({"number": 1}), call), 30)

            with monkeypatch.context() as patch:
                patch.setattr(tiny.Hostile, method, staticmethod(does))
                with pytest.raises(ImagegraphError, match=f"node 'hostile': {words}"):
                    await ask()
            assert (await ask()).values == {"doubled": 0}
            assert call.queued == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    "error", [StopIteration(), SystemExit(), KeyboardInterrupt(), asyncio.CancelledError()]
)
@pytest.mark.parametrize(
    ("entry", "method"), [("source", "predict"), ("unite", "aggregate"), ("double", "predict")]
)
def test_what_ends_threads_and_loops_ends_a_request_alone(tmp_path, monkeypatch, entry, method, error):
    kind = tiny.catalogue(tmp_path).entry(entry).kind
    type_ = NodeType.COMBINER if method == "aggregate" else NodeType.MODEL
    children = (Node(name="add"),) if method == "aggregate" else ()
    node = Node(name="n", entry=entry, type=type_, children=children)

    async def main() -> None:
        with local(tmp_path, entry, "add") as call:
            with monkeypatch.context() as patch:
                patch.setattr(kind, method, functools.wraps(getattr(kind, method))(throws(error)))
                with pytest.raises(ImagegraphError, match=f"node 'n': {type(error).__name__}"):
                    await walk.run(node, Message({"number": 1}), call)
            await walk.run(node, Message({"number": 1}), call)

    asyncio.run(main())


@pytest.mark.parametrize("answer", [None, 0.5, "1", [0]])
def test_a_router_answers_a_whole_number(tmp_path, monkeypatch, answer):
    root = tiny.catalogue(tmp_path).graph("ways").root
    route = tiny.BySize.route
    monkeypatch.setattr(tiny.BySize, "route", functools.wraps(route)(lambda self, number=0: answer))
    with pytest.raises(ImagegraphError, match="node 'by-size': TypeError"):
        run_local(tmp_path, root, {"number": 1})


def test_a_listener_that_raises_costs_its_own_request_at_most(tmp_path):
    def listener(event: Event) -> None:
        if event.kind == "progress":
            raise StopIteration

    async def main() -> None:
        with local(tmp_path, "together") as call:
            asyncio.get_running_loop().set_exception_handler(lambda loop, facts: None)
            node, contexts = Node(name="together"), (Context(listener=listener), Context())
            asked = [walk.run(node, Message({"number": 2}), call, context) for context in contexts]
            answers = await asyncio.wait_for(asyncio.gather(*asked), 30)
            assert [answer.values for answer in answers] == [{"doubled": 4}] * 2

    asyncio.run(main())


def test_the_queue_is_asked_before_a_request_is_prepared_and_who_leaves_gives_the_place_back(
    tmp_path, monkeypatch
):
    begun: list[int] = []
    go = threading.Event()

    def plan(number: int) -> tiny.Doubling:
        begun.append(number)
        assert go.wait(30)
        return tiny.Doubling(number)

    monkeypatch.setattr(tiny.Hostile, "plan", staticmethod(plan))

    async def main() -> None:
        with LocalCall(tiny.catalogue(tmp_path), "pocket", ["hostile"], "cpu", max_queue=3) as call:
            await call.ready()

            def ask(number: int) -> asyncio.Task[Message]:
                work = walk.run(Node(name="hostile"), Message({"number": number}), call)
                return asyncio.create_task(work)

            async def depth(number: int) -> None:
                async with asyncio.timeout(30):
                    while call.queued != number:
                        await asyncio.sleep(0.005)

            asked = [ask(number) for number in range(3)]
            await depth(3)
            with pytest.raises(Overloaded, match="the queue is full: 3 requests wait"):
                await ask(3)
            for task in asked[1:]:
                task.cancel()
            await depth(1)
            last = ask(4)
            await depth(2)
            go.set()
            assert (await last).values == (await asked[0]).values == {"doubled": 0}
            assert call.queued == 0

    asyncio.run(main())
    assert begun == [0, 4], "one by one, and nothing for those who left"


@pytest.mark.parametrize(("entry", "hangs"), [("stubborn", True), ("slow", False)])
def test_who_gives_no_sign_of_life_for_as_long_as_its_watchdog_allows_is_hung(tmp_path, entry, hangs):
    watched = "{pocket: {watchdog_s: 0.2}}"
    text = tiny.CATALOGUE.replace("in steps, bundles: {pocket: {}}", f"in steps, bundles: {watched}")
    added = f"  stubborn: {{component: tests.tiny:Stubborn, summary: Sleeps, bundles: {watched}}}\n"
    tiny.Slow.stopped.clear()

    async def main() -> None:
        catalogue = tiny.catalogue(tmp_path, text.replace("graphs:", added + "graphs:"))
        with LocalCall(catalogue, "pocket", [entry], "cpu") as call:
            await call.ready()
            assert call.hung == []
            context = Context(deadline=time.monotonic() + 0.8)
            asked = asyncio.create_task(walk.run(Node(name=entry), Message({}), call, context))
            await asyncio.sleep(0.6)
            assert call.hung == [entry] * hangs
            with pytest.raises(DeadlineExceeded):
                await asked
            async with asyncio.timeout(30):
                while call.hung:
                    await asyncio.sleep(0.01)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError("no\nweights"), "OSError: no weights; the log, or --debug, shows where"),
        (ImportError("No module named 'torch'"), "'torch'; install what it needs, such as imagegraph"),
        (StopIteration(), "StopIteration; the log"),
        (SystemExit(3), "SystemExit: 3; the log"),
        (ValueError("x" * 1000), "ValueError: x{288}; the log"),
    ],
)
def test_a_failure_to_load_is_one_sentence_and_the_log_shows_the_rest(
    tmp_path, monkeypatch, caplog, error, words
):
    monkeypatch.setattr(tiny.Broken, "load", throws(error))

    async def main() -> None:
        with (
            local(tmp_path, "broken") as call,
            pytest.raises(ImagegraphError, match=f"^node 'broken': 'broken' cannot be loaded: .*{words}"),
        ):
            await asyncio.wait_for(call.ready(), 30)

    asyncio.run(main())
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error]


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "", "CPU", "meta"])
def test_a_device_that_there_is_not_is_refused_before_anything_loads(tmp_path, device):
    with pytest.raises(InvalidInput, match="device: expected auto, cpu, cuda, cuda:N or mps, got"):
        LocalCall(tiny.catalogue(tmp_path), "pocket", ["double"], device)


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
@pytest.mark.parametrize("entry", ["faulty", "together"])
def test_the_log_says_where_a_component_failed_and_the_answer_does_not(
    tmp_path, monkeypatch, caplog, entry, level
):
    original = tiny.Together.predict_batch
    monkeypatch.setattr(
        tiny.Together, "predict_batch", functools.wraps(original)(lambda *_: tiny.Faulty().fail())
    )
    caplog.set_level(level, "imagegraph")
    with pytest.raises(ImagegraphError) as caught:
        run_local(tmp_path, Node(name="a", entry=entry), {"number": 1})
    assert str(caught.value) == "node 'a': ZeroDivisionError: integer division or modulo by zero"
    (record,) = (one for one in caplog.records if one.name == "imagegraph.calls.in_process")
    line = inspect.getsourcelines(tiny.Faulty.fail)[1] + 1
    assert record.getMessage() == f"{caught.value}, at {tiny.__file__}:{line}"
    assert bool(record.exc_info) == (level == "DEBUG")


@pytest.mark.parametrize(("smoke", "end"), [("", "untried"), ("smoke: {number: 1}, ", "works again")])
def test_who_ran_out_of_memory_works_again_only_if_that_was_tried(tmp_path, monkeypatch, caplog, smoke, end):
    caplog.set_level("INFO", "imagegraph")
    text = tiny.CATALOGUE.replace("what it is told, ", f"what it is told, {smoke}")
    node = Node(name="hostile")

    async def main() -> None:
        with LocalCall(tiny.catalogue(tmp_path, text), "pocket", ["hostile"], "cpu") as call:
            with monkeypatch.context() as patch:
                patch.setattr(tiny.Hostile, "answer", staticmethod(throws(MemoryError())))
                with pytest.raises(OutOfMemory):
                    await walk.run(node, Message({"number": 1}), call)
            assert call.exhausted == ["hostile"]
            async with asyncio.timeout(30):
                while call.exhausted:
                    await asyncio.sleep(0.01)
            assert (await walk.run(node, Message({"number": 1}), call)).values == {"doubled": 0}

    asyncio.run(main())
    said = [record.getMessage() for record in caplog.records]
    assert [one for one in ("untried", "works again") if one in " ".join(said)] == [end]


@pytest.mark.parametrize("end", ["fault", "refusal", "count", "late", "left", "full", "child"])
def test_a_request_that_fails_leaves_nothing_to_the_garbage_collector(tmp_path, monkeypatch, end):
    entry = {"fault": "faulty", "refusal": "double", "count": "hostile", "child": "faulty"}.get(end, "slow")
    root = Node(name=entry)
    if end == "child":
        root = Node(name="unite", type=NodeType.COMBINER, children=(root, Node(name="source")))
    monkeypatch.setattr(tiny.Hostile, "answer", staticmethod(lambda jobs: []))

    class Body:
        """As large as a client likes."""

    async def ask(call: LocalCall, values: dict[str, Any]) -> None:
        context = Context(deadline=time.monotonic() + (0.05 if end in ("late", "full") else 30))
        with contextlib.suppress(ImagegraphError):
            await walk.run(root, Message(values), call, context)

    async def main() -> None:
        entries = [node.entry for node in root.walk()]
        with LocalCall(tiny.catalogue(tmp_path), "pocket", entries, "cpu", max_queue=1) as call:
            await call.ready()
            bodies = []
            gc.collect()
            gc.disable()
            for _ in range(3):
                body = Body()
                bodies.append(weakref.ref(body))
                values = {"number": "x" if end == "refusal" else 1, "body": body}
                del body
                asked = [asyncio.create_task(ask(call, values)) for _ in range(3 if end == "full" else 1)]
                if end == "left":
                    await asyncio.sleep(0.05)
                    asked[0].cancel()
                await asyncio.gather(*asked, return_exceptions=True)
                del values, asked
            async with asyncio.timeout(10):
                while any(body() for body in bodies):  # a component may hear of its end a step later
                    await asyncio.sleep(0.01)

    try:
        asyncio.run(main())
    finally:
        gc.enable()
