"""Seldon Core's executor and operator as processes of this machine, and documents for them."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from imagegraph.deploy import render
from imagegraph.spec.catalogue import DEFAULT_PATH, Catalogue
from tests.cluster.kubernetes import Namespace, eventually
from tests.cluster.shell import answers, free_ports, run, running
from tests.deploy import chart
from tests.serve.conftest import request

EXECUTOR_IMAGE = "seldonio/seldon-core-executor:1.17.1"
VALIDATE = "/validate-machinelearning-seldon-io-v1-seldondeployment"
# The executor reads annotations where the operator mounts them: at an absolute path.
AT_PODINFO = (
    'mount -t tmpfs podinfo /etc && mkdir /etc/podinfo && cp "$0" /etc/podinfo/annotations && exec "$@"'
)


def binary(variable: str) -> str:
    """Returns the path that a variable of the environment gives; skips the test where it gives none."""
    path = os.environ.get(variable)
    if not path:
        pytest.skip(f"{variable} is unset: it gives the path of that binary of Seldon Core 1.17.1")
    found = shutil.which(path)
    assert found, f"{variable}: expected the path of a program, got '{path}'"
    return found


def deployment(graph: str, *settings: str, catalogue: Path = DEFAULT_PATH) -> dict[str, Any]:
    """Returns the SeldonDeployment that the chart renders for a graph.

    Args:
        settings: values, as `--set` takes them.
        catalogue: its names stand in for those of the chart; copied to its folder.
    """
    folder = chart.CHART
    if catalogue != DEFAULT_PATH:
        folder = catalogue.parent / "chart"
        shutil.copytree(chart.CHART, folder, dirs_exist_ok=True)
        names = render.chart_catalogue(Catalogue.read([catalogue]))
        (folder / "catalogue.yaml").write_text(names)
    values = ["platform=seldon", f"graph={graph}", *settings]
    arguments = [argument for value in values for argument in ("--set", value)]
    done = chart.helm("template", chart.RELEASE, str(folder), *arguments)
    assert done.returncode == 0, done.stderr
    [found] = chart.of_kind("SeldonDeployment", [one for one in yaml.safe_load_all(done.stdout) if one])
    return found


def containers(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the containers of the only predictor's nodes, by name."""
    [predictor] = document["spec"]["predictors"]
    found = [spec["spec"]["containers"] for spec in predictor["componentSpecs"]]
    return {one["name"]: one for [one] in found}


def connect(document: dict[str, Any], ports: Mapping[str, int]) -> None:
    """Gives the nodes of a graph addresses on this machine, as the operator does for executors."""
    units = [document["spec"]["predictors"][0]["graph"]]
    for unit in units:
        port = ports[unit["name"]]
        # It is called at the one port, and must listen at the other before the executor is ready.
        unit["endpoint"] = {"service_host": "127.0.0.1", "httpPort": port, "service_port": port}
        units.extend(unit.get("children", []))


@dataclass
class Executor:
    """A running executor; `http` asks it, `check` raises once it has ended."""

    http: httpx.Client
    check: Callable[[], None]

    def infer(self, **values: Any) -> httpx.Response:
        """POSTs numbers and texts as V2 JSON, and has every node asked by its own name."""
        return self.http.post("/v2/models/infer", json=request(**values))


@contextmanager
def executor(
    program: str, document: dict[str, Any], annotations: Mapping[str, str], folder: Path
) -> Iterator[Executor]:
    """Runs the executor for the predictor `default` of a document with addresses; ready when all listen.

    Args:
        annotations: those of its pod; the operator gives none to a pod of its own.
    """
    graph, podinfo = folder / "graph.yaml", folder / "annotations"
    graph.write_text(yaml.safe_dump(document))
    podinfo.write_text("".join(f'{key}="{value}"\n' for key, value in annotations.items()))
    rest, grpc = free_ports(2)
    command = [
        "unshare", "--map-root-user", "--mount", "sh", "-c", AT_PODINFO, str(podinfo),
        program, f"--file={graph}", "--predictor=default", f"--sdep={chart.RELEASE}", "--namespace=default",
        "--hostname=127.0.0.1", "--protocol=v2", "--transport=rest", f"--http_port={rest}",
        f"--grpc_port={grpc}",
    ]  # fmt: skip
    url, quiet = f"http://127.0.0.1:{rest}", {"JAEGER_DISABLED": "true"}
    with (
        running(*command, log=folder / "executor.log", environment=quiet) as check,
        httpx.Client(base_url=url, timeout=300) as http,
    ):
        eventually("the executor", lambda: answers(f"{url}/ready", check))
        yield Executor(http, check)


@dataclass(frozen=True)
class Operator:
    """A running operator for one namespace; `webhook` is where it checks documents."""

    place: Namespace
    webhook: str


@contextmanager
def operator(program: str, place: Namespace, folder: Path) -> Iterator[Operator]:
    """Runs the operator for a namespace in which no pod can start: only what is made counts."""
    none = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    place.apply({**none, "spec": {"hard": {"pods": "0"}}})
    certificates = folder / "k8s-webhook-server" / "serving-certs"
    certificates.mkdir(parents=True)
    run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc",
        "-days", "2", "-subj", "/CN=seldon", "-keyout", "tls.key", "-out", "tls.crt", cwd=certificates,
    )  # fmt: skip
    webhook, metrics = free_ports(2)
    command = [program, f"--webhook-port={webhook}", f"--metrics-addr=127.0.0.1:{metrics}"]
    environment = {
        "TMPDIR": str(folder),
        "KUBECONFIG": str(place.cluster.kubeconfig),
        "POD_NAMESPACE": place.name,
        "WATCH_NAMESPACE": place.name,
        "EXECUTOR_CONTAINER_IMAGE_AND_VERSION": EXECUTOR_IMAGE,
        "EXECUTOR_CONTAINER_USER": "8888",
        "KEDA_ENABLED": "true",
    }
    with running(*command, log=folder / "operator.log", environment=environment) as check:
        eventually("the operator", lambda: answers(f"http://127.0.0.1:{metrics}/metrics", check))
        yield Operator(place, f"https://127.0.0.1:{webhook}{VALIDATE}")
