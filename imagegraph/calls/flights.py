"""Single flights: a computation under way, and all the requests that wait for it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from imagegraph.engine.context import Context, Event
from imagegraph.errors import ImagegraphError
from imagegraph.spec.graph import Node

Result = TypeVar("Result")


class _Waiter(NamedTuple):
    """A request at a node of its own graph; equal work may stand at nodes of different names."""

    node: Node
    context: Context


class _Flight(Generic[Result]):
    """One computation with a context of its own, which belongs to none of those who wait.

    It has no deadline: whoever waits for it has one and leaves when it passes, and with the last of them
    it is cancelled. So the latest deadline counts, also of those who come later.
    """

    def __init__(self, node: Node, first: Context, compute: Callable[[Context], Awaitable[Result]]) -> None:
        self._node = node
        self._context = Context(
            id=first.id, predictor=first.predictor, trace=first.trace, listener=self._tell_all
        )
        self._waiters: list[_Waiter] = []
        self.task = asyncio.ensure_future(compute(self._context))

    async def wait(self, node: Node, context: Context) -> Result:
        """Returns the result; the last who leaves before it is there takes the computation with it."""
        waiter = _Waiter(node, context)
        self._waiters.append(waiter)
        try:
            return await asyncio.shield(self.task)
        except ImagegraphError as error:
            # It meets every waiter; each may write its own node on it.
            raise copy.copy(error) from error
        finally:
            self._waiters = [one for one in self._waiters if one is not waiter]
            if turn := self._context.turns.get(self._node.name):
                context.turns[node.name] = turn
            if self._context.cache_hits and node.name not in context.cache_hits:
                context.cache_hits.append(node.name)
            if self.abandoned:
                self.task.cancel()

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits any more."""
        return not self._waiters

    def _tell_all(self, event: Event) -> None:
        for waiter in self._waiters:
            waiter.context.tell(event._replace(node=waiter.node))


class Flights(Generic[Result]):
    """The computations under way, by what they compute."""

    def __init__(self) -> None:
        """Begins with none."""
        self._flights: dict[str, _Flight[Result]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._flights

    async def join(
        self, key: str, node: Node, context: Context, compute: Callable[[Context], Awaitable[Result]]
    ) -> Result:
        """Returns the result of what is under way for the key, or else of `compute`.

        Progress reaches everybody who waits. It counts as a hit where somebody else's is joined.

        Args:
            compute: takes the flight's own context.

        Raises:
            ImagegraphError: as `compute`, a copy for each who waits.
        """
        flight = self._flights.get(key)
        if flight is None:
            context.cache_misses.append(node.name)
            flight = self._flights[key] = _Flight(node, context, compute)
            flight.task.add_done_callback(partial(self._forget, key, flight))
        else:
            context.cache_hits.append(node.name)
        try:
            return await flight.wait(node, context)
        finally:
            if flight.abandoned:  # it is being cancelled: who comes now begins anew
                self._forget(key, flight)

    def _forget(self, key: str, flight: _Flight[Result], _: object = None) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
