"""Load tests of a deployed release: scenarios with thresholds, and a plan of its capacity.

python load-tests/load.py run smoke --host http://localhost:8080
python load-tests/load.py plan out/load-ramp-1/result.json --rate 50 --within 2
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
import yaml
from release import kill, scenario
from release.open_loop import Run
from release.open_loop import run as open_loop
from release.page import page
from release.plan import NOTHING, Wanted
from release.plan import plan as make_plan
from release.plan import read as read_steps
from release.report import Result, show, table_of, write
from release.scenario import Scenario
from release.servers import Sampler
from release.verdict import checks
from release.ways import TOKEN, Target, Ways
from rich.console import Console
from rich.table import Table

from imagegraph.errors import ImagegraphError, InvalidInput, Unavailable
from imagegraph.image import Image
from imagegraph.run.destination import new_folder
from imagegraph.spec import strict_yaml
from imagegraph.spec.catalogue import ROOT
from imagegraph.spec.seldon import SeldonDeployment

ENDING = (signal.SIGINT, signal.SIGTERM)
PHOTO = ROOT / "pocket" / "examples" / "scene.png"
BROKEN = 1  # how a run ends whose thresholds were not kept
WRONG = 2  # and one that could not be done, or not to its end

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__.splitlines()[0])
# Where nobody looks, such as in a pod's log, lines are as long as tables are.
console = Console(width=None if sys.stdout.isatty() else 120)


@app.command("list")
def list_() -> None:
    """List the scenarios."""
    table = Table(box=None, show_header=False)
    for path in sorted(scenario.FOLDER.glob("*.yaml")):
        table.add_row(path.stem, scenario.read(path.stem).summary)
    console.print(table)


@app.command()
def run(
    name: Annotated[str, typer.Argument(metavar="SCENARIO", help="One of `list`, or a file")],
    host: Annotated[
        list[str],
        typer.Option(help="[GRAPH=]URL of a graph's server, or of a studio; several for mixed graphs"),
    ],
    grpc: Annotated[str, typer.Option(help="host:port for gRPC; by default the host's 8081")] = "",
    photo: Annotated[Path, typer.Option(help="A picture to send, JPEG or PNG")] = PHOTO,
    input_: Annotated[
        list[str] | None,
        typer.Option("--input", help="NAME=VALUE of all requests; can be given several times"),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(help="[NAME=]URL of a page of metrics to watch; by default each host's /metrics"),
    ] = None,
    traffic: Annotated[
        str,
        typer.Option(help="NAME=PERCENT of each version, by commas, for a scenario that checks the split"),
    ] = "",
    manifest: Annotated[Path | None, typer.Option(help="The SeldonDeployment that says the same")] = None,
    kill_command: Annotated[str, typer.Option(help="What kills something, for a scenario that does")] = "",
    kill_selector: Annotated[str, typer.Option(help="Labels of pods one of which kubectl kills")] = "",
    times: Annotated[float, typer.Option(min=0.001, help="Multiplies all rates of the scenario")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of when requests are due")] = 0,
    wait: Annotated[float, typer.Option(min=0, help="Wait so long until the hosts are ready, s")] = 0.0,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; by default out/load-SCENARIO-N")
    ] = None,
) -> None:
    """Run a scenario; end with 1 where a threshold was not kept.

    An interrupt (Ctrl-C) or SIGTERM cuts it short: what was measured is written, and it ends as programs do
    that were ended so. A second one ends it at once.
    """
    asked = scenario.read(name).times(times)
    stem = Path(name).stem
    percents = _percents(asked, traffic, manifest)
    line = _kill_line(asked, kill_command, kill_selector)
    targets = [_target(one, grpc, photo, input_ or []) for one in host]
    sampler = Sampler(_watched(metrics or []) or _pages(asked, targets))
    began = datetime.now().astimezone().isoformat(" ", "seconds")
    with new_folder(out, f"load-{stem}") as folder:
        try:
            done = asyncio.run(_run(asked, targets, seed, line, sampler, wait))
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        result = Result(stem, began, seed, done, checks(done, percents), sampler)
        write(result, page(result), folder)
    show(result, console)
    console.print(f"{folder / 'report.html'}", highlight=False, soft_wrap=True)
    if done.cut_short in signal.Signals.__members__:
        raise SystemExit(128 + signal.Signals[done.cut_short])
    if done.cut_short:
        raise ImagegraphError(f"cut short {done.cut_words}")
    if not result.passed:
        raise SystemExit(BROKEN)


async def _run(
    asked: Scenario, targets: list[Target], seed: int, line: str, sampler: Sampler, wait_s: float
) -> Run:
    async with contextlib.AsyncExitStack() as stack:
        ways = []
        for target in targets:
            opened = await stack.enter_async_context(Ways(target, asked.values, asked.timeout_seconds))
            await _ready(opened, asked.of_studio, wait_s)
            if any(one.way == "grpc" for one in asked.requests):
                await opened.open_grpc()
            ways.append(opened)

        async def strike() -> None:
            await kill.run(line)

        with _halted_by_signals() as halted:
            return await open_loop(asked, ways, seed, strike if line else None, sampler, _tell, halted)


@contextlib.contextmanager
def _halted_by_signals() -> Iterator[asyncio.Future[str]]:
    """Gives what the first signal that ends programs sets, to its name; a second one ends this one."""
    loop = asyncio.get_running_loop()
    halted: asyncio.Future[str] = loop.create_future()

    def halt(number: signal.Signals) -> None:
        for one in ENDING:
            loop.remove_signal_handler(one)
            signal.signal(one, signal.SIG_DFL)
        if not halted.done():
            halted.set_result(number.name)

    for one in ENDING:
        loop.add_signal_handler(one, halt, one)
    try:
        yield halted
    finally:
        if not halted.done():
            for one in ENDING:
                loop.remove_signal_handler(one)


async def _ready(ways: Ways, of_studio: bool, wait_s: float) -> None:
    """Waits until a host is ready and says what it takes.

    Raises:
        ImagegraphError: it does not in time.
    """
    end = time.monotonic() + wait_s
    while True:
        try:
            return await ways.learn(of_studio)
        except Unavailable as error:
            if time.monotonic() >= end:
                hint = "" if wait_s else "; --wait SECONDS waits for it"
                raise Unavailable(f"{error}{hint}") from error
        await asyncio.sleep(1)


def _tell(now_s: float, run: Run) -> None:
    if console.is_terminal:
        end_s = run.steps[-1].end_s
        answered = sum(one.ended.answered for one in run.outcomes)
        words = (
            f"{min(now_s, end_s):.0f} of {end_s:.0f} s: {answered} answered, {len(run.outcomes) - answered} "
        )
        print(f"\r{words}not, {run.under_way} under way ", end="" if now_s < end_s else "\n", file=sys.stderr)


def _percents(asked: Scenario, traffic: str, manifest: Path | None) -> dict[str, int]:
    """Returns the percent of each version."""
    if not asked.split:
        return {}
    if manifest:
        predictors = strict_yaml.read(manifest, SeldonDeployment).spec.predictors
        return {one.name: one.traffic for one in predictors if not one.shadow}
    expected = "NAME=PERCENT of each version, such as default=80,canary=20, or --manifest"
    try:
        pairs = (one.split("=") for one in traffic.split(","))
        found = {name.strip(): int(percent) for name, percent in pairs}
    except ValueError:
        raise InvalidInput("--traffic", expected, traffic or None) from None
    if sum(found.values()) != 100:
        raise InvalidInput("--traffic", "percents that add up to 100", traffic)
    return found


def _kill_line(asked: Scenario, command: str, selector: str) -> str:
    given = [one for one in (command, selector) if one]
    if asked.kill is None:
        if given:
            raise InvalidInput("--kill-command", "none: this scenario kills nothing", given[0])
        return ""
    if len(given) != 1:
        raise InvalidInput(
            "--kill-command", "either it or --kill-selector: the scenario kills something", given
        )
    return kill.command(command, selector)


def _target(said: str, grpc: str, photo: Path, inputs: list[str]) -> Target:
    graph, url = _perhaps_named(said, "--host", "[GRAPH=]URL such as http://localhost:8080")
    given = {}
    for one in inputs:
        name, value = _named(one, "--input")
        try:
            given[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InvalidInput(
                f"--input {name}", "a value as YAML has it, a text in quotes", value
            ) from error
    try:
        data = photo.read_bytes()
    except OSError as error:
        raise InvalidInput("--photo", "a picture that can be read", f"{photo} ({error.strerror})") from error
    try:
        Image(data).rgb()
    except InvalidInput as error:
        raise InvalidInput("--photo", error.expected, str(photo)) from error
    return Target(url, data, graph, grpc, os.environ.get(TOKEN, ""), given)


def _named(said: str, option: str) -> tuple[str, str]:
    name, equals, value = said.partition("=")
    if not equals or not name:
        raise InvalidInput(option, "NAME=VALUE", said)
    return name, value


def _perhaps_named(said: str, option: str, expected: str) -> tuple[str, str]:
    """Returns the name, if there is one, and the URL."""
    name, url = _named(said, option) if "=" in said.partition("://")[0] else ("", said)
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise InvalidInput(option, expected, said)
    return name, url


def _watched(metrics: list[str]) -> dict[str, str]:
    """Returns the pages of metrics that are to be read, by name."""
    found: dict[str, str] = {}
    for one in metrics:
        name, url = _perhaps_named(one, "--metrics", "[NAME=]URL such as http://localhost:8080/metrics")
        name = name or urlsplit(url).netloc
        if name in found:
            raise InvalidInput("--metrics", "another name for each page", one)
        found[name] = url
    return found


def _pages(asked: Scenario, targets: list[Target]) -> dict[str, str]:
    """Returns the pages of metrics of graphs' servers; a studio's says nothing of what is read here."""
    if asked.of_studio:
        return {}
    alike = [one.graph for one in targets]
    return {
        one.graph if alike.count(one.graph) == 1 and one.graph else urlsplit(one.url).netloc:
        f"{one.url.rstrip('/')}/metrics" for one in targets
    }  # fmt: skip


@app.command()
def plan(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="The result.json of a ramp")],
    rate: Annotated[float, typer.Option(min=0.001, help="Requests a second that are to be borne")],
    within: Annotated[float, typer.Option(min=0.001, help="Longest that 95 of 100 answers may take, s")],
    errors: Annotated[float, typer.Option(min=0, max=1, help="Most that may fail, as a part of 1")] = 0.01,
    headroom: Annotated[float, typer.Option(min=0, max=0.9, help="Part that stays free")] = 0.3,
    cores: Annotated[float, typer.Option(min=0.1, help="CPUs that each pod may use")] = 1.0,
    memory_gib: Annotated[float, typer.Option(min=0, help="Memory that each pod may use, if limited")] = 0.0,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of each pod that uses one")] = 1,
    replicas: Annotated[
        list[str] | None, typer.Option(help="NAME=N pods that the ramp had behind one page of metrics")
    ] = None,
) -> None:
    """Say how much a release bears by a ramp, what limits it, and what a rate needs."""
    given = {}
    for one in replicas or []:
        name, count = _named(one, "--replicas")
        if not count.isdecimal() or not int(count):
            raise InvalidInput("--replicas", "NAME=N with N pods, at least 1", one)
        given[name] = int(count)
    wanted = Wanted(rate, within, errors, headroom, cores, memory_gib * 2**30, given, gpus)
    found = make_plan(read_steps(result), wanted)
    console.print(
        f"Borne with 95 of 100 answers within {within:g} s: {found.knee:.1f} requests/s", highlight=False
    )
    if found.beyond is None:
        console.print("The ramp never came to the knee: the release bears more than it was asked for.")
    else:
        console.print(f"No longer at {found.beyond:.1f}/s: {found.broke}", highlight=False)
    if found.lost:
        raise ImagegraphError(
            f"requests were lost there, and {found.lost}: this tells when something ended, or stopped to "
            "answer, and not what the release bears"
        )
    if found.limits is None:
        console.print(f"No metrics were read: for {rate:g}/s, take the whole release {found.whole} times")
        return
    limit = found.limits
    if limit.limit == NOTHING:
        console.print(
            f"What limits: nothing that servers show; the busiest is {limit.name} ({limit.busy:.0%})"
        )
    else:
        console.print(f"What limits: {limit.limit} of {limit.name}")
    table = table_of(f"For {rate:g} requests/s with {headroom:.0%} left free", "server", "full")
    for name in ("pods in the ramp", "busy at the knee", "requests/s a pod", "pods needed", "GPUs"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found.servers:
        counts = (str(one.needed), str(one.gpus))
        table.add_row(one.name, one.limit, str(one.pods), f"{one.busy:.0%}", f"{one.per_pod:.1f}", *counts)
    console.print(table)


def main() -> None:
    """Runs the command line."""
    try:
        app(prog_name="load.py")
    except ImagegraphError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(WRONG)


if __name__ == "__main__":
    main()
