"""Loading components: once each, in the background, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import logging
import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from imagegraph.component import Component
from imagegraph.errors import ImagegraphError, InvalidInput, describe
from imagegraph.spec.catalogue import Catalogue

log = logging.getLogger("imagegraph.calls.loading")

# While one model loads, torch makes the tensors of all threads without memory ("meta").
LOADING = threading.Lock()
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_MANY = 100_000  # new objects


def check_device(device: str) -> None:
    """Refuses what is no name of a device.

    Raises:
        InvalidInput: no device is called like this; whether it is here, torch says later.
    """
    if not _DEVICE.fullmatch(device):
        raise InvalidInput("device", "auto, cpu, cuda, cuda:N or mps", device)


@contextlib.contextmanager
def _seldom_collected() -> Iterator[None]:
    """Has garbage looked for seldom: imports make little, and leave more and more that is looked through."""
    before = gc.get_threshold()
    if before[0]:  # else it is off
        gc.set_threshold(_MANY, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class Loader:
    """Loads components in the order given, on one thread: torch's libraries cannot be imported by several.

    Attributes:
        seconds: that each entry took, of those loaded so far.
        versions: of what computes each of these; see `version`.
    """

    def __init__(self, catalogue: Catalogue, bundle: str, names: Sequence[str], device: str) -> None:
        """Starts to load the components of the entries `names`, each once and after those that it uses.

        Raises:
            InvalidInput: as `check_device`.
        """
        check_device(device)
        self._catalogue = catalogue
        self._bundle = bundle
        self._device = device
        self._thread = ThreadPoolExecutor(1, "load")
        self._closed = False
        self._components: dict[str, Future[Component]] = {}
        self.seconds: dict[str, float] = {}
        self.versions: dict[str, str] = {}
        for index, name in enumerate(names):
            self._components[name] = self._thread.submit(self._load, name, names[:index])

    def _load(self, name: str, earlier: Sequence[str]) -> Component:
        start = time.perf_counter()
        try:
            component = self._loaded(name, earlier)
        except ImagegraphError:
            log.debug("'%s' cannot be loaded", name, exc_info=True)
            raise
        except BaseException as error:  # SystemExit, too: libraries do not decide about the process
            log.error("'%s' cannot be loaded", name, exc_info=True)
            cause = " ".join(describe(error).split())
            raise ImagegraphError(
                f"'{name}' cannot be loaded: {cause[:300]}; {self._remedy(name, error)}"
            ) from error
        self.seconds[name] = time.perf_counter() - start
        return component

    def _loaded(self, name: str, earlier: Sequence[str]) -> Component:
        entry = self._catalogue.entry(name)
        # What is used and not asked for is left out; the others were loaded on this very thread before.
        used = {role: other for role, other in entry.uses.items() if other in earlier}
        uses = {role: self._components[other].result() for role, other in used.items()}
        component = entry.build(self._bundle, uses)
        weights = entry.weights(self._bundle, self._device)
        with LOADING, _seldom_collected():
            if self._closed:
                raise ImagegraphError(f"nobody waits for '{name}' any more")
            component.load(weights)
        versions = {role: self.versions[other] for role, other in used.items()}
        self.versions[name] = entry.version(self._bundle, weights, versions)
        return component

    def _remedy(self, name: str, error: BaseException) -> str:
        if isinstance(error, ImportError):
            return "install what it needs, such as imagegraph[models]"
        if self._catalogue.entry(name).variant(self._bundle).weights:
            return f"if its weights are broken, pull them again: model-init pull --bundle {self._bundle}"
        return "the log, or --debug, shows where"

    async def ready(self) -> None:
        """Waits until every component is loaded.

        Raises:
            ImagegraphError: of the first that failed to load, with the entry's name for a node.
        """
        for name in self._components:
            try:
                await self.component(name)
            except ImagegraphError as error:
                error.node = name
                raise

    async def component(self, name: str) -> Component:
        """Returns a component, once it is loaded.

        Raises:
            ImagegraphError: it cannot be loaded.
        """
        loading = self._components[name]
        try:
            if loading.done():
                return loading.result()
            # Shielded: a request that is cancelled while it waits shall not cancel the loading for all.
            return await asyncio.shield(asyncio.wrap_future(loading))
        except ImagegraphError as error:
            # The same failure meets every request and node; each may write its own node on it.
            raise copy.copy(error) from error

    def close(self) -> None:
        """Gives up what has not begun, and lets go of what is loaded, whoever still holds this."""
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._components = {}
