"""Components in this process."""

import asyncio
import contextlib
import functools
import gc
import inspect
import threading
import time
import weakref
from pathlib import Path
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
    OutOfMemory,
    Overloaded,
    UnknownName,
    Unsupported,
)
from imagegraph.message import Message
from imagegraph.spec.catalogue import entry_names
from imagegraph.spec.graph import Node, NodeType
from imagegraph.wire import tensors
from tests import tiny

A = Node(name="a", entry="double")


@contextlib.contextmanager
def local(folder: Path, *entries: str):
    with LocalCall(tiny.catalogue(folder), "pocket", entries, "cpu") as call:
        yield call


def run_local(
    folder: Path, root: Node, values: dict[str, Any], context: Context | None = None, entries: Any = None
) -> Message:
    with local(folder, *(entries or entry_names(root))) as call:
        return asyncio.run(walk.run(root, Message(values, id="7"), call, context))


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
