"""What one process serves, the same behind every protocol: a node, or a whole graph by the engine."""

from __future__ import annotations

import asyncio
import copy
import functools
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import orjson

from imagegraph.calls.check import Check
from imagegraph.calls.readiness import Watch
from imagegraph.component import Combiner, Router
from imagegraph.engine import walk
from imagegraph.engine.context import Call
from imagegraph.errors import ImagegraphError, InvalidInput, Unavailable, UnknownName
from imagegraph.message import Message, merge
from imagegraph.observe.request_log import Entry, Journal
from imagegraph.serve.kept_values import References
from imagegraph.serve.under_way import Admitted, UnderWay
from imagegraph.serve.watch import PREVIEWS, Happening, follow, tell_steps
from imagegraph.signature import Signature
from imagegraph.spec.graph import Node
from imagegraph.spec.interface import Interface
from imagegraph.spec.traffic import share
from imagegraph.wire import progress_frames
from imagegraph.wire.v2_json import TIMINGS, encode_pictures

log = logging.getLogger("imagegraph.serve.service")

# Parameters that say something of an answer.
ANSWERED = frozenset({"cache_hits", "predictor", progress_frames.EVENT, "facts"})
MAX_COPIES = 16  # of requests at a shadow at once; a slow one shall not fill the memory


@dataclass(frozen=True)
class Side:
    """One version of what is served: a graph, the call that reaches its nodes, its share in percent.

    Attributes:
        check: refuses what can be known to fail.
        watch: knows whether its pods answer; None where that changes nothing.
    """

    name: str
    root: Node
    call: Call
    signatures: Mapping[str, Signature]
    check: Check
    traffic: int = 100
    shadow: bool = False
    watch: Watch | None = None

    @functools.cached_property
    def written(self) -> frozenset[str]:
        """The names of all values that its nodes may write."""
        return frozenset(name for signature in self.signatures.values() for name in signature.outputs)

    @property
    def up(self) -> bool:
        """Whether requests may be sent to it."""
        return self.watch is None or self.watch.up


class Service:
    """A node or a graph with its state: loading, ready, failed or draining."""

    def __init__(
        self,
        name: str,
        sides: Sequence[Side],
        interface: Interface,
        load: Callable[[], Awaitable[None]],
        close: Callable[[], Awaitable[None]],
        *,
        strict: bool,
        misspelt: Callable[[str, Collection[str]], bool] = lambda name, given: False,
        journal: Journal,
        references: References,
        role: type[Combiner] | type[Router] | None = None,
        trouble: Callable[[], str] = str,
        hang: Callable[[], str] = str,
        version: Callable[[], str] = str,
    ) -> None:
        """Takes what runs and how it gets ready.

        Args:
            sides: the versions among which requests are split; a shadow gets copies.
            load, close: get it ready; let go of what it holds.
            journal: where requests are written down.
            references: keeps the values of requests that are watched.
            trouble: says why requests are not welcome for a while, or nothing.
            hang: says what computes without a sign of life, or nothing.
            version: says which version answers, if one can be named: a graph has one for each node.
            strict: a graph of one's own: refuse inputs that nobody reads, and answer none as it came.
                A node in somebody's graph has to pass them on.
            misspelt: whether such a name, of a request with these names, is one of the node's own misspelt.
            role: what a single node does instead of `infer`, if anything.
        """
        self.name = name
        self.interface = interface
        self.role = role
        self.journal = journal
        self.references = references
        self._trouble = trouble
        self._hang = hang
        self._version = version
        self._sides = [side for side in sides if not side.shadow]
        self._shadows = [side for side in sides if side.shadow]
        for side in self._sides:
            journal.metrics.expect(side.name)
        self._load = load
        self._close = close
        self._strict = strict
        self._misspelt = misspelt
        self._loaded = False
        self._draining = False
        self._copies: set[asyncio.Task[None]] = set()
        self._claimed = ANSWERED.union(interface.inputs)
        self._under_way = UnderWay(journal.metrics.in_flight)
        self.failure: ImagegraphError | None = None

    @property
    def ready(self) -> bool:
        """Whether requests are welcome."""
        return self._loaded and not self._draining and not self.trouble

    @property
    def version(self) -> str:
        """Which version answers, if it can be named yet; equal inputs get equal answers of it."""
        return self._version()

    @property
    def trouble(self) -> str:
        """Why requests are not welcome, if they will not be or will not for a while."""
        return str(self.failure or "") or self._hang() or self._trouble()

    @property
    def hang(self) -> str:
        """What computes without a sign of life for longer than its watchdog allows: only a restart helps."""
        return self._hang()

    @property
    def predictors(self) -> list[dict[str, Any]]:
        """The versions of the graph: how many of a hundred requests each gets, a shadow as copies."""
        sides = (*self._sides, *self._shadows)
        return [
            {"name": one.name, "traffic": one.traffic, "shadow": one.shadow, "ready": one.up} for one in sides
        ]

    @property
    def unavailable(self) -> dict[str, str]:
        """The predictors that no request is sent to, and why."""
        watches = [side.watch for side in (*self._sides, *self._shadows) if side.watch]
        return {watch.predictor: watch.trouble for watch in watches if not watch.up}

    async def load(self) -> None:
        """Loads the weights; until then, requests are refused.

        Raises:
            ImagegraphError: they cannot be loaded; `failure` keeps it.
        """
        start = time.perf_counter()
        try:
            await self._load()
            self._loaded = True
            self.journal.metrics.loaded(time.perf_counter() - start)
            log.info("'%s' is ready", self.name)
        except ImagegraphError as error:
            self.failure = error
            raise

    async def close(self) -> None:
        """Gives up copies under way and lets go of connections."""
        for copied in self._copies:
            copied.cancel()
        await self._close()

    def drain(self) -> None:
        """Says to everybody who asks that this process is going; requests are still answered."""
        self._draining = True

    def cut(self) -> None:
        """Answers all requests under way with an error: the process can wait for them no longer."""
        self._under_way.cut()

    def _admitted(self) -> Admitted:
        if self.failure:
            raise copy.copy(self.failure)  # not itself: what is raised holds the request that it ended
        if not self._loaded:
            raise Unavailable(f"'{self.name}' is still loading its weights")
        return Admitted(self._under_way)

    async def infer(
        self, messages: Sequence[Message], entry: Entry, outputs: Iterable[str] | None = None
    ) -> Message:
        """Answers a request; several messages are the answers of an ensemble's steps.

        Args:
            outputs: names of the values that are wanted back, if not all; here they are only checked.

        Raises:
            ImagegraphError: see `errors`.
        """
        if self.role is Combiner:
            return await self.aggregate(messages, entry)
        context = entry.context
        with self._admitted():
            message = messages[0] if len(messages) == 1 else replace(messages[0], values=merge(messages))
            if not self._claimed.isdisjoint(message.parameters):
                message = self._read_parameters(message)
            for name in message.values:
                if name in self.interface.inputs or name in self.interface.priors:
                    continue
                if self._strict or self._misspelt(name, message.values):
                    raise UnknownName("input", name, [*self.interface.inputs, *self.interface.priors])
            wants_timings = message.parameters.get(TIMINGS) is True
            if wants_timings:  # ours: a pod would say its own
                left = {name: value for name, value in message.parameters.items() if name != TIMINGS}
                message = replace(message, parameters=left)
            side = self._choose(entry)
            if side.root.children or outputs:
                await side.check.message(message, outputs)
            for shadow in self._shadows:
                self._copy(shadow, message, entry)
            answer = await walk.run(side.root, message, side.call, context)
            values = answer.values
            if self._strict:
                # A combiner in a pod answers the request's own values, too, read anew.
                kept = side.written.union(outputs or ())
                values = {
                    name: value
                    for name, value in values.items()
                    if name in kept or name not in message.values
                }
            await encode_pictures(values)
            parameters = dict(answer.parameters)
            if context.cache_hits:
                parameters["cache_hits"] = ",".join(context.cache_hits)
            if wants_timings:
                # As text: parameters have no objects in gRPC.
                parameters[TIMINGS] = orjson.dumps(context.timings).decode()
            if len(self._sides) > 1:
                parameters["predictor"] = side.name
            return Message(values, message.id or context.id, self.name, parameters, self.version)

    async def check(self, messages: Sequence[Message], entry: Entry) -> None:
        """Refuses what is known to fail of requests that are answered together, before one of them begins."""
        with self._admitted():
            side = self._choose(entry)
            for message in messages:
                await side.check.message(message)

    def _read_parameters(self, message: Message) -> Message:
        """Takes parameters that name an input as that input, and drops those that only answers have."""
        values, parameters = dict(message.values), dict(message.parameters)
        for name, value in message.parameters.items():
            if name in self.interface.inputs and value is not None:
                if name in values:
                    raise InvalidInput(f"parameters.{name}", "no value beside that of the input", value)
                values[name] = value
                del parameters[name]
            elif name in ANSWERED:
                del parameters[name]
        return replace(message, values=values, parameters=parameters)

    def watch(
        self, messages: Sequence[Message], entry: Entry, outputs: Iterable[str] | None = None
    ) -> AsyncGenerator[Happening | Message]:
        """Answers as `infer` does, and says what happens meanwhile; see `watch.follow`."""
        signatures = {name: one for side in self._sides for name, one in side.signatures.items()}
        run, previews = partial(self.infer, messages, entry, outputs), _wants_previews(messages)
        return follow(run, entry.context, signatures, self.references, previews=previews)

    def tell_steps(
        self, messages: Sequence[Message], entry: Entry, outputs: Iterable[str] | None = None
    ) -> AsyncGenerator[Message]:
        """Answers as `infer` does, and tells the engine before us of steps; see `watch.tell_steps`."""
        run = partial(self.infer, messages, entry, outputs)
        return tell_steps(run, entry.context, previews=_wants_previews(messages))

    def _choose(self, entry: Entry) -> Side:
        """Returns the side that the request asks for or, by hash of its id, falls to."""
        context = entry.context
        if context.predictor is None:
            chosen = self._sides[share(context.id, [side.traffic for side in self._sides])]
            if not chosen.up:
                left = [side.traffic if side.up else 0 for side in self._sides]
                chosen = self._sides[share(context.id, left)] if any(left) else chosen
        else:
            named = {side.name: side for side in self._sides}
            if context.predictor not in named:
                raise UnknownName("predictor", context.predictor, named)
            chosen = named[context.predictor]
        entry.predictor = chosen.name
        return chosen

    def _copy(self, shadow: Side, message: Message, entry: Entry) -> None:
        """Sends a copy of a request to a shadow; its answer, late or wrong, harms nobody."""
        if share(entry.context.id, [shadow.traffic, 100 - shadow.traffic]):
            return
        if len(self._copies) >= MAX_COPIES or not shadow.up:
            self.journal.metrics.copy_skipped(shadow.name)
            return
        copied = self.journal.copy(entry, shadow.name)

        async def run() -> None:
            try:
                await walk.run(shadow.root, message, shadow.call, copied.context)
            except ImagegraphError as error:
                copied.fail(error)
            self.journal.close(copied)

        task = asyncio.create_task(run())
        self._copies.add(task)
        task.add_done_callback(self._copies.discard)

    async def aggregate(self, messages: Sequence[Message], entry: Entry) -> Message:
        """Unites the answers of children."""
        with self._admitted():
            side = self._choose(entry)
            work = side.call.aggregate(side.root, messages, entry.context)
            answer = await walk.timed("aggregate", side.root, work, entry.context)
            await encode_pictures(answer.values)
            return Message(answer.values, answer.id or entry.context.id, self.name, answer.parameters)

    async def route(self, message: Message, entry: Entry) -> int:
        """Chooses a child."""
        with self._admitted():
            side = self._choose(entry)
            work = side.call.route(side.root, message, entry.context)
            return await walk.timed("route", side.root, work, entry.context)


def _wants_previews(messages: Sequence[Message]) -> bool:
    return messages[0].parameters.get(PREVIEWS) is True
