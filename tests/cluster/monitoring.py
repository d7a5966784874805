"""A Prometheus that scrapes the pods which a release's PodMonitors select, as its operator would have it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.kubernetes import Namespace
from tests.cluster.releases import CHART


def scrape_configs(namespace: Namespace, release: str, **values: Any) -> Iterator[dict[str, Any]]:
    """Yields what Prometheus' operator makes of the PodMonitors that the chart renders for a release.

    Source: prometheus-operator, pkg/prometheus/promcfg.go, generatePodMonitorConfig.
    """
    given = yaml.safe_dump({**values, "monitoring": {"podMonitor": True, "interval": "1s"}})
    monitors = namespace.helm(
        "template", release, str(CHART), "--values=-", "--show-only=templates/podmonitor.yaml", stdin=given
    )
    for monitor in filter(None, yaml.safe_load_all(monitors)):
        spec = monitor["spec"]
        selector = spec["selector"]
        wanted = [(key, [value]) for key, value in selector.get("matchLabels", {}).items()]
        for one in selector.get("matchExpressions", []):
            assert one["operator"] == "In"
            wanted.append((one["key"], one["values"]))
        for index, endpoint in enumerate(spec["podMetricsEndpoints"]):
            relabel = [_keep(_label(key), values) for key, values in wanted]
            relabel.append(_keep("__meta_kubernetes_pod_container_port_name", [endpoint["port"]]))
            copied = {
                "__meta_kubernetes_namespace": "namespace",
                "__meta_kubernetes_pod_name": "pod",
                "__meta_kubernetes_pod_container_name": "container",
                **{_label(key): _word(key) for key in spec.get("podTargetLabels", [])},
            }
            relabel += [{"source_labels": [there], "target_label": here} for there, here in copied.items()]
            yield {
                "job_name": f"podMonitor/{namespace.name}/{monitor['metadata']['name']}/{index}",
                "honor_labels": endpoint.get("honorLabels", False),
                "metrics_path": endpoint["path"],
                "scrape_interval": endpoint["interval"],
                "relabel_configs": relabel,
                "kubernetes_sd_configs": [
                    {
                        "role": "pod",
                        "kubeconfig_file": str(namespace.cluster.kubeconfig),
                        "namespaces": {"names": [namespace.name]},
                    }
                ],
            }


def write(path: Path, namespace: Namespace, release: str, **values: Any) -> None:
    """Writes the configuration of a Prometheus for one release."""
    jobs = list(scrape_configs(namespace, release, **values))
    path.write_text(yaml.safe_dump({"scrape_configs": jobs}))


def _keep(label: str, values: list[str]) -> dict[str, Any]:
    return {"action": "keep", "source_labels": [label], "regex": "|".join(map(re.escape, values))}


def _label(key: str) -> str:
    return f"__meta_kubernetes_pod_label_{_word(key)}"


def _word(key: str) -> str:
    return re.sub("[^a-zA-Z0-9_]", "_", key)
