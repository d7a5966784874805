"""A Prometheus that does what a release's PodMonitors and rules say, as its operator would have it."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from imagegraph.deploy import render
from imagegraph.spec.catalogue import ROOT
from tests.cluster.kubernetes import Namespace
from tests.cluster.releases import CHART
from tests.deploy.queries import queries

BOARDS = {path.stem: json.loads(path.read_text()) for path in (ROOT / render.DASHBOARDS).glob("*.json")}
# What finds nothing on the cluster of the tests, and why.
NOT_HERE = {
    "imagegraph_device_memory_bytes": "there is no GPU",
    "kubelet_volume_stats": "the kubelet is not scraped",
    "kube_pod_": "there are no kube-state-metrics",
    "kube_job_": "there are no kube-state-metrics",
    "imagegraph_cache_errors_total": "there is no Redis that could fail",
    "offset 1m": "no version began within the last minute",
    "imagegraph_studio_": "there is no studio; test_studio.py has one",
    "-studio": "nor a volume of it",
}


class Prometheus:
    """Asks it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, query: str) -> list[Any]:
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=30)
        assert answer.status_code == 200, f"{query}: {answer.text}"
        found: list[Any] = answer.json()["data"]["result"]
        return [one for one in found if one["value"][1] != "NaN"]

    def number(self, query: str) -> float:
        [one] = self(query)
        return float(one["value"][1])

    def empty(self, namespace: str, release: str, rules: Path, meant: Callable[[str], bool]) -> list[str]:
        """Returns the queries of dashboards and rules that find nothing.

        Args:
            rules: the file of rules that it has.
            meant: says of which queries series are expected.
        """
        found = [
            f"{name}: {query}"
            for name, board in BOARDS.items()
            for query in queries(board, namespace, release, after="canary")
            if meant(query) and not self(query)
        ]
        for group in yaml.safe_load(rules.read_text())["groups"]:
            for rule in group["rules"]:
                # A healthy release makes an alert's whole query empty, but not what it looks at.
                series = re.findall(r"[a-z_:0-9]+\{[^}]*\}", rule["expr"])
                looked_at = [rule["record"]] if "record" in rule and meant(rule["expr"]) else series
                found += [f"{rule}: {one}" for one in looked_at if meant(one) and not self(one)]
        return found


@contextmanager
def configured(folder: Path, namespace: Namespace, release: str, **values: Any) -> Iterator[Path]:
    """Writes a configuration and, every second, the pods to scrape; gives the configuration's path.

    Debian's Prometheus cannot look for pods itself.

    Source: prometheus-operator, pkg/prometheus/promcfg.go, generatePodMonitorConfig.
    """
    given = yaml.safe_dump({**values, "monitoring": {"podMonitor": True, "interval": "1s", "rules": True}})
    rendered = namespace.helm("template", release, str(CHART), "--values=-", stdin=given)
    objects = list(filter(None, yaml.safe_load_all(rendered)))
    jobs: list[dict[str, Any]] = []
    found: list[tuple[Path, dict[str, Any], dict[str, Any]]] = []
    for monitor in (one for one in objects if one["kind"] == "PodMonitor"):
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            file = folder / f"{len(jobs)}.json"
            found.append((file, monitor["spec"], endpoint))
            jobs.append(
                {
                    "job_name": f"{namespace.name}/{monitor['metadata']['name']}",
                    "honor_labels": endpoint.get("honorLabels", False),
                    "metrics_path": endpoint["path"],
                    "scrape_interval": endpoint["interval"],
                    "file_sd_configs": [{"files": [str(file)], "refresh_interval": "1s"}],
                }
            )
    [rules] = (one["spec"] for one in objects if one["kind"] == "PrometheusRule")
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    configuration = folder / "prometheus.yaml"
    whole = {"evaluation_interval": "1s"}
    configuration.write_text(
        yaml.safe_dump({"global": whole, "rule_files": ["rules.yaml"], "scrape_configs": jobs})
    )
    ends = threading.Event()

    def look() -> None:
        while not ends.is_set():
            pods = namespace.pods()
            for file, spec, endpoint in found:
                partial = file.with_suffix(".partial")
                partial.write_text(json.dumps(list(_targets(pods, spec, endpoint))))
                partial.replace(file)
            ends.wait(1)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield configuration
    finally:
        ends.set()
        thread.join()


def _targets(
    pods: list[dict[str, Any]], spec: dict[str, Any], endpoint: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    for pod in pods:
        metadata = pod["metadata"]
        if not _selects(spec["selector"], metadata["labels"]) or "podIP" not in pod["status"]:
            continue
        labels = {"namespace": metadata["namespace"], "pod": metadata["name"]}
        for key in spec.get("podTargetLabels", []):
            if key in metadata["labels"]:
                labels[re.sub("[^a-zA-Z0-9_]", "_", key)] = metadata["labels"][key]
        for one in endpoint.get("relabelings", []):
            # Each copies a label of the pod.
            [source] = (name.removeprefix("__meta_kubernetes_pod_label_") for name in one["sourceLabels"])
            known = {re.sub("[^a-zA-Z0-9_]", "_", key): text for key, text in metadata["labels"].items()}
            labels[one["targetLabel"]] = known[source]
        for container in pod["spec"]["containers"]:
            for port in container.get("ports", []):
                if port.get("name") == endpoint["port"]:
                    address = f"{pod['status']['podIP']}:{port['containerPort']}"
                    yield {"targets": [address], "labels": {**labels, "container": container["name"]}}


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        one["operator"] == "In" and labels.get(one["key"]) in one["values"]
        for one in selector.get("matchExpressions", [])
    )
