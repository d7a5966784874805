"""Watching a request: what is told, what a slow watcher misses, and who stops the work."""

import asyncio
import hashlib
from contextlib import aclosing

import numpy as np
import pytest

from imagegraph.calls.store import MemoryStore
from imagegraph.engine import walk
from imagegraph.engine.context import Context, Event
from imagegraph.errors import Expired, ImagegraphError
from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.serve import watch
from imagegraph.serve.kept_values import References
from imagegraph.signature import Signature
from imagegraph.spec.graph import Node
from tests import tiny
from tests.fake_call import FakeCall

NODE = Node(name="double")
SIGNATURES = {"double": Signature.of(tiny.Double)}


def watched(function, references=None, previews=False, heartbeat_s=9.0):
    context = Context()

    def run():
        return walk.run(NODE, Message({"number": 2}), FakeCall({"double": function}), context)

    kept = references or References(MemoryStore(1000))
    options = {"previews": previews, "heartbeat_s": heartbeat_s}
    return context, watch.follow(run, context, SIGNATURES, kept, **options)


def test_steps_that_nobody_fetched_are_overtaken_by_later_ones():
    async def main():
        async def work(message):
            for step in range(100):
                context.tell(Event(NODE, "infer", "progress", done=step, total=100))
            return Message({"doubled": 4})

        context, happenings = watched(work)
        return [one async for one in happenings]

    *steps, answer = asyncio.run(main())
    assert [one.kind for one in steps] == ["started", "progress", "finished"]
    assert steps[1].facts == {"node": "double", "method": "infer", "done": 99, "total": 100}
    assert answer.values == {"doubled": 4}


def test_silence_has_a_heartbeat_and_leaving_stops_the_work():
    async def main():
        stopped = asyncio.Event()

        async def work(message):
            try:
                await asyncio.sleep(60)
            finally:
                stopped.set()

        _, happenings = watched(work, heartbeat_s=0.01)
        async with aclosing(happenings):
            kinds = [(await anext(happenings)).kind for _ in range(3)]
        assert stopped.is_set()
        return kinds

    assert asyncio.run(main()) == ["started", "heartbeat", "heartbeat"]


def test_an_error_ends_it():
    async def main():
        async def work(message):
            raise ImagegraphError("broken")

        _, happenings = watched(work)
        assert [(await anext(happenings)).kind for _ in range(2)] == ["started", "failed"]
        with pytest.raises(ImagegraphError, match="node 'double': broken"):
            await anext(happenings)

    asyncio.run(main())


def test_a_preview_that_cannot_be_drawn_is_left_out():
    async def main():
        async def work(message):
            context.tell(Event(NODE, "infer", "progress", done=1, total=2, preview=lambda: 1 / 0))
            return Message({"doubled": 4})

        context, happenings = watched(work, previews=True)
        return [one async for one in happenings][1]

    assert "preview" not in asyncio.run(main()).facts


def test_what_could_not_be_kept_has_no_references_that_lead_nowhere():
    class Gone(MemoryStore):
        async def put(self, key, value):
            return False

    async def main():
        for references, value in [
            (References(Gone(1000)), "red"),
            (References(MemoryStore(10)), "longer than ten bytes"),
            (References(MemoryStore(10), 10), ["four", "more", "bytes"]),
        ]:
            facts = await references.describe("prompt", value)
            assert (facts["datatype"], facts["references"]) == ("BYTES", [])

        async def work(message):
            context.tell(Event(NODE, "infer", "progress", done=1, total=2, preview=lambda: Image(b"so far")))
            return Message({"doubled": 4})

        context, happenings = watched(work, References(Gone(1000)), previews=True)
        _, step, finished, _ = [one async for one in happenings]
        assert step.facts == {"node": "double", "method": "infer", "done": 1, "total": 2}
        assert finished.facts["outputs"][0]["references"] == []

    asyncio.run(main())


def test_values_are_kept_by_content_within_bytes_and_time():
    async def main():
        references = References(MemoryStore(100, 0.1))
        facts = await references.describe("prompts", ["red", "blue", "red"])
        digests = [one["sha256"] for one in facts["references"]]
        assert digests[0] == digests[2] == hashlib.sha256(b"red").hexdigest()
        assert facts["shape"] == [3]
        assert await references.fetch(digests[1]) == b"blue"
        numbers = await references.describe("noise", np.arange(4, dtype=np.float32))
        (one,) = numbers["references"]
        assert (one["bytes"], numbers["datatype"]) == (16, "FP32")
        assert np.frombuffer(await references.fetch(one["sha256"]), "<f4").tolist() == [0, 1, 2, 3]
        await references.describe("large", b"x" * 95)
        with pytest.raises(Expired, match="no result"):
            await references.fetch(digests[0])
        await asyncio.sleep(0.15)
        with pytest.raises(Expired):
            await references.fetch(hashlib.sha256(b"x" * 95).hexdigest())

    asyncio.run(main())
