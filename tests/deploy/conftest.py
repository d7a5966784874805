import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
import yaml
from prometheus_client import CollectorRegistry

from imagegraph.observe.metrics import Metrics
from imagegraph.spec.catalogue import Catalogue
from tests.deploy import chart
from tests.serve.conftest import free_port


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue.read()


@pytest.fixture(
    scope="session", params=chart.SCENARIOS, ids=lambda path: path.name.removesuffix("-values.yaml")
)
def scenario(request: pytest.FixtureRequest) -> Path:
    """A file of values for a way in which the chart is meant to be used."""
    path: Path = request.param
    return path


@pytest.fixture(scope="session")
def values(scenario: Path) -> dict[str, Any]:
    return chart.values(scenario)


@pytest.fixture(scope="session")
def rendered(scenario: Path) -> list[dict[str, Any]]:
    return chart.objects("--values", str(scenario))


class Exporter(ThreadingHTTPServer):
    """Serves the metrics of an engine of the release `photos`, and of others at paths of their own."""

    def __init__(self) -> None:
        self.metrics = pod("photos")
        self.pages = {
            "/metrics": self.metrics,
            # A node named as the release is, the canary's own too; releases of that name, and beside it.
            "/node": pod("photos", role="node"),
            "/elsewhere": pod("photos", namespace="test"),
            "/beside": pod("photos", release="photos2"),
        }
        super().__init__(("127.0.0.1", 0), Handler)

    def answer(self, requests: dict[str, list[tuple[int, float]]]) -> None:
        """Counts requests at all pods, and more failures at those that are not the engine."""
        for predictor, answers in requests.items():
            for metrics in self.pages.values():
                for status, seconds in answers:
                    asked = status if metrics is self.metrics else 500
                    metrics.request("rest", asked, seconds, predictor)


def pod(
    name: str,
    *,
    role: Literal["engine", "node"] = "engine",
    release: str = "photos",
    namespace: str = "prod",
) -> Metrics:
    """The metrics of a pod."""
    return Metrics(name, CollectorRegistry(), role=role, release=release, namespace=namespace)


# What Seldon's executor serves at /prometheus, port 8000, shortened: facts of its release 1.17.
EXECUTOR = "".join(
    f"seldon_api_executor_server_requests_seconds_{end} {value}\n"
    for predictor in ("default", "canary")
    for service, count in (("predictions", 300), ("status", 9000))
    for labels in [
        f'code="200",deployment_name="photos",method="post",predictor_name="{predictor}",'
        f'predictor_version="",service="{service}"'
    ]
    for end, value in (
        (f'bucket{{{labels},le="0.5"}}', count),
        (f'bucket{{{labels},le="+Inf"}}', count),
        (f"sum{{{labels}}}", count * 0.25),
        (f"count{{{labels}}}", count),
    )
)


class Handler(BaseHTTPRequestHandler):
    server: Exporter

    def do_GET(self) -> None:
        if self.path == "/prometheus":
            body, kind = EXECUTOR.encode(), "text/plain; version=0.0.4"
        else:
            body, kind = self.server.pages[self.path].page("")
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # a scrape that took too long
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(scope="session")
def exporter() -> Iterator[Exporter]:
    with Exporter() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="session")
def prometheus(exporter: Exporter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prometheus that reads the exporter five times a second."""
    tmp_path = tmp_path_factory.mktemp("prometheus")
    port = free_port()
    target = f"127.0.0.1:{exporter.server_address[1]}"
    config = tmp_path / "prometheus.yml"
    scraped: dict[str, dict[str, str]] = {path: {} for path in exporter.pages}
    # The executor says nothing of its namespace: whoever scrapes it does.
    scraped["/prometheus"] = {"namespace": "prod"}
    config.write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        + yaml.safe_dump(
            {
                "scrape_configs": [
                    {
                        "job_name": path[1:],
                        "metrics_path": path,
                        "static_configs": [{"targets": [target], "labels": labels}],
                    }
                    for path, labels in scraped.items()
                ]
            }
        )
    )
    command = [chart.tool("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data"]
    process = subprocess.Popen(
        [*command, f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def wait_for(condition: Any, what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited 60 s for {what}"
        time.sleep(0.1)


def answered(url: str, predictor: str, count: int) -> bool:
    query = f'imagegraph_requests_total{{job="metrics",predictor="{predictor}"}}'
    try:
        answer = httpx.get(f"{url}/api/v1/query", params={"query": f"sum({query})"}).raise_for_status()
    except (httpx.TransportError, httpx.HTTPStatusError):  # it is still starting
        return False
    found = answer.json()["data"]["result"]
    return bool(found) and float(found[0]["value"][1]) == count


@pytest.fixture(scope="session")
def watched(exporter: Exporter, prometheus: str) -> str:
    """A Prometheus that has seen a canary fail in 30 of 300 cases, slowly, and a better one."""
    sides = ("default", "canary", "better")
    exporter.answer({side: [(200, 0.05)] for side in sides})
    wait_for(lambda: all(answered(prometheus, side, 1) for side in sides), "the first scrape")
    exporter.answer(
        {
            "default": [(200, 0.05)] * 397 + [(503, 0.05)] * 2,
            "canary": [(200, 0.5)] * 260 + [(404, 0.5)] * 9 + [(500, 0.5)] * 30,
            "better": [(200, 0.04)] * 400,
        }
    )
    wait_for(lambda: answered(prometheus, "canary", 300), "the figures")
    time.sleep(2)  # of samples: few and uneven ones extrapolate far
    return prometheus
