"""Whether a predictor can be asked: the pods of its nodes are asked again and again if they are ready.

An engine sends requests to predictors whose every node has a pod that is ready. A canary that crashes, or
whose image does not exist, so costs what was under way when its last pod went, and no more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

log = logging.getLogger("imagegraph.calls.readiness")

PROBE_S = 1.0
AGAIN_S = 0.5  # after a node that was not ready
# A pod on its way out says that it is not ready, a moment before its Service leads elsewhere.
MISSES = 3


class Watch:
    """Watches one predictor.

    Attributes:
        up: whether it is sent requests; where there is no other that is up, it is sent them all the same.
        trouble: why not.
    """

    def __init__(
        self,
        predictor: str,
        unready: Callable[[], Awaitable[Sequence[str]]],
        tell: Callable[[str, bool], None],
        *,
        up: bool,
    ) -> None:
        """Takes what to watch; nothing is asked before `start`.

        Args:
            unready: asks the pods once; returns the nodes without one that is ready.
            tell: is told of the predictor and whether it is up, at the start and when that changes.
            up: what to believe until the first answer.
        """
        self.predictor = predictor
        self.up = up
        self.trouble = "" if up else "its pods have not been ready yet"
        self._unready = unready
        self._tell = tell
        self._seen = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to ask."""
        self._tell(self.predictor, self.up)
        self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        """Asks no more; what was known stays."""
        if self._task:
            self._task.cancel()

    async def seen(self) -> None:
        """Waits until all nodes have been ready at once."""
        await self._seen.wait()

    async def _run(self) -> None:
        misses = 0
        while True:
            nodes = await self._unready()
            misses = misses + 1 if nodes else 0
            if not nodes:
                self._seen.set()
                self._set(True, "")
            elif misses >= MISSES:
                self._set(False, f"no pod is ready of {', '.join(nodes)}")
            await asyncio.sleep(AGAIN_S if nodes else PROBE_S)

    def _set(self, up: bool, trouble: str) -> None:
        changed, self.up, self.trouble = up != self.up, up, trouble
        if not changed:
            return
        if up:
            log.info("predictor '%s' is up: all its nodes have pods that are ready", self.predictor)
        else:
            log.warning("predictor '%s' is down, others get its requests: %s", self.predictor, trouble)
        self._tell(self.predictor, up)
