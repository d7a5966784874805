"""The command line of model-init."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from imagegraph.errors import InvalidDocument, UnknownName
from imagegraph.spec.weights import Manifest, cache_folder
from model_init import clean
from model_init.errors import Busy, Failure, Incomplete, Stopped
from model_init.lease import LEASE_S, hold
from model_init.origins import Folder, Hub
from model_init.plan import Catalogue, named
from model_init.pull import Pull, Settings, survey
from model_init.report import Report, human, leave_message, write_metrics

GRACE_S = 10.0  # Kubernetes gives 30 s before it kills
FAULT = 1
LOOK_S = 10.0
STOP = threading.Event()


def pull(options: argparse.Namespace) -> str:
    """Make the cache hold what a bundle needs, verified."""
    sources = Catalogue.read(options.catalogue).sources(options.bundle, options.entry)
    settings = Settings(
        deep=options.deep,
        workers=options.workers,
        attempts=options.attempts,
        wait_s=options.wait,
        lock_timeout_s=options.lock_timeout,
    )
    with Report(options.every) as report:
        done = Pull(cache_folder(), sources, settings, report, STOP).run()
    options.facts |= {"fetched_bytes": done.fetched, "cache_bytes": done.size}
    return (
        f"complete: {done.repositories} repositories, {done.files} files, {human(done.size)}; "
        f"fetched {human(done.fetched)} in {report.seconds:.1f} s"
    )


def verify(options: argparse.Namespace) -> str:
    """Compare the cache with its manifests; changes nothing and asks nobody."""
    sources = Catalogue.read(options.catalogue).sources(options.bundle, options.entry)
    start = time.monotonic()
    said = ""
    while True:
        items = survey(cache_folder(), sources, options.deep)
        lacking = [item for item in items if not item.check.complete]
        found = "\n".join(f"{item.source} at {item.revision[:12]}: {item.check.finding}" for item in lacking)
        if lacking and found != said:
            print(found, flush=True)
        said, waited = found, time.monotonic() - start
        if not lacking or waited >= options.within:
            break
        print(f"{len(lacking)} of {len(items)} lack after {waited:.0f} s; waiting for who pulls", flush=True)
        if STOP.wait(min(options.every, options.within - waited)):
            raise Stopped("told to stop")
    size = sum(item.check.manifest.size for item in items if item.check.manifest)
    options.facts["cache_bytes"] = size
    if lacking:
        raise Incomplete(
            f"{len(lacking)} of {len(items)} repositories are incomplete or broken; "
            f"run: model-init pull --bundle {options.bundle}"
        )
    how = "every byte" if options.deep else "sizes and times"
    return f"right: {len(items)} repositories, {human(size)}, {how} in {time.monotonic() - start:.1f} s"


def gc(options: argparse.Namespace) -> str:
    """Remove revisions that no catalogue names; without --delete only say what would go."""
    cache = cache_folder()
    keep = clean.named(cache, named(options.catalogue))
    freed, busy = 0, 0
    for repository in clean.repositories(cache):
        found = clean.leftover(repository, keep)
        if not found.snapshots and not found.blobs:
            continue
        size = found.size
        names = ", ".join(snapshot.name[:12] for snapshot in found.snapshots) or "unfinished downloads"
        print(f"{repository.name}: {names}, {human(size)}")
        try:
            if options.delete:
                with hold(repository, 2 * LEASE_S, STOP, print, only_of_dead=True):
                    clean.leftover(repository, keep).remove()
            freed += size
        except Busy:
            busy += 1
            print(f"{repository.name}: is being pulled now; left alone")
    if busy:
        raise Busy(f"{busy} repositories are being pulled now and were left alone; freed {human(freed)}")
    return f"freed {human(freed)}" if options.delete else f"would free {human(freed)}; --delete does it"


def ls(options: argparse.Namespace) -> str:
    """List what was pulled: how large, how many files, when every byte was last verified."""
    total = 0
    for repository in clean.repositories(cache_folder()):
        for snapshot in repository.snapshots():
            manifest = Manifest.read(repository.folder, snapshot.name)
            size = human(manifest.size) if manifest else "?"
            total += manifest.size if manifest else 0
            files = f"{len(manifest.files)} files" if manifest else "unfinished"
            when = manifest.verified if manifest else "never"
            print(f"{size:>9}  {files:>10}  {when:25}  {snapshot.name[:12]}  {repository.name}")
    return f"{human(total)} in {cache_folder()}"


def hash_(options: argparse.Namespace) -> str:
    """Print the revision that pins a folder or a url in the catalogue."""
    return Folder(options.address).version()


def pin(options: argparse.Namespace) -> str:
    """Print the commit that a repository of the hub is at now, by which a catalogue pins it."""
    return Hub(options.repository, options.revision).commit()


def _parser() -> argparse.ArgumentParser:
    everywhere = argparse.ArgumentParser(add_help=False)
    option = everywhere.add_argument
    option("--cache", type=Path, help="the cache (default: HF_HUB_CACHE, or hub in HF_HOME)")
    option("--termination-log", type=Path, metavar="FILE", help="write the last line there, too")
    option("--metrics-file", type=Path, metavar="FILE", help="write a Prometheus text file")
    catalogue = argparse.ArgumentParser(add_help=False)
    option = catalogue.add_argument
    said = "added to the project's and to those that IMAGEGRAPH_CATALOGUE lists; repeatable"
    option("--catalogue", type=Path, action="append", default=[], metavar="FILE", help=said)
    bundle = argparse.ArgumentParser(add_help=False, parents=[catalogue])
    option = bundle.add_argument
    option("--bundle", required=True, help="pocket, sd15, …")
    option("--entry", action="append", default=[], help="only this and those it uses; repeatable")
    option("--deep", action="store_true", help="hash every file, not only those that were touched")

    parser = argparse.ArgumentParser(prog="model-init", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(
        name: str, action: Callable[[argparse.Namespace], str], *parents: argparse.ArgumentParser
    ) -> Callable[..., argparse.Action]:
        text = action.__doc__
        one = commands.add_parser(name, help=text, description=text, parents=[*parents, everywhere])
        one.set_defaults(action=action)
        return one.add_argument

    option = command("pull", pull, bundle)
    option("--workers", type=int, default=Settings.workers, help="downloads at once")
    option("--attempts", type=int, default=Settings.attempts, help="tries of a file or listing")
    option("--wait", type=float, default=Settings.wait_s, metavar="S", help="after a failure; doubles")
    option("--lock-timeout", type=float, default=Settings.lock_timeout_s, metavar="S", help="for others")
    option("--every", type=float, default=Report.every_s, metavar="S", help="time between progress lines")
    option = command("verify", verify, bundle)
    option("--within", type=float, default=0.0, metavar="S", help="wait so long for who pulls (default: 0)")
    option("--every", type=float, default=LOOK_S, metavar="S", help="time between looks")
    option = command("gc", gc, catalogue)
    option("--delete", action="store_true", help="do it")
    command("ls", ls)
    command("hash", hash_)("address", help="a folder, or a url such as gs://bucket/folder")
    option = command("pin", pin)
    option("repository", help="owner/name, as the hub calls it")
    option("--revision", default="main", help="branch or tag (default: main)")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; the last line and the exit code say what happened."""
    options = _parser().parse_args(arguments)
    options.facts = {}
    if options.cache:
        os.environ["HF_HUB_CACHE"] = str(options.cache)  # for the hub's client as well
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, _stop)
    start = time.monotonic()
    try:
        line, code = options.action(options), 0
    except (InvalidDocument, UnknownName) as error:
        line, code = str(error), 2
    except Failure as error:
        line, code = str(error), error.exit_code
    except Exception as error:
        traceback.print_exc()
        line, code = f"{type(error).__name__}: {error}", FAULT
    line = line if code == 0 else f"error {code}: {line}"
    print(line, flush=True)
    leave_message(f"model-init: {line}", options.termination_log)
    if options.metrics_file:
        facts = {"success": code == 0, "exit_code": code, "duration_seconds": time.monotonic() - start}
        write_metrics(
            options.metrics_file, facts | options.facts | {"finished_timestamp_seconds": time.time()}
        )
    sys.exit(code)


def _stop(*_: object) -> None:
    """Lets the work end by itself, so that its lock is free at once; nothing that hangs shall hinder it."""
    STOP.set()
    timer = threading.Timer(GRACE_S, os._exit, [143])
    timer.daemon = True
    timer.start()
