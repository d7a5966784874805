"""Releases of the chart as tests install and ask them, and the embedded engine to compare them with."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import yaml

from imagegraph.client import Client
from imagegraph.image import Image
from imagegraph.spec.catalogue import ROOT
from tests.cluster.kubernetes import Namespace, eventually
from tests.cluster.shell import answers, free_ports, running

CHART = ROOT / "charts" / "imagegraph"
SCENE = ROOT / "pocket" / "examples" / "scene.png"
SMALL = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "3Gi"}}
VALUES: dict[str, Any] = {
    "node": {"resources": SMALL},
    "engine": {"replicas": 1, "resources": SMALL},
    "modelInit": {"resources": SMALL},
    "cache": {"size": "1Gi"},
    "probes": {"periodSeconds": 1},
    "termination": {"preStopSeconds": 2, "drainSeconds": 20},
}


def install(
    namespace: Namespace, release: str, *, wait: bool = True, timeout_s: int = 400, **values: Any
) -> None:
    """Installs the chart, or upgrades a release."""
    namespace.helm(
        "upgrade", "--install", release, str(CHART), "--values=-", "--reset-values",
        *(["--wait", f"--timeout={timeout_s}s"] if wait else []),
        stdin=yaml.safe_dump(VALUES | values), timeout_s=timeout_s + 20,
    )  # fmt: skip


def answered(address: str) -> dict[str, int]:
    """Returns how many requests each predictor has answered."""
    metrics = httpx.get(f"http://{address}/metrics", timeout=10).text
    found: dict[str, int] = {}
    for labels, count in re.findall(r"^imagegraph_requests_total\{(.*)\} (\S+)$", metrics, re.M):
        predictor = re.search(r'predictor="([^"]*)"', labels)
        assert predictor
        found[predictor[1]] = found.get(predictor[1], 0) + int(float(count))
    return found


def asked(address: str, *, known: bool = False) -> set[str]:
    """Returns the predictors that an engine sends requests to, or all that it knows."""
    metrics = httpx.get(f"http://{address}/metrics", timeout=10).text
    found = re.findall(r'^imagegraph_predictor_up\{.*predictor="(\w+)".*\} (\S+)$', metrics, re.M)
    return {predictor for predictor, up in found if known or float(up)}


def rows(value: Any) -> list[Any]:
    """Returns a value of an answer as a flat list, with bytes and texts as hex."""
    if isinstance(value, list):
        return [row for item in value for row in rows(item)]
    if isinstance(value, np.ndarray):
        return list(value.ravel().tolist())
    if isinstance(value, Image):
        return [value.data.hex()]
    return [value.encode().hex() if isinstance(value, str) else value]


def ask(address: str, model: str, **values: Any) -> dict[str, list[Any]]:
    """Returns what REST answers."""
    with Client(f"http://{address}") as client:
        answer = client.infer(model, image=Image(SCENE.read_bytes()), timeout_s=300, **values)
    return {name: rows(value) for name, value in answer.items()}


@contextmanager
def embedded(graph: str, folder: Path) -> Iterator[str]:
    """Runs a whole graph in one process of this machine, with as many threads as a pod has."""
    [port] = free_ports(1)
    command = [sys.executable, "-m", "imagegraph.cli", "serve", f"--graph={graph}", "--bundle=pocket",
               "--device=cpu", f"--http-port={port}", "--grpc-port=0"]  # fmt: skip
    with running(
        *command, log=folder / "embedded.log", cwd=ROOT, environment={"OMP_NUM_THREADS": "1"}
    ) as check:
        url = f"http://127.0.0.1:{port}/v2/models/{graph}/ready"
        eventually("the embedded graph", lambda: answers(url, check), 240)
        yield f"127.0.0.1:{port}"
