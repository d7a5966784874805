"""Makes the cache hold what it should: looks, fetches what lacks, verifies, makes it visible."""

from __future__ import annotations

import contextlib
import random
import shutil
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from imagegraph.errors import MissingWeights
from imagegraph.spec.weights import Source, content_version, file_size
from model_init import store
from model_init.digests import Digest, differing
from model_init.errors import (
    Busy,
    LeaseLost,
    NoSpace,
    NotWritable,
    Stopped,
    Unreachable,
    WrongBytes,
    WrongPin,
)
from model_init.landing import Landing
from model_init.lease import STOPPED, hold
from model_init.origins import Origin, Remote, origin_of
from model_init.report import Report, human
from model_init.store import Check, Repository

LONGEST_WAIT_S = 60.0
WRONG_BYTES_ATTEMPTS = 3

One = TypeVar("One")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Settings:
    """How to pull.

    Attributes:
        workers: downloads at once.
        attempts: how often a file or a listing is tried.
        wait_s: wait after the first failure; it doubles with every further one.
        lock_timeout_s: how long to wait for somebody else who pulls the same.
    """

    deep: bool = False
    workers: int = 8
    attempts: int = 6
    wait_s: float = 1.0
    lock_timeout_s: float = 3600.0


@dataclass(frozen=True)
class Summary:
    """What is there after a pull."""

    repositories: int
    files: int
    size: int
    fetched: int


@dataclass
class Item:
    """A source, its place in the cache and what was found there."""

    source: Source
    repository: Repository
    revision: str
    check: Check
    files: list[Remote] = field(default_factory=list)

    @cached_property
    def origin(self) -> Origin:
        """Where its bytes come from; made when something lacks, since that imports a client."""
        return origin_of(self.source)


class Pull:
    """One run."""

    def __init__(
        self, cache: Path, sources: list[Source], settings: Settings, report: Report, stop: threading.Event
    ) -> None:
        """Takes what is to be there; `stop` ends the run within seconds."""
        self._cache, self._sources, self._settings = cache, sources, settings
        self._report, self._stop = report, stop

    def run(self) -> Summary:
        """Pulls what lacks, and verifies the rest.

        Raises:
            Failure: says what to do.
        """
        items = survey(self._cache, self._sources, self._settings.deep)
        lacking = [item for item in items if not item.check.complete]
        if lacking:
            self._fetch(lacking)
        for item in items:
            if item.check.manifest and (item.check.touched or self._settings.deep):
                verified = None if self._settings.deep else item.check.manifest.verified
                with contextlib.suppress(NotWritable):  # what was found is right all the same
                    item.repository.record(item.source, item.revision, item.check.digests, verified)
        manifests = [item.check.manifest for item in items if item.check.manifest]
        return Summary(
            repositories=len(items),
            files=sum(len(manifest.files) for manifest in manifests),
            size=sum(manifest.size for manifest in manifests),
            fetched=self._report.fetched,
        )

    def _fetch(self, items: list[Item]) -> None:
        """Fetches what all of `items` lack; one that fails does not stop the others."""
        for item in items:
            self._report.say(f"{item.source} at {item.revision[:12]}: {item.check.finding}")
            item.origin  # noqa: B018  (here, since setting up the hub's client is for one thread)
        with ThreadPoolExecutor(len(items)) as lists:
            each(lists, self._list, items)
        self._preflight(items)
        with ThreadPoolExecutor(self._settings.workers) as files, ThreadPoolExecutor(len(items)) as all_items:
            each(all_items, lambda item: self._restore(item, files), items)

    def _list(self, item: Item) -> None:
        item.files = self._patiently(lambda _: item.origin.files(), "listing")

    def _preflight(self, items: list[Item]) -> None:
        """Makes sure that the volume can be written to and has the space."""
        writing = Repository(self._cache, "").writing
        with writing():
            self._cache.mkdir(parents=True, exist_ok=True)
        need = 0
        for item in items:
            right = item.check.digests.keys() - item.check.broken.keys()
            lacks = {remote.key: remote for remote in item.files if remote.path not in right}
            for key, remote in lacks.items():
                there = file_size(item.repository.blob(key)) or file_size(item.repository.partial(key)) or 0
                need += max(remote.size - there, 0)
        free = shutil.disk_usage(self._cache).free
        if need > free:
            raise NoSpace(
                f"{human(need)} must be fetched, but {self._cache} has {human(free)} free; "
                "enlarge the volume or run `model-init gc --delete`"
            )
        self._report.expect(need)

    def _restore(self, item: Item, pool: ThreadPoolExecutor) -> None:
        """Makes one snapshot complete, unless somebody else has done it meanwhile."""
        for _ in range(self._settings.attempts):
            lock = hold(item.repository, self._settings.lock_timeout_s, self._stop, self._report.say)
            with contextlib.suppress(LeaseLost), lock as keep_on:
                self._restore_alone(item, pool, keep_on)
                return
        raise Busy(f"{item.source}: lost the lock {self._settings.attempts} times; is the volume very slow?")

    def _restore_alone(self, item: Item, pool: ThreadPoolExecutor, keep_on: Callable[[], None]) -> None:
        repository, revision = item.repository, item.revision
        repository.prepare()
        [now] = store.check([(repository, revision)], deep=False)
        digests, lacking = self._sort(item, now)
        remotes = list({remote.key: remote for remote in lacking}.values())
        landed = dict(
            zip(
                (remote.key for remote in remotes),
                each(pool, lambda remote: self._land(item, remote, keep_on), remotes),
                strict=True,
            )
        )
        digests |= {remote.path: landed[remote.key] for remote in lacking}
        if not item.source.repo:
            content = content_version(
                {path: bytes.fromhex(digest.partition(":")[2]) for path, digest in digests.items()}
            )
            if content != revision:
                raise WrongPin(
                    f"{item.source} holds {content}, not {revision}: it was changed, or is pinned wrong"
                )
        keep_on()
        repository.publish(item.source, revision, digests, now.manifest.verified if now.manifest else None)
        item.check = store.check([(repository, revision)], deep=False)[0]

    def _sort(self, item: Item, now: Check) -> tuple[dict[str, str], list[Remote]]:
        """Returns the hashes of files that are right in the cache, and the files that must be fetched."""
        recorded = now.manifest.files if now.manifest else {}
        digests, doubtful = {}, []
        for remote in item.files:
            digest = remote.digest or (recorded[remote.path].digest if remote.path in recorded else None)
            if digest is None:
                continue
            blob = item.repository.blob(digest.partition(":")[2])
            if file_size(blob) == remote.size:
                digests[remote.path] = digest
                if remote.path not in recorded or remote.path in {**now.broken, **item.check.broken}:
                    doubtful.append((blob, digest))
        for blob in differing(doubtful):
            with item.repository.writing():
                blob.unlink(missing_ok=True)
        for path, digest in list(digests.items()):
            if not item.repository.blob(digest.partition(":")[2]).exists():
                del digests[path]
        return digests, [remote for remote in item.files if remote.path not in digests]

    def _land(self, item: Item, remote: Remote, keep_on: Callable[[], None]) -> str:
        """Brings one file to its place among the blobs and returns its hash."""
        partial = item.repository.partial(remote.key)
        kind = (remote.digest or "sha256:").partition(":")[0]

        def land(attempt: int) -> str:
            keep_on()
            with Landing(
                partial, Digest(kind, remote.size), remote.size, keep_on, self._report.count
            ) as landing:
                if landing.size < remote.size:
                    item.origin.fetch(remote, landing, attempt)
                digest = landing.finish()
            if landing.size != remote.size or digest != (remote.digest or digest):
                raise WrongBytes(
                    f"came with {landing.size} bytes and hash {digest}, "
                    f"expected {remote.size} and {remote.digest}"
                )
            with item.repository.writing():
                partial.replace(item.repository.blob(digest.partition(":")[2]))
            return digest

        def land_right(attempt: int) -> str:
            try:
                return land(attempt)
            except WrongBytes as error:
                with item.repository.writing():
                    self._report.count(-partial.stat().st_size)
                    partial.unlink()
                raise WrongBytes(f"{item.source}: {remote.path}: {error}") from error

        return self._patiently(land_right, remote.path)

    def _patiently(self, action: Callable[[int], Result], what: str) -> Result:
        """Calls until it succeeds, waiting longer each time."""
        attempt = 0
        while True:
            try:
                return action(attempt)
            except (Unreachable, WrongBytes) as error:
                attempt += 1
                most = self._settings.attempts
                if attempt >= (min(most, WRONG_BYTES_ATTEMPTS) if isinstance(error, WrongBytes) else most):
                    raise
                wait_s = self._settings.wait_s * 2 ** (attempt - 1) * random.uniform(0.5, 1)
                wait_s = min(max(wait_s, getattr(error, "retry_after_s", None) or 0), LONGEST_WAIT_S)
                self._report.say(f"  {what}: {error}; again in {wait_s:.0f} s")
                if self._stop.wait(wait_s):
                    raise Stopped(STOPPED) from error


def survey(cache: Path, sources: list[Source], deep: bool) -> list[Item]:
    """Looks what is there of the sources.

    Raises:
        WrongPin: a folder is neither here nor in the cache.
    """
    try:
        places = [(source, Repository(cache, source.repository), source.version) for source in sources]
    except MissingWeights as error:
        raise WrongPin(
            f"{error}, and nothing to pull them from; `make pocket` trains those of pocket"
        ) from error
    checks = store.check([(repository, revision) for _, repository, revision in places], deep)
    return [
        Item(source, repository, revision, check)
        for (source, repository, revision), check in zip(places, checks, strict=True)
    ]


def each(pool: ThreadPoolExecutor, action: Callable[[One], Result], ones: Iterable[One]) -> list[Result]:
    """Does all in a pool; when some fail, the rest is finished before the first failure is raised."""
    futures = [pool.submit(action, one) for one in ones]
    errors = [error for future in futures if (error := future.exception())]
    if errors:
        raise errors[0]
    return [future.result() for future in futures]
