"""A server that stalls is asked as much as ever, and every request counts from when it was due."""

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Any

from release import figures, open_loop, verdict
from release.scenario import Scenario
from release.ways import Ended, Target, Ways

from tests.serve.conftest import Server

STALL_S, RATE, SECONDS = 1.0, 40, 3


def constant(**more: Any) -> Scenario:
    return Scenario.model_validate(
        {
            "summary": "A test", "arrivals": "constant", "phases": [{"rate": RATE, "seconds": SECONDS}],
            "requests": [{"way": "binary"}], "thresholds": {"errors": 0}, **more,
        }
    )  # fmt: skip


def test_a_stall_hides_no_request_and_each_counts_with_all_of_its_wait(start: Callable[..., Server]) -> None:
    server = start("--component", "double")
    stopped: list[float] = []

    async def main() -> open_loop.Run:
        async with Ways(
            Target(f"http://127.0.0.1:{server.http_port}", b"", given={"number": 1}), "same", 60
        ) as ways:
            await ways.learn(of_studio=False)
            loop = asyncio.get_running_loop()
            start = loop.time() + open_loop.BEGIN_S

            async def stall() -> None:
                await asyncio.sleep(1)
                server.process.send_signal(signal.SIGSTOP)
                stopped.append(loop.time() - start)
                await asyncio.sleep(STALL_S)
                stopped.append(loop.time() - start)
                server.process.send_signal(signal.SIGCONT)

            stalling = asyncio.create_task(stall())
            done = await open_loop.run(constant(), [ways], 0)
            await stalling
            return done

    done = asyncio.run(main())
    assert len(done.outcomes) == RATE * SECONDS
    assert {one.ended.status for one in done.outcomes} == {200}
    begin, end = stopped
    # The clock of the run began a moment after that of this test.
    hidden = [one for one in done.outcomes if begin + 0.1 < one.arrival.at_s < end - 0.1]
    assert len(hidden) >= RATE * (STALL_S - 0.3), "as many were due as if nothing had happened"
    for one in hidden:
        assert one.latency_s >= end - one.arrival.at_s - 0.1
    # Who waits for each answer before the next request would have one slow answer; here 1 of 20 is not fast.
    p95 = figures.figures(done.outcomes, SECONDS).p95_s
    assert p95 is not None
    assert p95 > STALL_S / 2


def test_times_count_from_when_a_request_was_due_also_where_the_generator_was_late() -> None:
    class Blocking(Ways):
        """Holds up the generator itself, once."""

        async def send(self, way: Any, number: int, id: str) -> Ended:
            if number == 10:
                time.sleep(1)
            return Ended(200)

    done = asyncio.run(open_loop.run(constant(), [Blocking(Target("http://127.0.0.1:9", b""), "same", 1)], 0))
    late = [one for one in done.outcomes if 10 < one.arrival.number < 10 + RATE // 2]
    assert all(one.late_s > 0.4 for one in late)
    assert all(one.latency_s >= one.late_s for one in done.outcomes)
    assert figures.figures(done.outcomes, SECONDS).late_s > 0.4


def test_what_is_due_beyond_the_most_that_may_wait_is_not_sent_and_breaks_the_run() -> None:
    class Silent(Ways):
        """Answers after the last was due."""

        async def send(self, way: Any, number: int, id: str) -> Ended:
            await asyncio.sleep(SECONDS + 1)
            return Ended(200)

    silent = Silent(Target("http://127.0.0.1:9", b""), "same", 60)
    done = asyncio.run(open_loop.run(constant(in_flight=30), [silent], 0))
    got = figures.figures(done.outcomes, SECONDS)
    assert (got.requests, got.answered, got.lost, got.unsent) == (RATE * SECONDS, 30, 0, RATE * SECONDS - 30)
    assert got.p50_s is None, "who is not asked for gets no answer, either"
    broken = [one.name for one in verdict.checks(done) if not one.passed]
    assert broken == ["not sent: too many waited for an answer", "errors"]
    assert done.most_under_way == 30


def test_who_is_not_there_loses_requests_and_breaks_nothing() -> None:
    async def main() -> open_loop.Run:
        async with Ways(Target("http://127.0.0.1:9", b""), "same", 60) as ways:
            ways._graph, ways._values = "m", type("None_", (), {"of": lambda self, number: {}})()
            return await open_loop.run(constant(phases=[{"rate": 20, "seconds": 1}]), [ways], 0)

    done = asyncio.run(main())
    assert {one.ended.status for one in done.outcomes} == {0}
    assert all("ClientConnectorError" in one.ended.words for one in done.outcomes)


def test_who_is_not_answered_waits_longer_than_all_times(start: Callable[..., Server]) -> None:
    server = start("--component", "asleep", "--max-queue", "50")
    target = Target(f"http://127.0.0.1:{server.http_port}", b"", given={"seconds": 0.25})
    crowd = constant(
        phases=[{"rate": 20, "seconds": 2}], timeout_seconds=1,
        thresholds={"p50_seconds": 2, "p95_seconds": 100},
    )  # fmt: skip

    async def main() -> open_loop.Run:
        async with Ways(target, "same", crowd.timeout_seconds) as opened:
            await opened.learn(of_studio=False)
            return await open_loop.run(crowd, [opened], 0)

    done = asyncio.run(main())
    got = figures.figures(done.outcomes, 2)
    assert got.answered > 2
    assert got.lost > got.answered
    said = {one.name: (one.got, one.passed) for one in verdict.checks(done)}
    assert said["95 of 100 answers (p95)"] == ("no answer within 1 s", False)
    assert said["half of all answers (p50)"] == ("no answer within 1 s", False)


def test_refusals_tell_when_to_come_back_by_every_way(start: Callable[..., Server]) -> None:
    server = start("--component", "asleep", "--max-queue", "1")
    ways = ("binary", "json", "grpc", "stream")
    crowd = constant(phases=[{"rate": 80, "seconds": 1}], requests=[{"way": way} for way in ways])
    grpc = f"127.0.0.1:{server.grpc_port}"
    target = Target(f"http://127.0.0.1:{server.http_port}", b"", grpc=grpc, given={"seconds": 0.5})

    async def main() -> open_loop.Run:
        async with Ways(target, "same", 60) as opened:
            await opened.learn(of_studio=False)
            await opened.open_grpc()
            return await open_loop.run(crowd, [opened], 0)

    done = asyncio.run(main())
    got = figures.figures(done.outcomes, 1)
    assert got.answered >= 1
    assert got.errors == 0
    for one in figures.by_way(done).values():
        assert one.refused >= 5
        assert one.told == one.refused
