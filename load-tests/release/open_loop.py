"""Sends what is due when it is due, whether or not anything was answered: a server cannot slow its clients.

A loop that waits for an answer before it asks again asks a server that stalls next to nothing, and counts one
slow answer for all that people would have waited for (coordinated omission). Here every request is counted
from when it was due, also where this machine was late to send it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from imagegraph.errors import ImagegraphError
from release.arrivals import Arrival, Step, arrivals, steps
from release.scenario import Scenario
from release.servers import Sampler
from release.ways import Ended, Ways

BEGIN_S = 0.2  # until the first is due
TOO_MANY = "not sent: too many wait for an answer"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request: when it was due, when it was sent and when it ended, in seconds since the start."""

    arrival: Arrival
    sent_s: float
    ended_s: float
    ended: Ended

    @property
    def latency_s(self) -> float:
        """How long whoever wanted it has waited."""
        return self.ended_s - self.arrival.at_s

    @property
    def late_s(self) -> float:
        """How late it was sent."""
        return self.sent_s - self.arrival.at_s


@dataclass
class Run:
    """What happened.

    Attributes:
        killed_s: when something was killed, if so.
        under_way: requests that wait for an answer now, and most that ever did.
    """

    scenario: Scenario
    steps: list[Step]
    outcomes: list[Outcome] = field(default_factory=list)
    killed_s: float | None = None
    under_way: int = 0
    most_under_way: int = 0


async def run(
    scenario: Scenario,
    targets: Sequence[Ways],
    seed: int,
    kill: Callable[[], Awaitable[None]] | None = None,
    sampler: Sampler | None = None,
    tell: Callable[[float, Run], None] = lambda now_s, run: None,
) -> Run:
    """Runs a scenario against targets in turn.

    Args:
        seed: of when requests are due, see `arrivals`.
        kill: kills something, at the scenario's time.
        sampler: looks at the servers meanwhile.
        tell: is called about once a second.

    Raises:
        ImagegraphError: what was to be killed could not be.
    """
    loop = asyncio.get_running_loop()
    start = loop.time() + BEGIN_S
    this = Run(scenario, steps(scenario))
    name = uuid.uuid4().hex[:12]
    waiting: set[asyncio.Task[None]] = set()

    def now_s() -> float:
        return loop.time() - start

    async def ask(arrival: Arrival, target: Ways) -> None:
        sent_s = now_s()
        this.under_way += 1
        this.most_under_way = max(this.most_under_way, this.under_way)
        try:
            ended = await target.send(arrival.way, arrival.number, f"{name}-{arrival.number}")
        finally:
            this.under_way -= 1
        this.outcomes.append(Outcome(arrival, sent_s, now_s(), ended))

    async def strike() -> None:
        if kill is None or scenario.kill is None:
            return
        first = next(step for step in this.steps if step.counts)
        await asyncio.sleep(max(0.0, first.begin_s + scenario.kill.at_seconds - now_s()))
        this.killed_s = now_s()
        await kill()

    async def watch() -> None:
        while True:
            await asyncio.sleep(1)
            tell(now_s(), this)

    async with _beside(watch()), _beside(sampler.run(now_s) if sampler else asyncio.sleep(0)):
        blow = asyncio.create_task(strike())
        try:
            for arrival, target in zip(arrivals(scenario, seed), itertools.cycle(targets)):
                # Also where it is late already, so that answers are read meanwhile.
                await asyncio.sleep(max(0.0, arrival.at_s - now_s()))
                if blow.done():
                    blow.result()
                if len(waiting) >= scenario.in_flight:
                    at_s = now_s()
                    this.outcomes.append(Outcome(arrival, at_s, at_s, Ended(0, words=TOO_MANY)))
                    continue
                task = asyncio.create_task(ask(arrival, target))
                waiting.add(task)
                task.add_done_callback(waiting.discard)
            await asyncio.sleep(max(0.0, this.steps[-1].end_s - now_s()))
            await asyncio.gather(*waiting)
            if not blow.done():
                raise ImagegraphError(
                    f"what kills had not ended {now_s() - (this.killed_s or 0):.0f} s later"
                )
            blow.result()
        finally:
            for task in (*waiting, blow):
                task.cancel()
            await asyncio.gather(*waiting, blow, return_exceptions=True)
    this.outcomes.sort(key=lambda one: one.arrival.number)
    return this


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Does something until the end of the block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
