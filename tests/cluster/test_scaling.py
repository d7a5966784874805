"""Pods by what they use and by what waits for them, on a real Kubernetes."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import yaml

from tests.cluster.kubernetes import Kubernetes, Namespace, eventually
from tests.cluster.load import Load
from tests.cluster.metrics_server import metered
from tests.cluster.monitoring import Prometheus
from tests.cluster.releases import CHART, SMALL, install

MOST = 3


@pytest.mark.usefixtures("near")
def test_pods_come_and_go_with_the_load_and_the_queue_says_how_many_keda_would_have(
    images: Kubernetes,
    namespace: Namespace,
    prometheus: Callable[[Namespace, str], AbstractContextManager[str]],
    figure: Callable[[str], None],
) -> None:
    assert images.local
    resources = {**SMALL, "requests": {"cpu": "200m", "memory": "64Mi"}}
    scale = {"minReplicas": 1, "maxReplicas": MOST, "cpuPercent": 50}
    install(
        namespace, "depth", graph="depth", nodes={"depth": {"resources": resources, "autoscaling": scale}}
    )
    [scaler] = (one["metadata"]["name"] for one in namespace.get("horizontalpodautoscalers")["items"])

    def replicas() -> tuple[int, int]:
        found = namespace.get("deployment", scaler)["status"]
        return found["replicas"], found.get("readyReplicas", 0)

    with (
        metered(images, images.local),
        namespace.address("depth-engine", 8080) as address,
        prometheus(namespace, "depth") as url,
    ):
        assert replicas() == (1, 1)
        start = time.monotonic()
        with Load(address, threads=24, rate=1000, most=100_000, model="depth", timeout_s=60) as load:
            eventually("what waits", lambda: wanted_by_keda(url, namespace) > 1, 60)
            eventually("more pods", lambda: replicas() == (MOST, MOST), 180)
        grown = time.monotonic() - start
        assert load.lost == 0, load.outcomes
        eventually("an empty queue", lambda: wanted_by_keda(url, namespace) == 0, 30)
        start = time.monotonic()
        eventually("one pod again", lambda: replicas() == (1, 1), 180)
        shrunk = time.monotonic() - start
        figure(f"{MOST} pods after {grown:.0f} s of load, 1 again {shrunk:.0f} s after it; {load}")


def wanted_by_keda(url: str, namespace: Namespace) -> int:
    """Returns how many pods KEDA would ask for, by the query of the chart's example.

    Source: KEDA, pkg/scalers/prometheus_scaler.go: a target of type AverageValue, so ceil(value / threshold).
    """
    values = yaml.safe_load((CHART / "ci" / "keda-values.yaml").read_text())
    [trigger] = values["nodes"]["generate"]["keda"]["triggers"]
    query = trigger["metadata"]["query"]
    for there, here in (("photos", "depth"), ("photos", namespace.name), ("generate", "depth")):
        assert there in query
        query = query.replace(f'"{there}"', f'"{here}"', 1)
    found = Prometheus(url)(query)
    assert found, query
    return math.ceil(float(found[0]["value"][1]) / float(trigger["metadata"]["threshold"]))
