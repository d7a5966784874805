"""A graph that a server has."""

from __future__ import annotations

import contextlib
import weakref
from contextlib import aclosing

from imagegraph.answer import Answer
from imagegraph.client import AsyncClient, Step
from imagegraph.engine.background import background
from imagegraph.image import Image
from imagegraph.library.graph import Asked, Graph
from imagegraph.library.stream import Event, Tell
from imagegraph.model import Model

CLOSE_S = 1.0


class ServedGraph(Graph):
    """A graph that a server has."""

    def __init__(self, url: str, model: str) -> None:
        """Asks what it takes and answers.

        Raises:
            ImagegraphError: nothing answers there, or it has no such graph.
        """
        self._client = AsyncClient(url)
        background.run(self._client.__aenter__())
        self._end = weakref.finalize(self, _leave, self._client)
        try:
            super().__init__(model, Model.read(background.run(self._client.metadata(model))))
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        """Closes the connections."""
        self._end()

    async def _answer(self, asked: Asked, tell: Tell | None) -> Answer:
        if not self._end.alive:
            raise RuntimeError(f"'{self.name}' is closed")
        if tell is None:
            return await self._client.infer(self.name, timeout_s=asked.timeout_s, **asked.values)
        timeout_s, previews = asked.timeout_s, asked.previews
        steps = self._client.stream(self.name, timeout_s=timeout_s, previews=previews, **asked.values)
        async with aclosing(steps):
            async for one in steps:
                if isinstance(one, Answer):
                    return one
                tell(await self._event(one), None)
        raise AssertionError("a stream ends with an answer")

    async def _event(self, step: Step) -> Event:
        preview = Image(await self._client.fetch(step.preview)) if step.preview else None
        return Event(step.kind, step.node, step.done, step.total, step.seconds, step.cached, preview)


def _leave(client: AsyncClient) -> None:
    """Closes the connections, also at the end of the process, which would end before the loop has done so."""
    closing = background.submit(client.__aexit__(None, None, None))
    if not background.is_here:
        with contextlib.suppress(TimeoutError):
            closing.result(CLOSE_S)
