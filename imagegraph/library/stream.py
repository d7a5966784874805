"""What happens while a graph answers, to whoever looks: in a loop or in none."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import queue
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from imagegraph.answer import Answer
from imagegraph.engine.background import background
from imagegraph.errors import ImagegraphError, describe
from imagegraph.image import Image


@dataclass(frozen=True)
class Event:
    """Something that happens while a graph answers.

    Attributes:
        kind: loading, started, progress, finished or failed.
        node: where; of "loading", the component.
        done, total: of "progress", steps; of "loading", components.
        seconds, cached: of "finished": how long it took, and whether its result was known.
        preview: of "progress", the picture so far, if it was asked for and the node can draw it.
        outputs: of "finished", what the node wrote; of a served graph its pictures, if previews were asked
            for.
        batch: of "finished", how many requests were computed together; 0 is not known.
    """

    kind: str
    node: str
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    cached: bool = False
    preview: Image | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    batch: int = 0


Draw = Callable[[], Image]
# Is told of an event, and of how its preview is drawn, if it has one.
Tell = Callable[[Event, Draw | None], None]


class Stream:
    """Events, and last the answer; the work begins when somebody looks, and ends when nobody does."""

    def __init__(self, answer: Callable[[Tell], Coroutine[Any, Any, Answer]]) -> None:
        """Takes what answers, told whom to tell."""
        self._answer = answer

    def __iter__(self) -> Generator[Event | Answer]:
        told: queue.SimpleQueue[tuple[Event, Draw | None] | None] = queue.SimpleQueue()
        future = self._begin(lambda *one: told.put(one), lambda: told.put(None))
        try:
            while one := told.get():
                yield _drawn(*one)
            yield future.result()
        finally:
            future.cancel()

    async def __aiter__(self) -> AsyncGenerator[Event | Answer]:
        told: asyncio.Queue[tuple[Event, Draw | None] | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def put(one: tuple[Event, Draw | None] | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it who looked
                loop.call_soon_threadsafe(told.put_nowait, one)

        future = self._begin(lambda *one: put(one), lambda: put(None))
        try:
            while one := await told.get():
                yield await asyncio.to_thread(_drawn, *one) if one[1] else one[0]
            yield future.result()
        finally:
            future.cancel()

    def _begin(self, tell: Tell, end: Callable[[], None]) -> concurrent.futures.Future[Answer]:
        future = background.submit(self._answer(tell))
        future.add_done_callback(lambda _: end())
        return future


def _drawn(event: Event, draw: Draw | None) -> Event:
    """Draws the preview of an event."""
    if draw is None:
        return event
    try:
        return replace(event, preview=draw())
    except Exception as error:
        raise ImagegraphError(f"no preview: {describe(error)}") from error
