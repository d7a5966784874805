"""Platform plain on a real Kubernetes: our engine in front of pods, weights pulled onto a volume."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from imagegraph.catalogue import ROOT
from imagegraph.client import Client
from tests.cluster.kubernetes import CommandFailed, Kubernetes, Namespace, eventually
from tests.cluster.load import PICTURE, Load
from tests.cluster.releases import SCENE, SMALL, answered, ask, embedded, install
from tests.cluster.toolchain import tools

CANARY = {"image": {"tag": "canary"}}
SPLIT = {"default": {"traffic": 80}, "canary": {"traffic": 20, **CANARY}}


@pytest.fixture(scope="class")
def release(request: pytest.FixtureRequest, images: Kubernetes, shared_namespace: Namespace) -> Namespace:
    """A release of the graph that the class names, by its name."""
    install(shared_namespace, request.cls.graph, graph=request.cls.graph)
    return shared_namespace


@pytest.fixture(scope="class")
def near(images: Kubernetes) -> None:
    """Skips where a Service cannot be asked by its own address."""
    if images.local is None:
        pytest.skip("of a cluster elsewhere a port is forwarded, to one pod, and goes with that pod")


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
        log = release.kubectl("logs", depth["metadata"]["name"], "--container=model-init")
        assert "complete: 1 repositories" in log  # whichever of the pods that use it came first
        for pod in pods:
            (container,) = pod["status"]["containerStatuses"]
            assert container["ready"]
            assert container["restartCount"] == 0, pod["metadata"]["name"]

    def test_rest_and_grpc_answer_bit_equal_to_the_embedded_engine(
        self, release: Namespace, tmp_path: Path
    ) -> None:
        with embedded("reimagine", tmp_path) as address:
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


@pytest.mark.usefixtures("near")
class TestEdges:
    """Versions of a small graph, and what happens to its pods, under load."""

    graph = "edges"

    @pytest.fixture
    def address(self, release: Namespace) -> Iterator[str]:
        with release.address("edges-engine", 8080) as address:
            eventually("an answer", lambda: ask(address, "edges"), 30)
            yield address

    def test_a_canary_gets_its_share_and_no_request_is_lost(
        self, release: Namespace, address: str, figure: Callable[[str], None]
    ) -> None:
        with Load(address, rate=20) as during:
            install(release, "edges", graph="edges", predictors=SPLIT)
            time.sleep(5)  # until the engine before is gone
        assert during.lost == 0, during.outcomes
        before = answered(address)
        with Load(address, threads=8, rate=200, most=1000) as load:
            load.finish(240)
        assert load.outcomes == {"200": 1000}
        after = answered(address)
        split = {name: count - before.get(name, 0) for name, count in after.items()}
        figure(f"{during}; of 1000 requests the canary got {split['canary']}")
        assert split["default"] + split["canary"] == 1000
        assert 160 <= split["canary"] <= 240

    def test_one_id_stays_on_one_side_and_a_header_picks_it(self, release: Namespace, address: str) -> None:
        before = answered(address)
        with Client(f"http://{address}") as client:
            for _ in range(5):
                client.infer("edges", image=PICTURE, request_id="always-the-same")
        after = answered(address)
        assert sorted(after[name] - before[name] for name in after) == [0, 5]
        with Client(f"http://{address}") as client:
            for _ in range(10):
                client.infer("edges", image=PICTURE, predictor="canary")
        assert answered(address)["canary"] - after["canary"] == 10

    def test_taken_away_in_one_step_with_traffic_it_is_kept(self, release: Namespace) -> None:
        with pytest.raises(CommandFailed, match="predictors.canary: it gets 20 % of the requests"):
            install(release, "edges", graph="edges")

    def test_rolled_back_it_goes_and_no_request_is_lost(
        self, release: Namespace, address: str, figure: Callable[[str], None]
    ) -> None:
        with Load(address, rate=20) as load:
            rolled_back = self._canary(release, "rollback")
        assert rolled_back.returncode == 0, rolled_back.stderr
        figure(str(load))
        assert self._images(release) == {"imagegraph:0.1.0"}
        assert load.lost == 0, load.outcomes

    def test_promoted_on_enough_data_it_gets_everything_and_no_request_is_lost(
        self,
        release: Namespace,
        address: str,
        prometheus: Callable[[str], AbstractContextManager[str]],
        figure: Callable[[str], None],
    ) -> None:
        install(release, "edges", graph="edges", predictors=SPLIT)
        with prometheus(address) as url:
            options = [f"--prometheus={url}", "--min-requests=50", "--max-slowdown=100"]
            early = self._canary(release, "promote", *options)
            assert early.returncode != 0
            assert "too little data" in early.stderr
            with Load(address, threads=8, rate=100, most=800) as enough:
                enough.finish(240)
            time.sleep(3)  # until that is scraped
            with Load(address, rate=20) as load:
                promoted = self._canary(release, "promote", *options)
        assert promoted.returncode == 0, promoted.stderr
        figure(str(load))
        assert self._images(release) == {"imagegraph:canary"}
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

    def test_a_rolling_restart_loses_no_request(
        self, release: Namespace, figure: Callable[[str], None]
    ) -> None:
        install(release, "edges", graph="edges")
        with release.address("edges-engine", 8080) as address, Load(address, rate=30, reuse=False) as load:
            for deployment in ("edges-default-edges", "edges-engine"):
                release.kubectl("rollout", "restart", f"deployment/{deployment}")
                release.wait_ready(deployment)
            time.sleep(5)
        figure(str(load))
        assert load.lost == 0, load.outcomes

    def test_a_pod_killed_in_mid_request_costs_no_more_than_what_it_held(
        self, release: Namespace, figure: Callable[[str], None]
    ) -> None:
        install(release, "edges", graph="edges", node={"resources": SMALL, "replicas": 2})
        with release.address("edges-engine", 8080) as address, Load(address, rate=60) as load:
            pod = self._busiest(release)
            release.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
            eventually("two pods again", lambda: len(self._ready(release)) == 2, 180)
        figure(str(load))
        assert load.lost <= 4, load.outcomes  # one of each of the four threads

    @pytest.mark.parametrize("signal", ["SIGKILL", "SIGSTOP"])
    def test_a_process_that_ends_or_hangs_is_started_again(
        self, release: Namespace, figure: Callable[[str], None], signal: str
    ) -> None:
        here = release.cluster.local
        assert here
        install(release, "edges", graph="edges", node={"resources": SMALL, "replicas": 2})
        with (
            release.address("edges-engine", 8080) as address,
            Load(address, rate=60, timeout_s=150) as load,
        ):
            pod = self._busiest(release)
            (before,) = release.get("pod", pod)["status"]["containerStatuses"]

            def restarted() -> bool:
                (now,) = release.get("pod", pod)["status"]["containerStatuses"]
                return now["restartCount"] == before["restartCount"] + 1 and now["ready"]

            start = time.monotonic()
            here.node(1).containerd.signal(before["containerID"].removeprefix("containerd://"), signal)
            eventually("a restart", restarted, 180)
            took_s = time.monotonic() - start
        figure(f"{load}; the pod was ready again after {took_s:.0f} s")
        assert load.lost <= 4, load.outcomes  # one of each of the four threads

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

    def _busiest(self, release: Namespace) -> str:
        """Returns the pod that answers most requests."""

        def counts() -> Counter[str]:
            found: Counter[str] = Counter()
            for pod in self._ready(release):
                name = pod["metadata"]["name"]
                with release.forward(f"pod/{name}", 8080) as address:
                    found[name] = sum(answered(address).values())
            return found

        before = counts()
        time.sleep(2)
        [(name, answers)] = (counts() - before).most_common(1)
        assert answers, "no pod answers"
        return name

    def _ready(self, release: Namespace) -> list[dict[str, Any]]:
        pods = release.pods("imagegraph/node=edges")
        return [
            pod for pod in pods if all(one["ready"] for one in pod["status"].get("containerStatuses", []))
        ]

    def _images(self, release: Namespace) -> set[str]:
        pods = release.pods("imagegraph/node=edges")
        return {pod["spec"]["containers"][0]["image"] for pod in pods}
