"""A Prometheus that scrapes the pods which a release's PodMonitors select, as its operator would have it."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.kubernetes import Namespace
from tests.cluster.releases import CHART


@contextmanager
def configured(folder: Path, namespace: Namespace, release: str, **values: Any) -> Iterator[Path]:
    """Writes a configuration and, every second, the pods to scrape; gives the configuration's path.

    Debian's Prometheus cannot look for pods itself.

    Source: prometheus-operator, pkg/prometheus/promcfg.go, generatePodMonitorConfig.
    """
    given = yaml.safe_dump({**values, "monitoring": {"podMonitor": True, "interval": "1s"}})
    rendered = namespace.helm(
        "template", release, str(CHART), "--values=-", "--show-only=templates/podmonitor.yaml", stdin=given
    )
    jobs: list[dict[str, Any]] = []
    found: list[tuple[Path, dict[str, Any], dict[str, Any]]] = []
    for monitor in filter(None, yaml.safe_load_all(rendered)):
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
    configuration = folder / "prometheus.yaml"
    configuration.write_text(yaml.safe_dump({"scrape_configs": jobs}))
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
