"""Cached calls: what counts as the same, who computes, and what is kept."""

import asyncio
from typing import Any, NotRequired, TypedDict

import numpy as np
import pytest

from imagegraph.calls.cached import BelievedVersions, CachedCall
from imagegraph.calls.store import MemoryStore
from imagegraph.component import Component
from imagegraph.engine import walk
from imagegraph.engine.context import Context
from imagegraph.errors import ImagegraphError, InvalidInput
from imagegraph.message import Message
from imagegraph.signature import Signature
from imagegraph.spec.graph import Node, NodeType
from imagegraph.wire import tensors
from tests.fake_call import FakeCall


class Sum(TypedDict):
    total: int


class Add(Component):
    def predict(self, a: int, b: int = 0) -> Sum: ...


NODE = Node(name="add", entry="add")
SIGNATURES = {"add": Signature.of(Add)}


class Adder:
    """Counts how often it is asked; can be slow and can fail. Names a version, or none."""

    def __init__(self, seconds: float = 0.0, fail: bool = False, version: str = "1") -> None:
        self.calls = 0
        self.finished = 0
        self.seconds, self.fail, self.version = seconds, fail, version

    async def __call__(self, message: Message) -> Message:
        self.calls += 1
        await asyncio.sleep(self.seconds)
        if self.fail:
            raise ImagegraphError("broken")
        self.finished += 1
        a, b = (int(np.ravel(tensors.of(message.values.get(name, 0)).data)[0]) for name in ("a", "b"))
        return message.with_values({"total": a + b}, "add", self.version)


def cached(adder: Adder, store: MemoryStore | None = None) -> CachedCall:
    async def versions(node: Node) -> str:
        return adder.version

    return CachedCall(FakeCall({"add": adder}), store or MemoryStore(10**6), SIGNATURES, versions)


async def ask(call: CachedCall, node: Node = NODE, **values: Any) -> tuple[Message, Context]:
    context = Context()
    return await walk.run(node, Message(values), call, context), context


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


def test_another_version_makes_another_result() -> None:
    adders = [Adder(version="1"), Adder(version="2"), Adder(version="1")]

    async def main() -> None:
        store = MemoryStore(10**6)
        for adder in adders:
            await ask(cached(adder, store), a=1)

    asyncio.run(main())
    assert [adder.calls for adder in adders] == [1, 1, 0]


def test_an_answer_is_kept_under_the_version_that_it_names_itself() -> None:
    """While pods are replaced, another one may answer than was asked for its version."""
    old, new = Adder(version="1"), Adder(version="2")

    async def main() -> None:
        store = MemoryStore(10**6)

        async def versions(node: Node) -> str:
            return "1"

        await ask(CachedCall(FakeCall({"add": new}), store, SIGNATURES, versions), a=1)
        await ask(cached(old, store), a=1)
        await ask(cached(new, store), a=1)

    asyncio.run(main())
    assert (old.calls, new.calls) == (1, 1)


@pytest.mark.parametrize("opt_out", ["by the request", "by the node"])
def test_there_are_two_ways_out(opt_out: str) -> None:
    adder = Adder(version="1" if opt_out == "by the request" else "")

    async def main() -> None:
        call = cached(adder)
        parameters = {"cache": False} if opt_out == "by the request" else {}
        for _ in range(2):
            await walk.run(NODE, Message({"a": 1}, parameters=parameters), call, Context())

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


class Echoed(TypedDict):
    a: NotRequired[int]
    total: int


class Tell(Component):
    """May write what it does not read."""

    def predict(self, b: int) -> Echoed: ...


def test_what_only_passes_by_is_not_kept_under_the_name_of_an_output() -> None:
    def tell(message: Message) -> Message:
        return message.with_values({**message.values, "total": 7}, "tell", "1")

    async def versions(node: Node) -> str:
        return "1"

    async def main() -> None:
        node = Node(name="tell", type=NodeType.TRANSFORMER)
        signatures = {"tell": Signature.of(Tell)}
        call = CachedCall(FakeCall({"tell": tell}), MemoryStore(10**6), signatures, versions)
        await ask(call, node, a=1, b=1)
        answer, context = await ask(call, node, a=2, b=1)
        assert (answer.values["a"], context.cache_hits) == (2, ["tell"])

    asyncio.run(main())


@pytest.mark.parametrize("value", [2**63, "x", None, True, [1], {"a": 1}, float("nan")])
def test_what_the_node_would_refuse_is_refused_by_the_node_itself(value: Any) -> None:
    def refuse(message: Message) -> Message:
        arguments = SIGNATURES["add"].bind(message.values)
        raise AssertionError(arguments)

    async def main() -> None:
        async def versions(node: Node) -> str:
            return "1"

        node = FakeCall({"add": refuse})
        for call in (node, CachedCall(node, MemoryStore(100), SIGNATURES, versions)):
            with pytest.raises(InvalidInput, match="node 'add': a: expected") as refusal:
                await ask(call, a=value)
            assert refusal.value.status == 400

    asyncio.run(main())


@pytest.mark.parametrize("broken", [b"", b"\0", b"\xff" * 40, b"\0\0\0\0{}", b"\5\0\0\0nulls"])
def test_a_broken_value_in_the_store_is_a_miss(broken: bytes) -> None:
    class Breaking(MemoryStore):
        async def get(self, key: str) -> bytes | None:
            return broken if await super().get(key) else None

    adder = Adder()

    async def main() -> None:
        call = cached(adder, Breaking(10**6))
        for _ in range(2):
            answer, context = await ask(call, a=1)
            assert (total(answer), context.cache_hits) == (1, [])

    asyncio.run(main())
    assert adder.calls == 2


def test_pods_are_asked_for_their_versions_together_and_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("imagegraph.calls.cached.BELIEVED_S", 0.05)
    asked = 0

    async def ask_pod(node: Node) -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.01)
        return f"{asked}"

    async def main() -> None:
        believed = BelievedVersions(ask_pod)
        assert set(await asyncio.gather(*(believed(NODE) for _ in range(5)))) == {"1"}
        assert await believed(NODE) == "1"
        await asyncio.sleep(0.06)
        assert await believed(NODE) == "2"

    asyncio.run(main())
