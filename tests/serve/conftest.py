"""Real server processes on real sockets, with tiny components."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagegraph.spec.catalogue import ROOT
from tests import tiny
from tests.serve.forked import Forked

MORE = """
  identity: {component: tests.serve.serving:Identity,
    summary: Answers the picture it got, bundles: {pocket: {}}}
  asleep: {component: tests.serve.serving:Asleep, summary: Sleeps, bundles: {pocket: {}}}
  stubborn: {component: tests.serve.serving:Stubborn, summary: Sleeps soundly, bundles: {pocket: {}}}
  everything: {component: tests.serve.serving:Everything,
    summary: Reads all kinds of ports, bundles: {pocket: {}}}
  painting: {component: tests.serve.serving:Painting, summary: Paints in steps, bundles: {pocket: {}}}
  hungry: {component: tests.serve.serving:Hungry,
    summary: Needs memory, smoke: {size: 1}, bundles: {pocket: {}}}
  echo: {component: tests.serve.serving:Echo, summary: Says all kinds of values again, bundles: {pocket: {}}}
  gallery: {component: tests.serve.serving:Gallery,
    summary: Tells where its pictures are encoded, bundles: {pocket: {}}}
  gated: {component: tests.serve.serving:Gated, summary: Loads when a file is there, bundles: {pocket: {}}}
  fragile: {component: tests.serve.serving:Fragile, summary: Fails as asked, bundles: {pocket: {}}}
  later: {component: tests.serve.serving:Later, summary: Loads for two seconds, bundles: {pocket: {}}}
"""

MORE_GRAPHS = """
  torn:
    summary: Two that fail together
    root:
      name: unite
      type: COMBINER
      children: [{name: one, entry: fragile}, {name: other, entry: fragile}]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A server process; `http` talks to it."""

    process: Forked
    http_port: int
    grpc_port: int
    http: httpx.Client
    log: Path

    def wait(self, seconds: float = 120) -> "Server":
        """Waits until it is ready."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if self.http.get("/v2/health/ready").status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"not ready: {self.log.read_text()}")

    def infer(self, path: str = "/v2/models/any/infer", **values: Any) -> httpx.Response:
        """POSTs numbers and texts as V2 JSON."""
        return self.http.post(path, json=request(**values))


def request(**values: Any) -> dict[str, Any]:
    inputs = []
    for name, value in values.items():
        items = value if isinstance(value, list) else [value]
        datatype = {int: "INT64", float: "FP64", str: "BYTES"}[type(items[0])]
        inputs.append({"name": name, "datatype": datatype, "shape": [len(items)], "data": items})
    return {"inputs": inputs}


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Starts servers; all are gone after the tests."""
    folder = tmp_path_factory.mktemp("serve")
    head, tail = tiny.CATALOGUE.split("graphs:\n")
    (folder / "catalogue.yaml").write_text(
        head + MORE.lstrip("\n") + "graphs:\n" + tail + MORE_GRAPHS.lstrip("\n")
    )
    servers: list[Server] = []

    def start(*arguments: str, wait: bool = True, **environment: str) -> Server:
        http_port, grpc_port = free_port(), free_port()
        log = folder / f"{len(servers)}.log"
        ports = ["--http-port", str(http_port), "--grpc-port", str(grpc_port)]
        own = {"IMAGEGRAPH_CATALOGUE": str(folder / "catalogue.yaml"), "PYTHONPATH": str(ROOT)}
        process = Forked(
            ["serve", "--device", "cpu", *ports, *arguments], {**os.environ, **own, **environment}, log
        )
        http = httpx.Client(base_url=f"http://127.0.0.1:{http_port}", timeout=30)
        servers.append(Server(process, http_port, grpc_port, http, log))
        return servers[-1].wait() if wait else servers[-1]

    yield start
    for server in servers:
        server.http.close()
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="session")
def double(start: Callable[..., Server]) -> Server:
    return start("--component", "double")


@pytest.fixture(scope="session")
def identity(start: Callable[..., Server]) -> Server:
    return start("--component", "identity")


@pytest.fixture(scope="session")
def everything(start: Callable[..., Server]) -> Server:
    """Reads all kinds of ports."""
    return start("--component", "everything")


@pytest.fixture(scope="session")
def hasty(start: Callable[..., Server]) -> Server:
    """The same, but gives no request more than a second."""
    return start("--component", "everything", "--timeout", "1")


@pytest.fixture(scope="session")
def echo(start: Callable[..., Server]) -> Server:
    """A node that answers what it got; nobody may do nothing for two seconds."""
    return start("--component", "source", "--type", "TRANSFORMER", "--timeout", "2")


@pytest.fixture(scope="session")
def asleep(start: Callable[..., Server]) -> Server:
    return start("--component", "asleep", "--max-queue", "2")


def most_bytes(server: Server) -> int:
    """The most memory that the server has had at any time."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return next(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def resident_bytes(server: Server) -> int:
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * 4096


def outputs(answer: httpx.Response) -> dict[str, list[Any]]:
    assert answer.status_code == 200, answer.text
    return {one["name"]: one["data"] for one in answer.json()["outputs"]}
