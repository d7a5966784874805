"""Platform plain on a real Kubernetes: our engine in front of pods, weights pulled onto a volume."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml

from imagegraph.catalogue import ROOT
from imagegraph.client import Client
from imagegraph.image import Image
from tests.cluster.kubernetes import Kubernetes, Namespace, eventually
from tests.cluster.load import PICTURE, Load
from tests.cluster.toolchain import tools

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
CANARY = {"image": {"tag": "canary"}}


def install(namespace: Namespace, release: str, *, wait: bool = True, **values: Any) -> None:
    """Installs the chart, or upgrades a release."""
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"{namespace.name}-{release}.yaml"
    path.write_text(yaml.safe_dump(VALUES | values))
    try:
        namespace.helm(
            "upgrade", "--install", release, str(CHART), f"--values={path}", "--reset-values",
            *(["--wait", "--timeout=400s"] if wait else []), timeout_s=420,
        )  # fmt: skip
    finally:
        path.unlink()


def answered(address: str) -> dict[str, int]:
    """Returns how many requests each predictor has answered."""
    metrics = httpx.get(f"http://{address}/metrics", timeout=10).text
    found: dict[str, int] = {}
    for labels, count in re.findall(r"^imagegraph_requests_total\{(.*)\} (\S+)$", metrics, re.M):
        predictor = re.search(r'predictor="([^"]*)"', labels)
        assert predictor
        found[predictor[1]] = found.get(predictor[1], 0) + int(float(count))
    return found


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
def embedded(graph: str) -> Iterator[str]:
    """Runs a whole graph in one process of this machine, with as many threads as a pod has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "imagegraph.cli", "serve", f"--graph={graph}", "--bundle=pocket",
               "--device=cpu", f"--http-port={port}", "--grpc-port=0"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        try:

            def ready() -> bool:
                if process.poll() is not None:
                    pytest.fail(f"the server ended with {process.returncode}")
                try:
                    return httpx.get(f"http://127.0.0.1:{port}/v2/models/{graph}/ready").status_code == 200
                except httpx.TransportError:
                    return False

            eventually("the embedded graph", ready, 120)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.fixture(scope="class")
def release(request: pytest.FixtureRequest, images: Kubernetes, shared_namespace: Namespace) -> Namespace:
    """A release of the graph that the class names, by its name."""
    install(shared_namespace, request.cls.graph, graph=request.cls.graph)
    return shared_namespace


class TestReimagine:
    """The main job, every node a pod."""

    graph = "reimagine"

    def test_every_pod_is_ready_with_weights_pulled_onto_a_volume(self, release: Namespace) -> None:
        claims = release.get("persistentvolumeclaims")["items"]
        assert [claim["status"]["phase"] for claim in claims] == ["Bound"]
        pods = release.pods()
        depth = next(pod for pod in pods if "-depth-" in pod["metadata"]["name"])
        (pulled,) = depth["status"]["initContainerStatuses"]
        assert pulled["state"]["terminated"]["exitCode"] == 0
        assert "depth" in release.kubectl("logs", depth["metadata"]["name"], "--container=model-init")
        for pod in pods:
            (container,) = pod["status"]["containerStatuses"]
            assert container["ready"]
            assert container["restartCount"] == 0, pod["metadata"]["name"]

    def test_rest_and_grpc_answer_bit_equal_to_the_embedded_engine(self, release: Namespace) -> None:
        with embedded("reimagine") as address:
            expected = ask(address, "reimagine", seed=7, steps=4, variants=1)
        with release.address("reimagine-engine", 8080) as address:
            assert ask(address, "reimagine", seed=7, steps=4, variants=1) == expected
        with release.address("reimagine-engine", 8081) as address:
            command = [sys.executable, "-m", "tests.cluster.ask_grpc", address, "reimagine", str(SCENE)]
            done = subprocess.run(
                [*command, "seed=7", "steps=4", "variants=1"],
                cwd=ROOT, capture_output=True, text=True, timeout=300,
            )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == expected

    def test_the_service_account_may_do_nothing(self, release: Namespace) -> None:
        account = f"system:serviceaccount:{release.name}:reimagine"
        listed = release.kubectl("auth", "can-i", "--list", "--no-headers", f"--as={account}")
        allowed = {line.split()[0] for line in listed.splitlines() if not line.startswith((" ", "["))}
        assert allowed <= {
            "selfsubjectreviews.authentication.k8s.io",
            "selfsubjectaccessreviews.authorization.k8s.io",
            "selfsubjectrulesreviews.authorization.k8s.io",
        }

    def test_uninstall_leaves_only_the_volume(self, release: Namespace) -> None:
        release.helm("uninstall", "reimagine", "--wait", "--timeout=120s", timeout_s=150)
        kinds = release.cluster.kubectl(
            "api-resources", "--namespaced", "--verbs=list", "--output=name"
        ).split()
        kinds = [kind for kind in kinds if not kind.startswith("events")]
        eventually("the end of the pods", lambda: not release.get("pods")["items"], 60)
        left = release.get(",".join(kinds))["items"]
        found = {(item["kind"], item["metadata"]["name"]) for item in left}
        assert found == {
            ("ConfigMap", "kube-root-ca.crt"),
            ("PersistentVolumeClaim", "reimagine-models"),
            ("ServiceAccount", "default"),
        }


class TestEdges:
    """Versions of a small graph, and what happens to its pods, under load."""

    graph = "edges"

    @pytest.fixture
    def address(self, release: Namespace) -> Iterator[str]:
        with release.address("edges-engine", 8080) as address:
            eventually("an answer", lambda: ask(address, "edges"), 30)
            yield address

    def test_a_canary_gets_its_share_and_no_request_is_lost(self, release: Namespace, address: str) -> None:
        predictors = {"default": {"traffic": 80}, "canary": {"traffic": 20, **CANARY}}
        with Load(address, rate=20) as during:
            install(release, "edges", graph="edges", predictors=predictors)
            time.sleep(5)  # until the engine before is gone
        assert during.lost == 0, during.outcomes
        before = answered(address)
        with Load(address, threads=8, rate=200, most=1000) as load:
            load.finish(120)
        assert load.outcomes == {"200": 1000}
        after = answered(address)
        split = {name: count - before.get(name, 0) for name, count in after.items()}
        print(f"lost {during.lost} of {during.sent} while upgrading; split {split}")
        assert split["default"] + split["canary"] == 1000
        assert 160 <= split["canary"] <= 240

    def test_one_id_stays_on_one_side_and_a_header_picks_it(self, release: Namespace, address: str) -> None:
        for _ in range(5):
            with Client(f"http://{address}") as client:
                client.infer("edges", image=PICTURE, request_id="always-the-same")
        before = answered(address)
        with Client(f"http://{address}") as client:
            for _ in range(10):
                client.infer("edges", image=PICTURE, predictor="canary")
        assert answered(address)["canary"] - before["canary"] == 10

    def test_promoted_on_enough_data_it_gets_everything(
        self, release: Namespace, address: str, prometheus: Callable[[str], AbstractContextManager[str]]
    ) -> None:
        with prometheus(address) as url:
            options = [f"--prometheus={url}", "--min-requests=50", "--max-slowdown=100"]
            early = self._canary(release, "promote", *options)
            assert early.returncode != 0
            assert "too little data" in early.stderr
            with Load(address, threads=8, rate=100, most=800) as enough:
                enough.finish(120)
            time.sleep(3)  # until that is scraped
            with Load(address, rate=20) as load:
                promoted = self._canary(release, "promote", *options)
        assert promoted.returncode == 0, promoted.stderr
        assert self._images(release) == {"imagegraph:canary"}
        print(f"{promoted.stdout}lost {load.lost} of {load.sent} while promoting")
        assert load.lost == 0, load.outcomes

    def test_rolled_back_it_gets_nothing(self, release: Namespace, address: str) -> None:
        with Load(address, rate=20) as load:
            release.helm("rollback", "edges", "1", "--wait", "--timeout=200s", timeout_s=220)
            eventually("only the old image", lambda: self._images(release) == {"imagegraph:0.1.0"})
        print(f"lost {load.lost} of {load.sent} while rolling back")
        assert load.lost == 0, load.outcomes

    def test_a_shadow_gets_copies_and_its_failures_hurt_nobody(self, release: Namespace) -> None:
        shadow = {"traffic": 100, "shadow": True, **CANARY}
        install(release, "edges", graph="edges", predictors={"default": {"traffic": 100}, "trial": shadow})
        with release.address("edges-engine", 8080) as address:
            with Load(address, rate=50, most=100) as load:
                load.finish(60)
            assert load.outcomes == {"200": 100}
            with release.address("edges-trial-edges", 8080) as copy:
                eventually("copies", lambda: sum(answered(copy).values()) >= 90, 20)
            release.kubectl("scale", "deployment/edges-trial-edges", "--replicas=0")
            eventually("the end of the shadow", lambda: not release.pods("imagegraph/predictor=trial"))
            with Load(address, rate=50, most=100) as load:
                load.finish(60)
            assert load.outcomes == {"200": 100}

    def test_a_rolling_restart_loses_no_request(self, release: Namespace) -> None:
        install(release, "edges", graph="edges")
        with release.address("edges-engine", 8080) as address, Load(address, rate=30, reuse=False) as load:
            for deployment in ("edges-default-edges", "edges-engine"):
                release.kubectl("rollout", "restart", f"deployment/{deployment}")
                release.wait_ready(deployment)
            time.sleep(5)
        print(f"lost {load.lost} of {load.sent} in two rolling restarts")
        assert load.lost == 0, load.outcomes

    def test_a_killed_pod_costs_no_more_than_the_requests_it_held(self, release: Namespace) -> None:
        install(release, "edges", graph="edges", node={"resources": SMALL, "replicas": 2})
        with release.address("edges-engine", 8080) as address, Load(address, rate=30) as load:
            time.sleep(2)
            pod = release.pods("imagegraph/node=edges")[0]["metadata"]["name"]
            release.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
            eventually("two pods again", lambda: len(self._ready(release)) == 2, 120)
        print(f"lost {load.lost} of {load.sent} when a pod was killed")
        assert load.lost <= 4, load.outcomes  # one of each of the four threads

    def test_a_process_that_hangs_is_started_again(self, release: Namespace) -> None:
        pod = self._ready(release)[0]["metadata"]["name"]
        (status,) = release.get("pod", pod)["status"]["containerStatuses"]
        here = release.cluster.local
        if here is None:
            pytest.skip("only on a local cluster can a test stop a container's process")
        here.node(1).signal(status["containerID"].removeprefix("containerd://"), "SIGSTOP")

        def restarted() -> bool:
            (status,) = release.get("pod", pod)["status"]["containerStatuses"]
            return status["restartCount"] == 1 and status["ready"]

        eventually("a restart by the liveness probe", restarted, 120)

    def _canary(self, release: Namespace, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "imagegraph.cli", "canary", arguments[0], "edges", *arguments[1:]]
        environment = {
            **os.environ,
            "KUBECONFIG": str(release.cluster.kubeconfig),
            "PATH": f"{tools() / 'bin'}:{os.environ['PATH']}",
        }
        return subprocess.run(
            [*command, f"--namespace={release.name}"],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400,
        )  # fmt: skip

    def _ready(self, release: Namespace) -> list[dict[str, Any]]:
        pods = release.pods("imagegraph/node=edges")
        return [
            pod for pod in pods if all(one["ready"] for one in pod["status"].get("containerStatuses", []))
        ]

    def _images(self, release: Namespace) -> set[str]:
        pods = release.pods("imagegraph/node=edges")
        return {pod["spec"]["containers"][0]["image"] for pod in pods}
