"""A graph that a server has."""

from __future__ import annotations

import contextlib
import weakref
from contextlib import aclosing

from imagegraph.answer import Answer
from imagegraph.client import AsyncClient, Step
from imagegraph.engine.background import background
from imagegraph.errors import Expired
from imagegraph.image import Image
from imagegraph.library.graph import Asked, Graph
from imagegraph.library.stream import Event, Tell
from imagegraph.model import Model

CLOSE_S = 1.0


class ServedGraph(Graph):
    """A graph that a server has."""

    def __init__(self, url: str, model: str, predictor: str | None = None) -> None:
        """Asks what it takes and answers.

        Args:
            predictor: which version of the graph shall answer.

        Raises:
            ImagegraphError: nothing answers there, or it has no such graph.
        """
        self._client = AsyncClient(url)
        self._predictor = predictor
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
            raise self._closed()
        predictor, timeout_s, previews = self._predictor, asked.timeout_s, asked.previews
        if tell is None:
            return await self._client.infer(
                self.name, predictor=predictor, timeout_s=timeout_s, **asked.values
            )
        steps = self._client.stream(
            self.name, predictor=predictor, timeout_s=timeout_s, previews=previews, **asked.values
        )
        async with aclosing(steps):
            async for one in steps:
                if isinstance(one, Answer):
                    return one
                tell(await self._event(one, previews), None)
        raise AssertionError("a stream ends with an answer")

    async def _event(self, step: Step, previews: bool) -> Event:
        preview = Image(await self._client.fetch(step.preview)) if step.preview else None
        outputs = {name: await self._pictures(name, step) for name in step.outputs if previews}
        about = step.kind, step.node, step.done, step.total, step.seconds, step.cached, preview
        return Event(*about, {name: value for name, value in outputs.items() if value is not None})

    async def _pictures(self, name: str, step: Step) -> Image | list[Image] | None:
        """Fetches the pictures that a node wrote; None where it wrote something else, or they are over."""
        references = step.outputs[name]
        if not references or not all(one.content_type.startswith("image/") for one in references):
            return None
        try:
            images = [Image(await self._client.fetch(one)) for one in references]
        except Expired:
            return None
        return images if self._model.is_list(name, len(images)) else images[0]


def _leave(client: AsyncClient) -> None:
    """Closes the connections, also at the end of the process, which would end before the loop has done so."""
    closing = background.submit(client.__aexit__(None, None, None))
    if not background.is_here:
        with contextlib.suppress(TimeoutError):
            closing.result(CLOSE_S)
