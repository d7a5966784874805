"""Platform kserve on a real Kubernetes: KServe's own controller in standard mode and its own graph router."""

import base64
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from imagegraph.model import plain
from imagegraph.wire import v2_json
from tests.cluster.images import of_binary
from tests.cluster.kubernetes import Kubernetes, Namespace, eventually
from tests.cluster.monitoring import BOARDS, NOT_HERE, Prometheus
from tests.cluster.releases import SCENE, ask, embedded, install, rows
from tests.cluster.shell import answers, free_ports, running
from tests.cluster.toolchain import tools
from tests.deploy.queries import queries

PARAMETERS = {"seed": 7, "steps": 4, "variants": 1}


def documents(folder: Path) -> list[dict[str, Any]]:
    """Returns the Kubernetes objects of a folder's files."""
    found = [one for path in sorted(folder.glob("*.yaml")) for one in yaml.safe_load_all(path.read_text())]
    return [one for one in found if one and "metadata" in one and one["kind"] != "Kustomization"]


def configuration() -> dict[str, Any]:
    """Returns KServe's own configuration: standard mode, no ingress, the router's image from here."""
    (found,) = documents(tools() / "kserve" / "configmap")
    found["data"].pop("_example")
    changes: dict[str, dict[str, Any]] = {
        "deploy": {"defaultDeploymentMode": "Standard"},
        "ingress": {"disableIngressCreation": True},
        "router": {"image": "localhost/kserve-router:1", "cpuRequest": "20m"},
    }
    for key, values in changes.items():
        found["data"][key] = json.dumps(json.loads(found["data"][key]) | values)
    return dict(found)


def webhooks(url: str, authority: bytes) -> list[dict[str, Any]]:
    """Returns KServe's webhooks, asked at a URL instead of through a Service."""
    found = documents(tools() / "kserve" / "webhook")
    found = [one for one in found if one["kind"].endswith("WebhookConfiguration")]
    for configuration in found:
        for webhook in configuration["webhooks"]:
            path = webhook["clientConfig"]["service"]["path"]
            bundle = base64.b64encode(authority).decode()
            webhook["clientConfig"] = {"url": url + path, "caBundle": bundle}
    return found


PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF")  # how one begins


def without_base64(row: Any) -> Any:
    """Returns the hex of a picture whose base64 is given in hex; anything else as it is."""
    try:
        data = base64.b64decode(bytes.fromhex(row), validate=True)
    except (TypeError, ValueError):
        return row
    return data.hex() if data.startswith(PICTURES) else row


def reimagined(address: str) -> bytes:
    """Returns what the graph's router answers."""
    picture = base64.b64encode(SCENE.read_bytes()).decode()
    inputs = [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [picture]}]
    for name, value in PARAMETERS.items():
        inputs.append({"name": name, "datatype": "INT64", "shape": [1], "data": [value]})
    answer = httpx.post(f"http://{address}/", json={"inputs": inputs}, timeout=300)
    assert answer.status_code == 200, answer.text[:2000]
    return answer.content


@pytest.fixture(scope="module")
def kserve(images: Kubernetes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    """The cluster with KServe's controller, a process of this machine that the API server asks by URL."""
    if images.local is None:
        pytest.skip("a cluster elsewhere cannot ask a controller on this machine")
    folder = tmp_path_factory.mktemp("kserve")
    images.local.load(of_binary(tools() / "bin" / "kserve-router", images.local.folder / "images"))
    images.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kserve"}})
    definitions = documents(tools() / "kserve" / "crd")
    images.apply(*definitions, server_side=True)
    images.wait_established(*(f"crd/{one['metadata']['name']}" for one in definitions))
    images.apply(configuration())
    address = images.local.node(1).gateway
    port, metrics, probes = free_ports(3)
    certificates = folder / "k8s-webhook-server" / "serving-certs"
    certificates.mkdir(parents=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc",
         "-days", "2", "-subj", "/CN=kserve", "-addext", f"subjectAltName=IP:{address}",
         "-keyout", "tls.key", "-out", "tls.crt"],
        cwd=certificates, check=True, capture_output=True,
    )  # fmt: skip
    command = [
        str(tools() / "bin" / "kserve-manager"), f"--kubeconfig={images.kubeconfig}",
        f"--webhook-port={port}", f"--metrics-addr=127.0.0.1:{metrics}",
        f"--health-probe-addr=127.0.0.1:{probes}",
    ]  # fmt: skip
    environment = {"TMPDIR": str(folder), "POD_NAMESPACE": "kserve"}
    hooks = webhooks(f"https://{address}:{port}", (certificates / "tls.crt").read_bytes())
    log = folder / "log"
    with running(*command, log=log, environment=environment) as check:
        try:
            url = f"http://127.0.0.1:{probes}/readyz"
            eventually("KServe's controller", lambda: answers(url, check), 120)
            images.apply(*hooks)
            yield images
            if not images.fresh:
                # Nobody else ends them, and their definitions could not go.
                kinds = "inferenceservices,inferencegraphs"
                left = lambda: images.get(kinds, "--all-namespaces")["items"]  # noqa: E731
                eventually("the end of KServe's objects", lambda: not left(), 120)
                for hook in hooks:
                    images.kubectl("delete", hook["kind"], hook["metadata"]["name"])
                names = [one["metadata"]["name"] for one in definitions]
                images.kubectl("delete", "crd", *names, timeout_s=120)
                images.kubectl("delete", "namespace", "kserve", timeout_s=120)
        finally:
            print(re.sub(r"(?m)^.*\binfo\b.*$\n?", "", log.read_text())[-4000:])


@pytest.fixture(scope="class")
def release(kserve: Kubernetes, shared_namespace: Namespace) -> Namespace:
    """The main job as InferenceServices and an InferenceGraph."""
    install(shared_namespace, "reimagine", graph="reimagine", platform="kserve")

    def all_ready() -> bool:
        found = shared_namespace.get("inferenceservices")["items"]
        conditions = [one.get("status", {}).get("conditions", []) for one in found]
        ready = [any(c["type"] == "Ready" and c["status"] == "True" for c in one) for one in conditions]
        return len(ready) == 10 and all(ready)

    eventually("ten InferenceServices", all_ready, 400)
    shared_namespace.wait_ready()
    return shared_namespace


class TestReimagine:
    """A Sequence with an Ensemble in it over our pods."""

    level = "baseline"  # KServe's controller gives its router no seccomp profile

    def test_sequence_and_ensemble_answer_bit_equal_to_the_embedded_engine(
        self, release: Namespace, tmp_path: Path
    ) -> None:
        with embedded("reimagine", tmp_path) as address:
            expected = ask(address, "reimagine", **PARAMETERS)
        with release.address("reimagine-default", 80) as address:
            message = v2_json.decode(reimagined(address))
        values = {name: rows(plain(value)) for name, value in message.values.items()}
        # KServe's router passes on what the request brought, too.
        assert {name: [without_base64(row) for row in values[name]] for name in expected} == expected

    def test_a_nodes_refusal_reaches_the_client_as_such(self, release: Namespace) -> None:
        inputs = [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["bm8gcGljdHVyZQ=="]}]
        with release.address("reimagine-default", 80) as address:
            answer = httpx.post(f"http://{address}/", json={"inputs": inputs}, timeout=300)
        assert answer.status_code == 400, answer.text[:2000]
        assert "image" in answer.text

    def test_prometheus_reads_what_every_node_counts(
        self, release: Namespace, prometheus: Callable[..., AbstractContextManager[str]]
    ) -> None:
        about = {"graph": "reimagine", "platform": "kserve"}
        with (
            release.address("reimagine-default", 80) as address,
            prometheus(release, "reimagine", **about) as url,
        ):
            ask = Prometheus(url)
            counts = 'sum by (imagegraph_node) (imagegraph_requests_total{role="node",code="200"})'

            def counted() -> dict[str, int]:
                return {one["metric"]["imagegraph_node"]: int(one["value"][1]) for one in ask(counts)}

            # A second request, as what has changed between two scrapes is a rate.
            reimagined(address)
            nodes = {one["metadata"]["labels"]["imagegraph/node"] for one in release.pods() if is_node(one)}
            eventually("a scrape of every node", lambda: counted().keys() == nodes, 30)
            before = counted()
            reimagined(address)
            after = {node: count + 1 for node, count in before.items()}
            eventually("a scrape of every node's count", lambda: counted() == after, 30)
            # KServe's router counts nothing, so what is of the whole graph finds nothing.
            others = [*NOT_HERE, 'role="engine"', "imagegraph_predictor_up", "imagegraph:"]
            asked = [
                query
                for board in ("overview", "graph")
                for query in queries(BOARDS[board], release.name, "reimagine")
                if not any(word in query for word in others)
            ]
            assert len(asked) >= 10
            assert not [query for query in asked if not ask(query)]


def is_node(pod: dict[str, Any]) -> bool:
    """Whether a pod is one of the graph's nodes."""
    return "imagegraph/node" in pod["metadata"]["labels"]
