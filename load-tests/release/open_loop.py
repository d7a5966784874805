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
from release.ways import Asked, Ended, Ways

BEGIN_S = 0.2  # until the first is due
UNSENT = Ended(0, words="not sent: too many wait for an answer")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request: when it was due, when it was sent and when it ended, in seconds since the start.

    Attributes:
        host: who was asked, by its place among `Run.hosts`.
    """

    arrival: Arrival
    sent_s: float
    ended_s: float
    ended: Ended
    host: int = 0

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
        hosts: who was asked, in turn.
        killed_s: when something was killed, if so.
        cut_s, cut_short: when and why it did not come to its end, if so; steps are only as far as it came.
        under_way: requests that wait for an answer now, or did when it was cut short, and most that ever did.
    """

    scenario: Scenario
    steps: list[Step]
    hosts: list[Asked] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    killed_s: float | None = None
    cut_s: float = 0.0
    cut_short: str = ""
    under_way: int = 0
    most_under_way: int = 0

    def cut(self, at_s: float, why: str) -> None:
        """Ends it; what was under way then is in no figures: nobody knows what would have come of it."""
        self.cut_s, self.cut_short = max(at_s, 1e-3), why  # before the first request is due, too
        begun = [step for step in self.steps if step.begin_s < self.cut_s]
        begun[-1] = begun[-1]._replace(end_s=min(begun[-1].end_s, self.cut_s))
        self.steps = begun

    @property
    def cut_words(self) -> str:
        """When and why it was cut short."""
        return f"after {self.cut_s:.1f} s: {self.cut_short}"


async def run(
    scenario: Scenario,
    targets: Sequence[Ways],
    seed: int,
    kill: Callable[[], Awaitable[None]] | None = None,
    sampler: Sampler | None = None,
    tell: Callable[[float, Run], None] = lambda now_s, run: None,
    halted: asyncio.Future[str] | None = None,
) -> Run:
    """Runs a scenario against targets in turn.

    Args:
        seed: of when requests are due, see `arrivals`.
        kill: kills something, at the scenario's time.
        sampler: looks at the servers meanwhile.
        tell: is called about once a second.
        halted: cuts the run short when it is done, for the reason that it says; so does a kill that fails.
    """
    loop = asyncio.get_running_loop()
    start = loop.time() + BEGIN_S
    halted = halted or loop.create_future()
    this = Run(scenario, steps(scenario), [one.asked for one in targets])
    name = uuid.uuid4().hex[:12]
    waiting: set[asyncio.Task[None]] = set()

    def now_s() -> float:
        return loop.time() - start

    async def ask(arrival: Arrival, host: int, target: Ways) -> None:
        sent_s = now_s()
        this.under_way += 1
        this.most_under_way = max(this.most_under_way, this.under_way)
        ended = await target.send(arrival.way, arrival.number, f"{name}-{arrival.number}")
        this.under_way -= 1
        this.outcomes.append(Outcome(arrival, sent_s, now_s(), ended, host))

    async def strike() -> None:
        if kill is None or scenario.kill is None:
            return
        first = next(step for step in this.steps if step.counts)
        await asyncio.sleep(max(0.0, first.begin_s + scenario.kill.at_seconds - now_s()))
        struck_s = now_s()
        try:
            await kill()
        except ImagegraphError as error:
            if not halted.done():
                halted.set_result(str(error))
        else:
            this.killed_s = struck_s

    async def send() -> None:
        for arrival, (host, target) in zip(arrivals(scenario, seed), itertools.cycle(enumerate(targets))):
            # Also where it is late already, so that answers are read meanwhile.
            await asyncio.sleep(max(0.0, arrival.at_s - now_s()))
            if len(waiting) >= scenario.in_flight:
                at_s = now_s()
                this.outcomes.append(Outcome(arrival, at_s, at_s, UNSENT, host))
                continue
            task = asyncio.create_task(ask(arrival, host, target))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        await asyncio.sleep(max(0.0, this.steps[-1].end_s - now_s()))
        await asyncio.gather(*waiting)

    async def watch() -> None:
        while True:
            await asyncio.sleep(1)
            tell(now_s(), this)

    async with _beside(watch()), _beside(sampler.run(now_s) if sampler else asyncio.sleep(0)):
        sending, blow = asyncio.create_task(send()), asyncio.create_task(strike())
        try:
            await asyncio.wait({sending, halted}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            if halted.done():
                this.cut(now_s(), halted.result())
            elif not blow.done():
                this.cut(now_s(), "what kills had not ended")
            else:
                blow.result()
        finally:
            left = (sending, *waiting, blow)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
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
