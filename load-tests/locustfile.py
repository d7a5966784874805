"""Locust users of a release, for looking around by hand on Locust's live page, and for many machines.

LOCUST_SKIP_MONKEY_PATCH=1 locust -f load-tests/locustfile.py --host http://localhost:8080

A user is one arrival a second, at random, whether or not what it asked before was answered: `--users 20` are
twenty requests a second. Locust's own users wait for each answer, which hides stalls. What is asked is the
same as by load.py, whose scenarios have thresholds. Name classes to have only these.

Locust runs on gevent, which would patch sockets and threads so that its greenlets take turns. A loop of
asyncio does not bear that: which loop runs is known by the thread, and all greenlets are in one. So nothing
is patched, our clients (HTTP and gRPC) run in a loop on a thread of its own, and a greenlet waits for them by
the one thing of gevent that other threads may touch. (gRPC can be taught to know gevent, but only where it is
called without asyncio, and all of a process then runs on one thread: `grpc.experimental.gevent`.)
"""

from __future__ import annotations

import itertools
import os
import random
import sys
import time
import uuid
from collections.abc import Coroutine
from typing import Any, TypeVar

import gevent
import gevent.event
from gevent import monkey
from gevent.pool import Group
from locust import User, constant, events, task
from locust.env import Environment
from release.scenario import STUDIO_WAYS, Way
from release.ways import Target, Ways

from imagegraph.engine.background import background
from imagegraph.errors import ImagegraphError
from imagegraph.spec.catalogue import ROOT

PHOTO = ROOT / "pocket" / "examples" / "scene.png"
TIMEOUT_S = 60.0
Result = TypeVar("Result")

if monkey.is_module_patched("threading"):
    raise SystemExit("expected LOCUST_SKIP_MONKEY_PATCH=1: a loop of asyncio cannot run on patched threads")


def finish(work: Coroutine[Any, Any, Result]) -> Result:
    """Waits in a greenlet, and lets others run, for work of the loop on its own thread."""
    hub = gevent.get_hub()
    ended, waker = gevent.event.Event(), hub.loop.async_()
    waker.start(ended.set)
    future = background.submit(work)
    future.add_done_callback(lambda _: waker.send())
    try:
        ended.wait()
        return future.result()
    finally:
        waker.close()


@events.init_command_line_parser.add_listener
def _options(parser: Any) -> None:
    parser.add_argument("--graph", default="", help="name of the graph; by default the one that is served")
    parser.add_argument("--grpc", default="", help="host:port for gRPC; by default the host's 8081")
    parser.add_argument("--values", choices=("same", "seeds", "new"), default="seeds")


@events.test_start.add_listener
def _connect(environment: Environment, **_: Any) -> None:
    """Connects, once for all users."""
    options = environment.parsed_options
    asked = {one.way for one in environment.user_classes}  # type: ignore[attr-defined]
    of_studio = not asked.isdisjoint(STUDIO_WAYS)
    token = os.environ.get("STUDIO_TOKEN", "")
    target = Target(str(environment.host), PHOTO.read_bytes(), options.graph, options.grpc, token)
    ways = Ways(target, options.values, TIMEOUT_S)

    async def connect() -> None:
        await ways.__aenter__()
        await ways.learn(of_studio)
        if "grpc" in asked:
            await ways.open_grpc()

    try:
        finish(connect())
    except ImagegraphError as error:
        print(f"error: {error}", file=sys.stderr)
        environment.process_exit_code = 2
        environment.runner.quit()  # type: ignore[union-attr]
    Arrivals.ways = ways


@events.test_stop.add_listener
def _disconnect(environment: Environment, **_: Any) -> None:
    """Waits for what is under way, as long as Locust would, and lets go of connections."""
    Arrivals.under_way.join(timeout=environment.stop_timeout)
    finish(Arrivals.ways.__aexit__(None, None, None))


class Arrivals(User):
    """A source of requests by one way in, one a second on average."""

    abstract = True
    wait_time = constant(0)
    way: Way
    ways: Ways
    under_way = Group()
    _numbers = itertools.count()

    @task
    def arrive(self) -> None:
        """Waits for the next arrival, and does not wait for its answer."""
        gevent.sleep(random.expovariate(1.0))
        self.under_way.spawn(self._ask, time.perf_counter())

    def _ask(self, due: float) -> None:
        number = next(self._numbers)
        ended = finish(self.ways.send(self.way, number, uuid.uuid4().hex))
        failure = None if ended.answered else RuntimeError(f"{ended.status}: {ended.words[:160]}")
        self.environment.events.request.fire(
            request_type=self.way, name=self.way, response_length=0, exception=failure,
            response_time=1000 * (time.perf_counter() - due), context={"predictor": ended.predictor},
        )  # fmt: skip


class Binary(Arrivals):
    """V2 over REST with the binary extension, by the project's own client."""

    way = "binary"


class Json(Arrivals):
    """V2 over REST as JSON alone."""

    way = "json"


class Grpc(Arrivals):
    """V2 over gRPC."""

    way = "grpc"


class Stream(Arrivals):
    """V2 as events, to the answer at their end."""

    way = "stream"
