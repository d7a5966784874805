"""Server processes, forked from one that has imported everything: a start takes no seconds of imports.

They run the command line's own `main`, with arguments, environment and output of their own.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
# By name: whoever starts servers need not import all this.
CONTEXT.set_forkserver_preload(
    [
        "imagegraph.cli.app",
        "imagegraph.serve.process",
        "imagegraph.serve.build",
        "imagegraph.calls.over_grpc",
        "imagegraph.serve.grpc_v2",
        "imagegraph.observe.tracing",
        "studio.server",
    ]
)


class Forked:
    """A process that runs `imagegraph` with some arguments; as subprocess.Popen, where tests need it."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._process = CONTEXT.Process(target=_run, args=(arguments, dict(environment), log), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutError(f"process {self.pid} still runs after {timeout} s")
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()


def _run(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = environment["PYTHONPATH"].split(os.pathsep)
    sys.argv = ["imagegraph", *arguments]
    from imagegraph.cli.app import main

    main()
