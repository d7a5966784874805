"""The way to nodes in this process: components, each on a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import math
import operator
import sys
import traceback
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple, Self, TypeVar, cast

from imagegraph.calls.batching import Batch, Batcher
from imagegraph.calls.loading import Loader
from imagegraph.calls.recovery import Recovery, release_memory
from imagegraph.calls.worker import Worker, contained
from imagegraph.component import (
    Batched,
    Combiner,
    Component,
    Job,
    JointProgress,
    Progress,
    Router,
)
from imagegraph.engine.closing import Closing
from imagegraph.engine.context import Context, Event, Method, Turn
from imagegraph.errors import ImagegraphError, OutOfMemory, Unsupported, describe, shorten
from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.graph import Node, NodeType

log = logging.getLogger("imagegraph.calls.in_process")

Kind = TypeVar("Kind", bound=Component)
Result = TypeVar("Result")

_ENDLESS = Progress()  # nobody cancels what is done at once


class LocalCall(Closing):
    """Components in this process: loaded once each, in the background, one call at a time each.

    Use as a context manager, or `close` it; closing does not wait for running work. An entry that runs
    out of memory refuses requests until its smoke input can be computed again.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        bundle: str,
        entries: Iterable[str],
        device: str = "auto",
        max_queue: int = 128,
        watchdog_s: float | None = None,
        observe: Callable[[Batch], None] | None = None,
    ) -> None:
        """Starts to load the components of `entries`, in the order given but each after what it uses.

        What an entry uses and is not among them is left out.

        Args:
            device: "cpu", "cuda" or "auto" (cuda if there is one).
            max_queue: most requests that wait for one component; more are refused.
            watchdog_s: longest that one may compute without a sign of life, before it counts as hung; by
                default what the catalogue says of each.
            observe: told of every batch; what is computed inline is in none.
        """
        self._catalogue = catalogue
        wanted = set(entries := list(entries))
        names = [name for name in catalogue.with_uses(entries, bundle) if name in wanted]
        self._signatures = {name: catalogue.signature(name, bundle) for name in names}
        self._defaults = {name: catalogue.entry(name).variant(bundle).defaults for name in names}
        self._watchdogs_s = {
            name: watchdog_s or catalogue.entry(name).variant(bundle).watchdog_s or math.inf for name in names
        }
        self._workers = {name: Worker(name) for name in names}
        # The next batch is prepared while this one is computed; one by one, since pictures are large.
        self._preparers = {
            name: Worker(f"{name}-prepare")
            for name in names
            if issubclass(catalogue.entry(name).kind, Batched)
        }
        self._batchers = {
            name: Batcher(
                _compute,
                worker,
                max_cost=catalogue.entry(name).kind.max_cost,
                max_queue=max_queue,
                observe=observe,
                release=release_memory,
            )
            for name, worker in self._workers.items()
        }
        self._recovery = Recovery(catalogue, self._signatures, self._defaults, self._workers)
        self._loader = Loader(catalogue, bundle, names, device)

    @property
    def load_seconds(self) -> Mapping[str, float]:
        """Seconds that each entry took to load, of those loaded so far."""
        return self._loader.seconds

    @property
    def versions(self) -> Mapping[str, str]:
        """Of what computes each entry, of those loaded so far; see `version`."""
        return self._loader.versions

    @property
    def queued(self) -> int:
        """How many requests wait for a component."""
        return sum(self.queues.values())

    @property
    def queues(self) -> Mapping[str, int]:
        """How many requests wait for each component."""
        return {name: batcher.queued for name, batcher in self._batchers.items()}

    async def version(self, node: Node) -> str:
        """Returns the version of what computes the node's answers, if it has one and they are worth keeping.

        What is computed inline is computed sooner than looked up.
        """
        component = await self._loader.component(node.entry)
        return "" if component.inline else self.versions[node.entry]

    @property
    def hung(self) -> Sequence[str]:
        """The entries that compute without a sign of life for longer than their watchdog allows."""
        workers = (*self._workers.items(), *self._preparers.items())
        return [name for name, worker in workers if worker.silent_s > self._watchdogs_s[name]]

    async def ready(self) -> None:
        """Waits until every component is loaded; see `Loader.ready`."""
        await self._loader.ready()

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        """Runs `predict`; a MODEL answers its own outputs, others pass everything else on."""
        component = await self._loader.component(node.entry)
        if isinstance(component, (Combiner, Router)):
            raise Unsupported(f"cannot infer: '{node.entry}' chooses or unites, it predicts nothing")
        signature, defaults = self._signatures[node.entry], self._defaults[node.entry]

        def predict(progress: Progress) -> Mapping[str, Any]:
            arguments = signature.bind(message.values, defaults)
            if signature.progress:
                arguments[signature.progress] = progress
            return component.predict(**arguments)

        if isinstance(component, Batched):

            def prepare() -> _Planned:
                return _Planned.of(component.prepare(**signature.bind(message.values, defaults)))

            answer = await self._submit(node, "infer", component.predict_batch, context, prepare)
        elif component.inline:
            answer = self._inline(node, lambda: predict(_ENDLESS))
        else:
            answer = await self._submit(node, "infer", predict, context)
        kept = {} if node.type is NodeType.MODEL else message.values
        answered = _ports(answer)
        signature.check_answer(answered)
        return message.with_values({**kept, **answered}, node.name, self.versions[node.entry])

    async def aggregate(self, node: Node, messages: Sequence[Message], context: Context) -> Message:
        """Runs `aggregate` of a Combiner."""
        combiner = _as(Combiner, await self._loader.component(node.entry), node)
        if combiner.inline:
            answer = self._inline(node, lambda: combiner.aggregate(messages))
        else:
            answer = await self._submit(node, "aggregate", lambda _: combiner.aggregate(messages), context)
        return messages[0].with_values(_ports(answer), node.name)

    async def route(self, node: Node, message: Message, context: Context) -> int:
        """Runs `route` of a Router."""
        router = _as(Router, await self._loader.component(node.entry), node)
        signature, defaults = self._signatures[node.entry], self._defaults[node.entry]

        def route(_: Progress) -> int:
            return operator.index(router.route(**signature.bind(message.values, defaults)))

        if router.inline:
            return self._inline(node, lambda: route(_ENDLESS))
        return cast(int, await self._submit(node, "route", route, context))

    def _inline(self, node: Node, work: Callable[[], Result]) -> Result:
        """Does what takes next to no time on the loop itself."""
        try:
            return contained(work)
        except Exception as error:
            self._report(node, error)
            raise

    async def _submit(
        self,
        node: Node,
        method: Method,
        work: Callable[..., Any],
        context: Context,
        prepare: Callable[[], _Planned] | None = None,
    ) -> Any:
        """Has the entry's own thread do the work; when the caller is cancelled, tells it to stop.

        Args:
            work: takes a Progress, or where there is something to `prepare`, all jobs of a batch and one.
        """
        loop, worker = asyncio.get_running_loop(), self._workers[node.entry]

        def listen(done: int, total: int, preview: Callable[[], Image] | None) -> None:
            worker.sign()
            event = Event(node, method, "progress", done=done, total=total, preview=preview)
            loop.call_soon_threadsafe(context.tell, event)

        progress = Progress(listen, context.deadline)

        def begin(waited_s: float, batch: int) -> None:
            context.turns[node.name] = Turn(waited_s, batch)

        if node.entry in self._recovery:
            raise OutOfMemory(f"'{node.entry}' is out of memory; it will be back once it is not")
        try:
            with self._batchers[node.entry].place() as place:
                if prepare is None:
                    # Work that is no job is computed alone: no other has its key.
                    task, key, cost = _Task(work, progress, None), object(), 1.0
                else:
                    job, key, cost = await self._preparers[node.entry].run(prepare)
                    task = _Task(work, progress, job)
                return await place.submit(task, key, cost, context.deadline, begin)
        except asyncio.CancelledError:
            progress.cancel()
            raise
        except OutOfMemory:
            self._recovery.begin(node.entry, await self._loader.component(node.entry))
            raise
        except Exception as error:
            self._report(node, error)
            raise

    def _report(self, node: Node, error: Exception) -> None:
        """Tells the author of a component where it failed; who asked has nothing to do with that."""
        origin = error.__cause__ if type(error) is ImagegraphError else error
        if origin is None or isinstance(origin, ImagegraphError) or origin.__traceback__ is None:
            return
        module = sys.modules[self._catalogue.entry(node.entry).kind.__module__]
        frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(origin.__traceback__)]
        own = [(file, line) for file, line in frames if file == module.__file__]
        file, line = (own or frames)[-1]
        log.error(
            "node '%s': %s, at %s:%d",
            *(node.name, describe(origin), file, line),
            exc_info=origin if log.isEnabledFor(logging.DEBUG) else None,
        )

    @property
    def exhausted(self) -> Sequence[str]:
        """The entries that ran out of memory and have not shown yet that they work again."""
        return self._recovery.names

    def close(self) -> None:
        """Gives up queued work and lets go of the components."""
        self._recovery.close()
        self._loader.close()
        for worker in (*self._preparers.values(), *self._workers.values()):
            worker.close()


class _Planned(NamedTuple):
    """What `prepare` made of a request, and what the batcher asks of it."""

    job: Job
    key: Hashable
    cost: float

    @classmethod
    def of(cls, job: Job) -> Self:
        """Reads key and cost, which are a component's own code, once.

        Raises:
            ImagegraphError: no batch can be made with them.
        """
        key, cost = job.key, job.cost
        try:
            hash(key)
        except TypeError as error:
            raise ImagegraphError(
                f"the job's key: expected what can be hashed, got {shorten(key)}"
            ) from error
        if not isinstance(cost, Real) or not cost >= 0:
            raise ImagegraphError(f"the job's cost: expected a number from 0 up, got {shorten(cost)}")
        return cls(job, key, float(cost))


@dataclass(frozen=True)
class _Task:
    """What waits for a component's thread: work that takes a Progress, or all jobs of a batch and one."""

    work: Callable[..., Any]
    progress: Progress
    job: Job | None


def _compute(tasks: Sequence[_Task]) -> Sequence[Any]:
    first = tasks[0]
    if first.job is None:
        first.progress.check()
        return [first.work(first.progress)]
    progress = JointProgress([task.progress for task in tasks])
    progress.check()
    return cast(Sequence[Any], first.work([task.job for task in tasks], progress))


def _ports(answer: Any) -> Mapping[str, Any]:
    """Returns what a component answered, if it is values by name."""
    if not isinstance(answer, Mapping):
        raise ImagegraphError(f"expected an answer of values by name, got {shorten(answer)}")
    return answer


def _as(kind: type[Kind], component: Component, node: Node) -> Kind:
    if not isinstance(component, kind):
        asked = "aggregate" if kind is Combiner else "route"
        raise Unsupported(f"cannot {asked}: '{node.entry}' is no {kind.__name__}")
    return component
