"""A graph in this process."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from imagegraph.answer import Answer
from imagegraph.engine import context as engine
from imagegraph.engine.background import background
from imagegraph.engine.context import Context
from imagegraph.image import Image
from imagegraph.library.graph import Asked, Graph
from imagegraph.library.stream import Event, Tell
from imagegraph.message import Message
from imagegraph.model import Model, plain
from imagegraph.run import save
from imagegraph.run.destination import Replaced
from imagegraph.run.embedded import Embedded
from imagegraph.spec.catalogue import entry_names
from imagegraph.spec.interface import Interface
from imagegraph.wire import tensors

LOOK_S = 0.1  # between looks at what loads


class LocalGraph(Graph):
    """A graph in this process."""

    _whole = True  # what is broken shall not wait for weights

    def __init__(self, name: str, embedded: Embedded) -> None:
        """Takes the engine that runs it; closes it in the end."""
        interface = Interface.of_graph(embedded.root, embedded.bundle, embedded.catalogue)
        super().__init__(name, Model.read({"name": name, **interface.describe()}))
        self._embedded: Embedded | None = embedded
        self._signatures = embedded.catalogue.signatures(embedded.root, embedded.bundle)
        self._written = frozenset(port for one in self._signatures.values() for port in one.outputs)
        self._end = weakref.finalize(self, _close, embedded)
        self._end.atexit = False

    def close(self) -> None:
        """Lets go of the models that no other graph uses."""
        self._embedded = None
        self._end()

    async def _answer(self, asked: Asked, tell: Tell | None) -> Answer:
        embedded = self._embedded
        if embedded is None:
            raise self._closed()
        deadline = None if asked.timeout_s is None else time.monotonic() + asked.timeout_s
        context = Context(deadline=deadline)
        loading = None
        if tell:
            context.listener = partial(self._tell, tell, context, asked.previews)
            loading = asyncio.create_task(_watch_loading(embedded, tell))
        try:
            message = await embedded.run(asked.values, context)
        finally:
            if loading:
                loading.cancel()
        return self._made(message, asked.values, context)

    def _tell(self, tell: Tell, context: Context, previews: bool, event: engine.Event) -> None:
        """Tells of an event of the engine."""
        node = event.node
        cached = event.kind == "finished" and node.name in context.cache_hits
        values = event.message.values if event.message else {}
        outputs = {
            name: self._as_sent(name, values[name])
            for name in self._signatures[node.entry].outputs
            if values.get(name) is not None
        }
        turn = context.turns.get(node.name) if event.kind == "finished" and not cached else None
        about = event.done, event.total, event.seconds, cached, None, outputs, turn.batch if turn else 0
        told = Event(event.kind, node.name, *about)
        tell(told, event.preview if previews else None)

    def _made(self, message: Message, request: Mapping[str, Any], context: Context) -> Answer:
        """Makes an answer, of the values that a server would send, in the same types."""
        embedded = self._embedded
        kept = {
            name: self._as_sent(name, value)
            for name, value in message.values.items()
            if value is not None and (name in self._written or name not in request)
        }

        def write(folder: Path, replaced: Replaced) -> list[Path]:
            assert embedded
            return save.save(folder, self.name, embedded, request, message, context.timings, replaced)

        parameters = {"cache_hits": ",".join(context.cache_hits)} if context.cache_hits else {}
        return Answer(kept, message.id, parameters, context.timings, self._model.facts, request, write)

    def _as_sent(self, name: str, value: Any) -> Any:
        items = value if isinstance(value, list) else [value]
        if items and all(isinstance(one, Image) for one in items):
            return value
        try:
            return plain(tensors.of(value), self._model.tensors.get(name))
        except TypeError:  # it has no form on the wire, and is not sent anywhere here
            return value


async def _watch_loading(embedded: Embedded, tell: Tell) -> None:
    """Tells which component loads, each once."""
    names = entry_names(embedded.root)
    told = ""
    while left := [name for name in names if name not in embedded.load_seconds]:
        if left[0] != told:
            told = left[0]
            tell(Event("loading", told, len(names) - len(left), len(names)), None)
        await asyncio.sleep(LOOK_S)


def _close(embedded: Embedded) -> None:
    """Closes an engine on the loop that its tasks are on."""

    async def close() -> None:
        embedded.close()

    background.submit(close())
