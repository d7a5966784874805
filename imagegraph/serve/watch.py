"""What happens in a graph while it answers: plain events for whoever watches, then the answer."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from imagegraph.engine.context import Context, Event
from imagegraph.errors import describe, forget_frames
from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.serve.kept_values import References
from imagegraph.signature import Signature
from imagegraph.wire import progress_frames

log = logging.getLogger("imagegraph.serve.watch")

HEARTBEAT_S = 15.0
PREVIEWS = "previews"  # the request's parameter that asks for them


@dataclass(frozen=True)
class Happening:
    """An event at a node, or a "heartbeat" after seconds without any.

    Attributes:
        kind: started, progress, finished, failed or heartbeat.
        facts: what JSON can say of it.
    """

    kind: str
    facts: Mapping[str, Any]


async def follow(
    run: Callable[[], Awaitable[Message]],
    context: Context,
    signatures: Mapping[str, Signature],
    references: References,
    *,
    previews: bool,
    heartbeat_s: float = HEARTBEAT_S,
) -> AsyncGenerator[Happening | Message]:
    """Yields what happens while `run` answers, and last its answer; whoever stops looking cancels it.

    A slow watcher misses steps of progress, and nothing else.

    Args:
        signatures: of every entry; they tell what a node wrote from what it passed on.
        references: keeps the values that nodes wrote, to be fetched while and after it runs.
        previews: whether progress comes with the picture so far, where a node can draw it.

    Raises:
        ImagegraphError: as `run`.
    """
    describe = _Describer(context, signatures, references, previews)
    async with aclosing(_listen(run, context, heartbeat_s)) as heard:
        async for one in heard:
            if isinstance(one, Event):
                yield await describe(one)
            else:
                yield one or Happening("heartbeat", {})


async def tell_steps(
    run: Callable[[], Awaitable[Message]], context: Context, *, previews: bool
) -> AsyncGenerator[Message]:
    """Yields each step of progress while `run` answers, and last its answer, for an engine before us.

    Whoever stops looking cancels it, and a slow one misses steps, as with `follow`. Pictures come with
    their step: the engine cannot fetch from this very process.

    Raises:
        ImagegraphError: as `run`.
    """
    async with aclosing(_listen(run, context, HEARTBEAT_S)) as heard:
        async for one in heard:
            if isinstance(one, Message):
                yield progress_frames.answer(one)
            elif one and one.kind == "progress":
                picture = await _draw(one.preview) if previews and one.preview else None
                yield progress_frames.step(one.done, one.total, picture.data if picture else None)


async def _listen(
    run: Callable[[], Awaitable[Message]], context: Context, heartbeat_s: float
) -> AsyncGenerator[Event | Message | None]:
    """Yields the events of `run`, None after seconds without any, and last its answer."""
    mailbox = _Mailbox()
    context.listener = mailbox.put
    task = asyncio.ensure_future(run())
    task.add_done_callback(lambda _: mailbox.close())
    try:
        while not mailbox.done:
            event = await mailbox.get(heartbeat_s)
            if event or not mailbox.done:
                yield event
        yield await task
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled() and (error := task.exception()):
                forget_frames(error)  # nobody hears of it any more


class _Mailbox:
    """Events in order. Of a node's steps that nobody has fetched yet, only the last is kept."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._changed = asyncio.Event()
        self._closed = False

    def put(self, event: Event) -> None:
        if event.kind == "progress":
            for index, waiting in enumerate(self._events):
                if waiting.kind == "progress" and waiting.node is event.node:
                    self._events[index] = event
                    return
        self._events.append(event)
        self._changed.set()

    def close(self) -> None:
        self._closed = True
        self._changed.set()

    @property
    def done(self) -> bool:
        return self._closed and not self._events

    async def get(self, timeout_s: float) -> Event | None:
        if not self._events and not self._closed:
            self._changed.clear()
            try:
                # Not `wait_for`, which in Python 3.11 loses a cancellation that comes with an event.
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
            except TimeoutError:
                return None
        return self._events.popleft() if self._events else None


class _Describer:
    """Makes plain facts of events."""

    def __init__(
        self, context: Context, signatures: Mapping[str, Signature], references: References, previews: bool
    ) -> None:
        self._context = context
        self._signatures = signatures
        self._references = references
        self._previews = previews

    async def __call__(self, event: Event) -> Happening:
        facts: dict[str, Any] = {"node": event.node.name, "method": event.method}
        if event.kind == "progress":
            facts |= {"done": event.done, "total": event.total}
            picture = await _draw(event.preview) if self._previews and event.preview else None
            preview = picture and await self._references.describe("preview", picture)
            if preview and preview["references"]:
                facts["preview"] = preview
        elif event.kind != "started":
            facts |= {"seconds": round(event.seconds, 6)}
        if event.kind == "finished":
            facts |= {
                "cached": event.node.name in self._context.cache_hits,
                "outputs": [
                    await self._references.describe(name, event.message.values[name])
                    for name in self._signatures[event.node.entry].outputs
                    if event.message and event.message.values.get(name) is not None
                ],
            }
        return Happening(event.kind, facts)


async def _draw(preview: Callable[[], Image]) -> Image | None:
    """Draws and encodes the picture so far, in a thread."""

    def draw() -> Image | None:
        try:
            picture = preview()
            _ = picture.data
        except BaseException as error:  # the answer matters, not its preview
            log.warning("no preview: %s", describe(error))
            return None
        return picture

    return await asyncio.to_thread(draw)
