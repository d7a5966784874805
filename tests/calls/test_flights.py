"""Single flights: whose deadline counts, who hears of it, and when it is given up."""

import asyncio
import time
from typing import Any

import pytest

from imagegraph.calls.cached import CachedCall
from imagegraph.calls.store import MemoryStore
from imagegraph.engine import walk
from imagegraph.engine.context import Context, Event, Turn
from imagegraph.errors import DeadlineExceeded, InvalidInput
from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.signature import Signature
from imagegraph.spec.graph import Node
from tests import tiny
from tests.fake_call import FakeCall

# Two nodes of one entry: equal inputs are equal work.
ONE, OTHER = Node(name="one", entry="double"), Node(name="other", entry="double")
PICTURE = Image(b"so far")


class Doubler(FakeCall):
    """Doubles a number in steps of 10 ms, and tells of each; counts what was begun, ended and cancelled."""

    def __init__(self, steps: int, error: Exception | None = None) -> None:
        super().__init__({})
        self.steps, self.error = steps, error
        self.begun = self.ended = self.cancelled = 0
        self.contexts: list[Context] = []

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        self.begun += 1
        self.contexts.append(context)
        try:
            for step in range(self.steps):
                await asyncio.sleep(0.01)
                told = Event(node, "infer", "progress", done=step, total=self.steps, preview=lambda: PICTURE)
                context.tell(told)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        context.turns[node.name] = Turn(0.5, 3)
        if self.error:
            raise self.error
        self.ended += 1
        return message.with_values({"doubled": 2 * message.values["number"]}, node.name, "1")


def cached(call: Doubler) -> CachedCall:
    async def versions(node: Node) -> str:
        return "1"

    return CachedCall(call, MemoryStore(10**6), {"double": Signature.of(tiny.Double)}, versions)


async def ask(call: CachedCall, context: Context | None = None, node: Node = ONE) -> Any:
    answer = await walk.run(node, Message({"number": 2}), call, context)
    return answer.values["doubled"].data[0]


def within(seconds: float) -> Context:
    return Context(deadline=time.monotonic() + seconds)


@pytest.mark.parametrize("later", ["a later deadline", "none"])
def test_the_latest_deadline_of_those_who_wait_counts(later: str) -> None:
    call = Doubler(30)

    async def main() -> None:
        served = cached(call)
        first = asyncio.create_task(ask(served, within(0.1)))
        await asyncio.sleep(0.02)
        second = asyncio.create_task(ask(served, within(60) if later == "a later deadline" else None))
        with pytest.raises(DeadlineExceeded, match="out of time in node one"):
            await first
        assert await second == 4

    asyncio.run(main())
    assert (call.begun, call.ended) == (1, 1)


def test_who_joins_with_less_time_leaves_alone() -> None:
    call = Doubler(30)

    async def main() -> None:
        served = cached(call)
        first = asyncio.create_task(ask(served, within(60)))
        await asyncio.sleep(0.02)
        with pytest.raises(DeadlineExceeded):
            await ask(served, within(0.05))
        assert await first == 4

    asyncio.run(main())
    assert (call.begun, call.ended) == (1, 1)


def test_it_is_cancelled_when_the_time_of_all_is_over() -> None:
    call = Doubler(1000)

    async def main() -> None:
        served = cached(call)
        asked = (ask(served, within(seconds)) for seconds in (0.05, 0.1))
        failed = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in failed] == [DeadlineExceeded] * 2
        await asyncio.sleep(0.02)

    asyncio.run(main())
    assert (call.begun, call.cancelled) == (1, 1)


def test_progress_previews_and_turns_reach_everybody_by_the_name_of_their_own_node() -> None:
    call = Doubler(10)

    async def main() -> None:
        served = cached(call)
        heard: dict[str, list[Event]] = {"one": [], "other": []}
        contexts = {name: Context(listener=heard[name].append) for name in heard}
        first = asyncio.create_task(ask(served))  # nobody watches this one
        await asyncio.sleep(0.02)
        watching = [ask(served, contexts[node.name], node) for node in (ONE, OTHER)]
        assert await asyncio.gather(first, *watching) == [4, 4, 4]
        for name, events in heard.items():
            steps = [event for event in events if event.kind == "progress"]
            assert len(steps) >= 5
            assert {event.node.name for event in events} == {name}
            assert steps[-1].preview is not None
            assert steps[-1].preview() == PICTURE
            assert contexts[name].turns == {name: Turn(0.5, 3)}
            assert contexts[name].cache_hits == [name]

    asyncio.run(main())
    assert call.begun == 1


def test_who_joins_one_that_is_being_cancelled_begins_anew() -> None:
    call = Doubler(5)

    async def main() -> None:
        served = cached(call)
        first = asyncio.create_task(ask(served))
        await asyncio.sleep(0.02)
        first.cancel()
        await asyncio.sleep(0)  # it has left; what it had begun is still ending
        assert await ask(served) == 4
        assert first.cancelled()

    asyncio.run(main())
    assert (call.begun, call.cancelled, call.ended) == (2, 1, 1)


def test_an_error_meets_everybody_with_the_name_of_their_own_node() -> None:
    call = Doubler(3, InvalidInput("number", "an even number", 2))

    async def main() -> None:
        served = cached(call)
        failed = await asyncio.gather(
            ask(served), ask(served, node=OTHER), ask(served), return_exceptions=True
        )
        assert [str(one).split(":")[0] for one in failed] == ["node 'one'", "node 'other'", "node 'one'"]
        assert len({id(one) for one in failed}) == 3
        assert {type(one) for one in failed} == {InvalidInput}

    asyncio.run(main())
    assert call.begun == 1


def test_it_keeps_the_id_and_the_trace_of_who_began_it() -> None:
    call = Doubler(1)
    trace = {"traceparent": "00-1"}

    async def main() -> None:
        await ask(cached(call), Context(id="r-7", trace=trace, deadline=time.monotonic() + 60))

    asyncio.run(main())
    (context,) = call.contexts
    assert (context.id, context.trace, context.deadline) == ("r-7", trace, None)
