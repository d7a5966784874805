"""Cached calls: what counts as the same, who computes, and what is kept."""

import asyncio
from typing import Any, TypedDict

import numpy as np
import pytest

from imagegraph import engine, tensors
from imagegraph.cache import CachedCall, MemoryStore, Purity, content_hash
from imagegraph.calls import FakeCall
from imagegraph.component import Component, Signature
from imagegraph.engine import Context
from imagegraph.errors import ImagegraphError
from imagegraph.graph import Node, NodeType
from imagegraph.image import Image
from imagegraph.message import Message, Tensor


class Sum(TypedDict):
    total: int


class Add(Component):
    def predict(self, a: int, b: int = 0) -> Sum: ...


NODE = Node(name="add", entry="add")
PURITY = Purity(Signature.of(Add), "weights 1")


class Adder:
    """Counts how often it is asked; can be slow and can fail."""

    def __init__(self, seconds: float = 0.0, fail: bool = False) -> None:
        self.calls = 0
        self.finished = 0
        self.seconds, self.fail = seconds, fail

    async def __call__(self, message: Message) -> Message:
        self.calls += 1
        await asyncio.sleep(self.seconds)
        if self.fail:
            raise ImagegraphError("broken")
        self.finished += 1
        a, b = (int(np.ravel(tensors.of(message.values.get(name, 0)).data)[0]) for name in ("a", "b"))
        return message.with_values({"total": a + b}, "add")


def cached(adder: Adder, max_bytes: int = 10**6, purity: Purity | None = PURITY) -> CachedCall:
    return CachedCall(FakeCall({"add": adder}), MemoryStore(max_bytes), lambda node: purity)


async def ask(call: CachedCall, node: Node = NODE, **values: Any) -> tuple[Message, Context]:
    context = Context()
    return await engine.run(node, Message(values), call, context), context


def total(message: Message) -> int:
    return int(tensors.of(message.values["total"]).array()[0])


def test_an_equal_request_is_not_computed_again_and_says_so() -> None:
    adder = Adder()

    async def main() -> None:
        call = cached(adder)
        first, context = await ask(call, a=1, b=2)
        assert (total(first), context.cache_hits) == (3, [])
        again, context = await ask(call, a=1, b=2)
        assert (total(again), context.cache_hits) == (3, ["add"])
        other, _ = await ask(call, a=1, b=3)
        assert total(other) == 4

    asyncio.run(main())
    assert adder.calls == 2


def test_values_that_the_node_does_not_read_make_no_difference_and_are_passed_on() -> None:
    adder = Adder()
    node = Node(name="add", entry="add", type=NodeType.TRANSFORMER)

    async def main() -> None:
        call = cached(adder)
        await ask(call, node, a=1, prompt="red")
        answer, context = await ask(call, node, a=1, prompt="blue")
        assert context.cache_hits == ["add"]
        assert answer.values["prompt"] == "blue"
        assert total(answer) == 1

    asyncio.run(main())
    assert adder.calls == 1


def test_other_weights_make_another_result() -> None:
    adder = Adder()

    async def main() -> None:
        store = MemoryStore(10**6)
        for version in ("weights 1", "weights 2"):
            purity = Purity(PURITY.signature, version)
            call = CachedCall(FakeCall({"add": adder}), store, lambda node, purity=purity: purity)
            await ask(call, a=1)

    asyncio.run(main())
    assert adder.calls == 2


@pytest.mark.parametrize("opt_out", ["by the request", "by the node"])
def test_there_are_two_ways_out(opt_out: str) -> None:
    adder = Adder()

    async def main() -> None:
        call = cached(adder, purity=PURITY if opt_out == "by the request" else None)
        parameters = {"cache": False} if opt_out == "by the request" else {}
        for _ in range(2):
            await engine.run(NODE, Message({"a": 1}, parameters=parameters), call, Context())

    asyncio.run(main())
    assert adder.calls == 2


def test_equal_requests_at_once_are_computed_once() -> None:
    adder = Adder(0.05)

    async def main() -> None:
        call = cached(adder)
        answers = await asyncio.gather(*(ask(call, a=5) for _ in range(8)))
        assert {total(message) for message, _ in answers} == {5}
        assert sum(context.cache_hits == ["add"] for _, context in answers) == 7

    asyncio.run(main())
    assert adder.calls == 1


def test_who_gives_up_does_not_stop_the_others_but_the_last_one_does() -> None:
    adder = Adder(0.1)

    async def main() -> None:
        call = cached(adder)
        first, second = (asyncio.create_task(ask(call, a=5)) for _ in range(2))
        await asyncio.sleep(0.01)
        first.cancel()
        assert total((await second)[0]) == 5
        alone = asyncio.create_task(ask(call, a=6))
        await asyncio.sleep(0.01)
        alone.cancel()
        await asyncio.sleep(0.15)

    asyncio.run(main())
    assert (adder.calls, adder.finished) == (2, 1)


def test_failures_are_not_kept() -> None:
    adder = Adder(fail=True)

    async def main() -> None:
        call = cached(adder)
        for _ in range(2):
            with pytest.raises(ImagegraphError, match="broken"):
                await ask(call, a=1)

    asyncio.run(main())
    assert adder.calls == 2


def test_memory_holds_the_results_used_last_within_its_bytes() -> None:
    async def main() -> None:
        store = MemoryStore(30)
        for key in "abc":
            await store.put(key, b"0123456789")
        await store.get("a")
        await store.put("d", b"0123456789")
        assert [key for key in "abcd" if await store.get(key)] == ["a", "c", "d"]
        assert store.bytes == 30
        await store.put("huge", b"0" * 31)
        assert await store.get("huge") is None
        assert store.bytes == 30, "what is too large drives nothing out"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, Tensor("INT64", (1,), np.array([1])), True),
        ("red", Tensor("BYTES", (1,), [b"red"]), True),
        (Image(b"png"), Tensor("BYTES", (1,), [b"png"]), True),
        (1, 1.0, False),
        ([1, 2], [2, 1], False),
        (["a", "bc"], ["ab", "c"], False),
        (np.zeros((2, 3), np.float32), np.zeros((3, 2), np.float32), False),
    ],
)
def test_content_is_datatype_shape_and_values(one: Any, other: Any, equal: bool) -> None:
    assert (content_hash(one) == content_hash(other)) is equal
