"""Opens a studio: store, graphs, jobs; closes it in order."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from imagegraph.calls.store import MemoryStore
from imagegraph.errors import ImagegraphError, InvalidInput
from imagegraph.spec.catalogue import ROOT, Catalogue
from studio.api import metrics, uploads
from studio.api.access import LOCAL, Rates
from studio.api.context import Studio
from studio.backends.backend import Backend, Backends
from studio.backends.embedded import EmbeddedBackend, offered
from studio.backends.remote import RemoteBackend
from studio.jobs.bell import Bell
from studio.jobs.likeness import Likeness
from studio.jobs.runner import Runner
from studio.metrics import Metrics
from studio.settings import Settings
from studio.store import queue
from studio.store.contents import Contents
from studio.store.database import Database
from studio.store.figures import Figures
from studio.store.gallery import Totals
from studio.store.retention import Retention
from studio.store.usage import Usage

log = logging.getLogger("studio")

CLEANING_S = 600.0
EXAMPLES = ("scene.png", "drawing.png")


@contextlib.asynccontextmanager
async def opened(settings: Settings, counted: Metrics) -> AsyncIterator[Studio]:
    """Yields a studio that takes requests and runs jobs.

    Raises:
        InvalidInput: a setting is wrong, or another server has the folder.
    """
    settings.check()
    with contextlib.ExitStack() as stack:
        database = Database(settings.database_url, counted.transaction)
        stack.callback(database.close)
        if database.is_sqlite:
            stack.enter_context(alone(Path(str(database.url.database))))
        studio = await asyncio.to_thread(_open, settings, database, counted)
        stack.callback(studio.backends.close)
        counted.registry.register(Figures(database, settings.queue))
        stack.enter_context(metrics.at_own_port(settings, counted))
        studio.bell.start()
        studio.runner.start()
        studio.likeness.start(lambda: studio.runner.is_idle)
        cleaning = asyncio.create_task(_let_go(studio))
        describing = asyncio.create_task(asyncio.to_thread(_describe, studio))
        try:
            yield studio
        finally:
            cleaning.cancel()
            describing.cancel()
            await studio.likeness.stop()
            await studio.runner.stop()


def _open(settings: Settings, database: Database, counted: Metrics) -> Studio:
    database.migrate()
    contents = Contents(database, settings.storage_url, settings.megapixels * 1e6)
    cache = MemoryStore(settings.cache_mib * 2**20) if settings.cache_mib and settings.runs_graphs else None
    backends = Backends(list(_backends(settings, cache)))
    bell = Bell()
    usage = Usage(database, settings.user_mib * 2**20)
    runner = Runner(settings, database, contents, backends, bell, usage, counted)
    counted.gauge("jobs_running", "Jobs that run here", lambda: runner.running)
    likeness = Likeness(database, contents, backends, bell)
    totals = Totals(database)
    rates = Rates(settings.user_requests)
    studio = Studio(
        settings, database, contents, backends, bell, runner, likeness, totals, usage, rates, cache, counted
    )
    if database.is_sqlite:
        with database.write() as session:
            queue.release(session)  # whoever had them has ended, or this folder would not be ours
    for name in EXAMPLES:
        uploads.keep(studio, (ROOT / "pocket" / "examples" / name).read_bytes(), LOCAL, name, "example")
    if settings.preload in backends:
        _preload(backends.find(settings.preload))
    return studio


def _describe(studio: Studio) -> None:
    """Looks at graphs of this process before somebody asks for all of them."""
    for one in studio.backends:
        if isinstance(one, EmbeddedBackend):
            one.describe()


async def _let_go(studio: Studio) -> None:
    """Lets go of what is not kept any more, again and again."""
    days, gib = studio.settings.retention_days, studio.settings.retention_gib
    retention = Retention(studio.database, studio.contents, days, gib)
    while True:
        await asyncio.sleep(CLEANING_S)
        try:
            await asyncio.to_thread(retention)
        except Exception:
            log.exception("cannot let go of old pictures")


def _preload(backend: Backend) -> None:
    try:
        backend.open(backend.version(None))
    except ImagegraphError as error:
        log.warning("%s is not loaded yet: %s", backend.name, error)


def _backends(settings: Settings, cache: MemoryStore | None) -> Iterator[Backend]:
    catalogue = Catalogue.read(settings.catalogue)
    for name, url in settings.graphs.items():
        yield RemoteBackend(name, url, catalogue)
    if settings.runs_graphs:
        for name in offered(catalogue):
            bundles = catalogue.bundles(catalogue.graph(name).root)
            if name not in settings.graphs and settings.bundle in bundles:
                yield EmbeddedBackend(name, catalogue, settings, cache)


@contextlib.contextmanager
def alone(database: Path) -> Iterator[None]:
    """Makes sure that no other server has the same SQLite file.

    Raises:
        InvalidInput: one has.
    """
    with database.with_suffix(".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            expected = "a folder that no other studio has open; several share PostgreSQL"
            raise InvalidInput("STUDIO_DATA", expected, str(database.parent)) from error
        yield
