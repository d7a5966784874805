"""Canaries: figures of a real Prometheus over our own metrics, the judgement, and the steps of helm."""

import json
import math
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from imagegraph import cli, generated, release
from imagegraph.canary import Figures, Limits, Prometheus, chance_of, objections
from imagegraph.errors import ImagegraphError, InvalidInput, Unavailable, UnknownName
from imagegraph.metrics import Metrics
from tests.deploy import chart
from tests.serve.conftest import free_port

GOOD = Figures(requests=1000, errors=2, mean_s=1.0, p95_s=2.0)


@pytest.mark.parametrize(
    ("canary", "said"),
    [
        (GOOD, []),
        (Figures(300, 1, 1.1, 2.1), []),
        (Figures(300, 0, 0.2, 0.3), []),
        (Figures(300, 3, 1.0, 2.0), []),
        (
            Figures(199, 0, 1.0, 2.0),
            ["too little data: the canary answered 199 requests, expected 200 or more"],
        ),
        (
            Figures(0, 0, None, None),
            ["too little data: the canary answered 0 requests, expected 200 or more"],
        ),
        (
            Figures(300, 9, 1.0, 2.0),
            ["the canary fails more often: 3.00% against 0.20%, an accident in 0.01% of cases"],
        ),
        (
            Figures(300, 0, 1.3, 2.0),
            ["the canary is slower: mean 1.300 s against 1.000 s, more than 1.2 times"],
        ),
        (
            Figures(300, 300, 1.0, 2.5),
            [
                "the canary fails more often: 100.00% against 0.20%, an accident in 0.00% of cases",
                "the canary is slower: p95 2.500 s against 2.000 s, more than 1.2 times",
            ],
        ),
    ],
)
def test_a_canary_is_promoted_only_when_its_figures_allow_it(canary: Figures, said: list[str]) -> None:
    assert objections(GOOD, canary, Limits()) == said


def test_too_little_data_of_the_default_says_nothing_either() -> None:
    [said] = objections(Figures(10, 0, 1, 1), GOOD, Limits())
    assert said.startswith("too little data: the default answered 10 requests")


@pytest.mark.parametrize(
    ("errors", "requests", "other_errors", "other_requests"),
    [(0, 10, 0, 10), (1, 10, 0, 10), (3, 10, 1, 30), (5, 5, 0, 5), (2, 40, 8, 12), (0, 10, 3, 10)],
)
def test_the_chance_of_errors_is_what_counting_all_cases_gives(
    errors: int, requests: int, other_errors: int, other_requests: int
) -> None:
    failed, total = errors + other_errors, requests + other_requests
    cases = [
        math.comb(requests, k) * math.comb(other_requests, failed - k)
        for k in range(errors, min(failed, requests) + 1)
    ]
    wanted = sum(cases) / math.comb(total, failed)
    assert chance_of(errors, requests, other_errors, other_requests) == pytest.approx(wanted)


class Exporter(ThreadingHTTPServer):
    """Serves the metrics of an engine named `photos`, and stands in for the cluster's API."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.metrics = Metrics("photos", registry)
        self.pods: dict[str, list[bool]] = {}
        self.engines: list[list[dict[str, Any]]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    def answer(self, requests: dict[str, list[tuple[int, float]]]) -> None:
        for predictor, answers in requests.items():
            for status, seconds in answers:
                self.metrics.request("rest", status, seconds, predictor)


class Handler(BaseHTTPRequestHandler):
    server: Exporter

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        status, body, kind = 200, b"", "application/json"
        if path == "/metrics":
            body, kind = self.server.metrics.page("")
        elif path == "/api/v1/namespaces/prod/pods":
            _, _, predictor = query.partition("predictor%3D")
            pods = [pod(ready) for ready in self.server.pods.get(predictor.split("&")[0], [])]
            if "component%3Dengine" in query and self.server.engines:
                pods = self.server.engines.pop(0)
            body = json.dumps({"items": pods}).encode()
        else:
            status, body = 404, b'{"kind": "Status", "status": "Failure"}'
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


def pod(ready: bool) -> dict[str, Any]:
    condition = {"type": "Ready", "status": str(ready)}
    return {"metadata": {"name": "pod"}, "status": {"conditions": [condition]}}


@pytest.fixture(scope="module")
def exporter() -> Iterator[Exporter]:
    with Exporter() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def prometheus(exporter: Exporter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prometheus that reads the exporter five times a second."""
    tmp_path = tmp_path_factory.mktemp("prometheus")
    port = free_port()
    target = f"127.0.0.1:{exporter.server_address[1]}"
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        f"scrape_configs: [{{job_name: engine, static_configs: [{{targets: ['{target}']}}]}}]\n"
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
    query = f'imagegraph_requests_total{{predictor="{predictor}"}}'
    try:
        found = httpx.get(f"{url}/api/v1/query", params={"query": f"sum({query})"}).json()["data"]["result"]
    except httpx.TransportError:
        return False
    return bool(found) and float(found[0]["value"][1]) == count


@pytest.fixture(scope="module")
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


def test_figures_are_what_the_predictors_did(watched: str) -> None:
    found = Prometheus(watched, "1m").figures("photos", "canary", "plain")
    # Prometheus extrapolates to the edges of its window.
    assert found.requests == pytest.approx(300, rel=0.5)
    assert found.error_rate == pytest.approx(0.1, rel=0.1)
    assert found.mean_s == pytest.approx(0.5, rel=0.05)
    assert found.p95_s is not None
    assert 0.25 < found.p95_s <= 0.5
    nobody = Prometheus(watched, "1m").figures("photos", "gone", "plain")
    assert nobody == Figures(0, 0, None, None)
    assert Prometheus(watched, "1m", 'job="other"').figures("photos", "canary", "plain") == nobody
    with pytest.raises(InvalidInput, match="window or match: expected what Prometheus understands"):
        Prometheus(watched, "soon").figures("photos", "canary", "plain")


def test_a_prometheus_that_is_not_there_is_named() -> None:
    with pytest.raises(Unavailable, match="Prometheus at http://127.0.0.1:1 does not answer"):
        Prometheus("http://127.0.0.1:1", "1m").figures("photos", "canary", "plain")


PREDICTORS = {
    "default": {"traffic": 80, "image": {"tag": "1"}},
    "canary": {"traffic": 20, "bundle": "sd15"},
}


def test_promotion_moves_the_version_first_and_takes_the_canary_away_last() -> None:
    assert release.promotion(PREDICTORS, "canary") == [
        {
            "default": {"traffic": 100, "image": {"tag": "1"}, "bundle": "sd15"},
            "canary": {"traffic": 0, "bundle": "sd15"},
        },
        {"default": {"traffic": 100, "image": {"tag": "1"}, "bundle": "sd15"}},
    ]


DIGESTS = [f"sha256:{digit * 64}" for digit in "12"]


@pytest.mark.parametrize(
    ("first", "second", "image"),
    [
        ({"image": {"tag": "2"}}, {"bundle": "sd15"}, "imagegraph:2"),
        ({"image": {"tag": "2"}}, {"image": {"repository": "mine"}}, "mine:2"),
        ({"image": {"repository": "mine"}}, {"image": {"tag": "2"}}, "mine:2"),
        ({"image": {"tag": "2"}}, {"image": {"digest": DIGESTS[0]}}, f"imagegraph@{DIGESTS[0]}"),
        ({"image": {"digest": DIGESTS[0]}}, {"image": {"digest": DIGESTS[1]}}, f"imagegraph@{DIGESTS[1]}"),
        ({"image": {"digest": DIGESTS[0]}}, {"image": {"tag": "2"}}, "imagegraph:2"),
        ({"image": {"digest": DIGESTS[0]}}, {"graph": "depth"}, f"imagegraph@{DIGESTS[0]}"),
        ({"graph": "depth"}, {"bundle": "sd15"}, "imagegraph:1"),
    ],
)
def test_a_canary_after_a_promotion_differs_from_what_was_promoted_and_can_be_promoted_too(
    first: dict[str, Any], second: dict[str, Any], image: str, tmp_path: Path
) -> None:
    def versions(predictors: dict[str, Any]) -> dict[str, tuple[set[str], list[str]]]:
        file = tmp_path / "values.yaml"
        file.write_text(json.dumps({"graph": "edges", "image": {"tag": "1"}, "predictors": predictors}))
        found: dict[str, tuple[set[str], list[str]]] = {}
        for pod in chart.pods(chart.objects("--values", str(file))):
            if pod.node:
                [container] = pod.spec["containers"]
                images, arguments = found.setdefault(pod.node[0], (set(), []))
                images.add(container["image"])
                arguments.extend(container["args"])
        return found

    steps = release.promotion({"default": {"traffic": 80}, "canary": {"traffic": 20, **first}}, "canary")
    assert versions(steps[0])["default"] == versions(steps[0])["canary"] == versions(steps[1])["default"]
    steps = release.promotion({**steps[1], "next": {"traffic": 0, **second}}, "next")
    assert versions(steps[0])["default"] == versions(steps[0])["next"] == versions(steps[1])["default"]
    images, arguments = versions(steps[1])["default"]
    assert images == {image}
    wanted = {"graph": "edges", "bundle": "pocket", **first, **second}
    assert {f"--component={wanted['graph']}", f"--bundle={wanted['bundle']}"} <= set(arguments)


def test_rollback_gives_the_traffic_back_and_keeps_the_old_version() -> None:
    default = {"traffic": 100, "image": {"tag": "1"}}
    assert release.rollback(PREDICTORS, "canary") == [
        {"default": default, "canary": {"traffic": 0, "bundle": "sd15"}},
        {"default": default},
    ]
    idle = {"default": default, "canary": {"traffic": 0, "bundle": "sd15"}}
    assert release.rollback(idle, "canary") == [{"default": default}]


def test_a_shadow_has_no_traffic_to_give() -> None:
    shadow = {"default": {"traffic": 100}, "trial": {"shadow": True, "traffic": 10, "bundle": "sd15"}}
    assert release.promotion(shadow, "trial")[-1] == {"default": {"traffic": 100, "bundle": "sd15"}}


@pytest.mark.parametrize("name", ["default", "canari"])
def test_what_is_no_canary_is_refused(name: str) -> None:
    with pytest.raises(UnknownName, match=f"unknown canary '{name}'.*Available: canary"):
        release.promotion(PREDICTORS, name)


GIVEN = {
    "default": {"traffic": 70},
    "canary": {"traffic": 20, "bundle": "sd15"},
    "better": {"traffic": 10, "bundle": "sdxl"},
}


@pytest.fixture
def cluster(exporter: Exporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cluster with the release `photos`: an API, and a helm that keeps its values in a file."""
    exporter.pods = {name: [True] for name in GIVEN}
    kept = tmp_path / "values.json"
    kept.write_text(json.dumps({"graph": "reimagine", "predictors": GIVEN}))
    helm = tmp_path / "helm"
    helm.write_text(
        f"""#!/bin/sh
echo "$@" >> {tmp_path}/calls
case "$*" in
  *--all*) sed 's/{{/{{"platform": "plain", /' {kept};;
  get*) cat {kept};;
  upgrade*) cat > {kept};;
esac
"""
    )
    helm.chmod(0o755)
    monkeypatch.setattr(generated, "find_helm", lambda root: str(helm))
    api = f"http://127.0.0.1:{exporter.server_address[1]}"
    config_file = tmp_path / "kubeconfig"
    config_file.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": api}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": {}}],
                "current-context": "c",
            }
        )
    )
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(config_file))
    return kept


def canary(*arguments: str) -> str:
    result = CliRunner().invoke(cli.app, ["canary", *arguments, "-n", "prod"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_status_shows_both_sides_and_what_speaks_against_the_canary(watched: str, cluster: Path) -> None:
    text = canary("status", "photos", "--prometheus", watched, "--window", "1m", "--max-slowdown", "20")
    assert "20 %" in text
    assert "1/1" in text
    assert "the canary fails more often" in text
    assert "slower" not in text


def test_promote_refuses_and_changes_nothing(watched: str, cluster: Path, exporter: Exporter) -> None:
    before = cluster.read_text()
    exporter.pods["canary"] = [True, False]
    with pytest.raises(
        ImagegraphError, match="is not promoted: 'canary' has 1 of 2 pods ready; .*more often.*slower"
    ):
        canary("promote", "photos", "--prometheus", watched, "--window", "1m")
    assert cluster.read_text() == before


def test_promote_upgrades_step_by_step_and_keeps_the_other_values(watched: str, cluster: Path) -> None:
    text = canary("promote", "photos", "--prometheus", watched, "--window", "1m", "--canary", "better")
    assert "step 2 of 2" in text
    assert json.loads(cluster.read_text()) == {
        "graph": "reimagine",
        "predictors": {
            "default": {"traffic": 80, "bundle": "sdxl"},
            "canary": {"traffic": 20, "bundle": "sd15"},
        },
    }
    upgrades = [line for line in (cluster.parent / "calls").read_text().splitlines() if "upgrade" in line]
    assert len(upgrades) == 2
    assert all("--wait" in line and "--namespace prod" in line for line in upgrades)


def test_a_step_ends_when_no_engine_splits_as_before(
    cluster: Path, exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def engine(version: str, **metadata: str) -> dict[str, Any]:
        return {"metadata": {"labels": {"pod-template-hash": version}, **metadata}}

    going = engine("old", deletionTimestamp="2026-01-01T00:00:00Z")
    exporter.engines = [[engine("old"), engine("new")], [going, engine("new")], [engine("new")]]
    monkeypatch.setattr(release, "POLL_S", 0.01)
    canary("rollback", "photos")
    assert exporter.engines == []
    calls = (cluster.parent / "calls").read_text()
    assert calls.count("upgrade") == 2


def test_rollback_needs_no_figures(cluster: Path) -> None:
    canary("rollback", "photos")
    assert json.loads(cluster.read_text())["predictors"] == {
        "default": {"traffic": 90},
        "better": {"traffic": 10, "bundle": "sdxl"},
    }


def test_a_cluster_that_is_not_there_is_told(
    watched: str, cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", "/nowhere")
    with pytest.raises(Unavailable, match="Kubernetes does not show .*predictor=default"):
        canary("status", "photos", "--prometheus", watched)


def test_a_release_without_that_canary_is_told(cluster: Path) -> None:
    with pytest.raises(UnknownName, match="unknown canary 'trial'. Available: better, canary"):
        canary("status", "photos", "--canary", "trial")
