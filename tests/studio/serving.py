"""Studios on real sockets: in a thread of the tests, or as processes that can be killed."""

import contextlib
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from imagegraph.spec.catalogue import ROOT
from studio import app
from studio.server import configured
from studio.settings import Settings
from studio.store.queue import ACTIVE
from tests import tiny
from tests.serve.forked import Forked

MORE = """
  painter: {component: tests.studio.painter:Painter, summary: Paints in steps, bundles: {pocket: {}}}
"""
SCENE = ROOT / "pocket" / "examples" / "scene.png"


def catalogue(folder: Path) -> Path:
    """Writes the tiny catalogue, with a painter that takes its time."""
    path = folder / "catalogue.yaml"
    path.write_text(tiny.CATALOGUE.replace("\ngraphs:", f"{MORE}graphs:"))
    return path


def settings(folder: Path, **more: Any) -> Settings:
    """Returns settings of a studio over the tiny catalogue."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {"data": folder / "data", "catalogue": (catalogue(folder),), "preload": "", "port": 0}
    return Settings(**{**known, **more})


class Studio(httpx.Client):
    """A client of a studio that runs."""

    def example(self) -> dict[str, Any]:
        """Returns the picture that newcomers begin with."""
        return self.get("/api/examples").json()[0]

    def run(self, graph: str, inputs: dict[str, Any], wait: int = 60, **more: Any) -> dict[str, Any]:
        """Runs a graph to its end, however long that takes."""
        answer = self.post(
            f"/api/graphs/{graph}/jobs",
            params={"wait": wait},
            json={"inputs": inputs},
            timeout=wait + 10,
            **more,
        )
        assert answer.status_code in (200, 202), answer.text
        job: dict[str, Any] = answer.json()
        while job["state"] in ACTIVE:
            job = self.get(f"/api/jobs/{job['id']}", params={"wait": wait}, timeout=wait + 10).json()
        return job


@contextlib.contextmanager
def running(known: Settings) -> Iterator[Studio]:
    """Serves a studio in a thread."""
    server = uvicorn.Server(configured(app.make(known)))
    server.config.port = 0
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the studio did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with Studio(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


class Process:
    """A studio as a process; `client` asks it."""

    def __init__(self, known: Settings, port: str = "0", **environment: str) -> None:
        """Starts it, and waits until it says that it is there."""
        arguments = ["studio", "--port", port, "--data", str(known.data)]
        arguments += [word for one in known.catalogue for word in ("--catalogue", str(one))]
        said = {"STUDIO_PRELOAD": known.preload, "STUDIO_DATABASE": known.database, **environment}
        log = known.data.parent / f"{secrets.token_hex(4)}.log"
        self.process = Forked(arguments, {**os.environ, **said, "PYTHONPATH": str(ROOT)}, log)
        self.client = Studio(base_url=wait_for(lambda: self._address(log), 60), timeout=60)

    def _address(self, log: Path) -> str:
        assert self.process.poll() is None, log.read_text()
        words = log.read_text().split() if log.exists() else []
        return next((one for one in words if one.startswith("http://")), "")

    def kill(self) -> None:
        """Ends it at once, in the middle of whatever it does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self.client.close()

    def stop(self) -> None:
        """Ends it in order."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        self.client.close()


def wait_for(condition: Any, timeout_s: float = 20.0) -> Any:
    """Waits until something is true; returns it."""
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return found
