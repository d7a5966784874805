"""Leftovers of an upgrade that failed, as the next one finds them by helm's own look at the cluster."""

import gzip
import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.deploy import chart
from tests.deploy.api import NAMESPACE, Api

MADE = ("configmaps", "networkpolicies", "persistentvolumeclaims", "serviceaccounts")
OPERATORS = ("scaledobjects", "inferenceservices", "inferencegraphs")


@pytest.fixture
def api() -> Iterator[Api]:
    """A cluster with all operators, after an upgrade of `photos` to a predictor `late` that failed."""
    with Api() as server:
        server.objects |= {plural: [] for plural in (*OPERATORS, *MADE)}
        for version, status in enumerate(("deployed", "failed"), 1):
            release = {
                "name": "photos", "namespace": NAMESPACE, "version": version, "info": {"status": status},
                "chart": {"metadata": {"name": "imagegraph", "version": "0.1.0"}}, "manifest": "",
            }  # fmt: skip
            data = b64encode(b64encode(gzip.compress(json.dumps(release).encode()))).decode()
            labels = {"owner": "helm", "name": "photos", "status": status, "version": str(version)}
            server.add("secrets", f"sh.helm.release.v1.photos.v{version}", labels, data={"release": data})
        late = {"app.kubernetes.io/name": "imagegraph", "imagegraph/predictor": "late"}
        for plural in ("deployments", *OPERATORS):
            server.add(plural, f"photos-late-{plural}", late, spec={"replicas": 3}, status={})
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def removed(api: Api, given: dict[str, Any]) -> set[str]:
    """Returns what the next upgrade removes, by name."""
    done = chart.helm(
        "upgrade", "photos", str(chart.CHART), "--values=-", "--dry-run=server",
        "--disable-openapi-validation", f"--kube-apiserver=http://127.0.0.1:{api.server_address[1]}",
        f"--namespace={NAMESPACE}", stdin=yaml.safe_dump({"graph": "edges", **given}),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    hooks = done.stdout.partition("HOOKS:\n")[2].partition("MANIFEST:\n")[0]
    return {one["metadata"]["name"] for one in chart.parsed(hooks)}


SCALED = {
    "nodes": {
        "edges": {
            "keda": {
                "minReplicas": 0,
                "maxReplicas": 2,
                "triggers": [{"type": "cpu", "metadata": {"value": "60"}}],
            }
        }
    }
}


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, {"deployments"}),
        (SCALED, {"deployments", "scaledobjects"}),
        ({"platform": "kserve"}, {"deployments", "inferenceservices", "inferencegraphs"}),
        ({"predictors": {"late": {"traffic": 0, "bundle": "sd15", "graph": "depth"}}}, set()),
    ],
    ids=["plain", "keda", "kserve", "named again"],
)
def test_the_next_upgrade_removes_what_no_values_name(
    api: Api, given: dict[str, Any], names: set[str]
) -> None:
    assert removed(api, given) == {f"photos-late-{name}" for name in names}


def test_whoever_may_not_look_for_an_operators_objects_can_upgrade(api: Api) -> None:
    api.forbidden = set(OPERATORS)
    assert removed(api, {}) == {"photos-late-deployments"}
