"""Components that ran out of memory: asked for nothing until it was tried that they work again."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from imagegraph.calls.worker import Worker
from imagegraph.component import Component, Progress
from imagegraph.errors import InvalidInput, describe
from imagegraph.signature import Signature
from imagegraph.spec.catalogue import Catalogue

log = logging.getLogger("imagegraph.calls.recovery")

PAUSES_S = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # before each try; the last one stays


class Recovery:
    """The entries that ran out of memory, each tried on its smoke input until that can be computed."""

    def __init__(
        self,
        catalogue: Catalogue,
        signatures: Mapping[str, Signature],
        defaults: Mapping[str, Mapping[str, Any]],
        workers: Mapping[str, Worker],
    ) -> None:
        """Takes the ports, their defaults and the thread of every entry."""
        self._catalogue = catalogue
        self._signatures = signatures
        self._defaults = defaults
        self._workers = workers
        self._tries: dict[str, asyncio.Task[None]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._tries

    @property
    def names(self) -> Sequence[str]:
        """The entries that have not shown yet that they work again."""
        return list(self._tries)

    def begin(self, name: str, component: Component) -> None:
        """Counts an entry among them, until its component computes its smoke input."""
        if name not in self._tries:
            self._tries[name] = asyncio.create_task(self._try(name, component))

    async def _try(self, name: str, component: Component) -> None:
        log.error("'%s' is out of memory", name)
        try:
            for attempt in itertools.count():
                await asyncio.sleep(PAUSES_S[min(attempt, len(PAUSES_S) - 1)])
                try:
                    if await self._workers[name].run(self._compute, name, component):
                        log.info("'%s' works again", name)
                    return
                except Exception as error:
                    log.warning("'%s' is still out of order: %s", name, describe(error))
        finally:
            del self._tries[name]

    def _compute(self, name: str, component: Component) -> bool:
        """Computes the smoke input; returns whether there is one here."""
        release_memory()
        signature = self._signatures[name]
        try:
            values = self._catalogue.entry(name).smoke_values(signature)
            arguments = signature.bind(values, self._defaults[name])
        except (OSError, InvalidInput) as error:
            log.warning("'%s' takes requests again untried: no smoke input here: %s", name, error)
            return False
        if signature.progress:
            arguments[signature.progress] = Progress()
        component.predict(**arguments)
        return True

    def close(self) -> None:
        """Gives up trying."""
        for task in self._tries.values():
            task.cancel()


def release_memory() -> None:
    """Gives what torch keeps for later back to the device."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
