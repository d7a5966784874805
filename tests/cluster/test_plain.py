"""Platform plain on a real Kubernetes: our engine in front of pods, weights pulled onto a volume."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagegraph.spec.catalogue import ROOT
from tests.cluster.kubernetes import Namespace, eventually
from tests.cluster.load import Load
from tests.cluster.releases import SCENE, SMALL, answered, ask, embedded, install
from tests.cluster.toolchain import tools

SCENARIOS = ROOT / "load-tests" / "release" / "scenarios"


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
    """What happens to the pods of a small graph, under load."""

    graph = "edges"

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

    def test_the_load_test_of_the_chart_asks_by_all_ways_and_keeps_its_thresholds(
        self, release: Namespace
    ) -> None:
        install(release, "edges", graph="edges", loadTest={"enabled": True, "resources": SMALL})
        [job] = release.get("jobs")["items"]
        name = f"job/{job['metadata']['name']}"
        eventually("its end", lambda: release.get(name)["status"].get("completionTime"), 180)
        log = release.kubectl("logs", name)
        assert release.get(name)["status"].get("succeeded") == 1, log
        for way in ("binary", "json", "grpc", "stream"):
            assert way in log

    def test_a_load_test_from_outside_kills_a_pod_by_its_labels_and_loses_nothing(
        self, release: Namespace, tmp_path: Path
    ) -> None:
        install(release, "edges", graph="edges", node={"resources": SMALL, "replicas": 2})
        before = {pod["metadata"]["name"] for pod in self._ready(release)}
        scenario = tmp_path / "kill.yaml"
        shorter = yaml.safe_load((SCENARIOS / "kill.yaml").read_text())
        shorter |= {"phases": [{"rate": 10, "seconds": 20}], "kill": {"at_seconds": 5}}
        scenario.write_text(yaml.safe_dump(shorter))
        config = tmp_path / "config"
        config.write_bytes(release.cluster.kubeconfig.read_bytes())
        kubectl = {"KUBECONFIG": str(config), "PATH": f"{tools() / 'bin'}:{os.environ['PATH']}"}
        here = ["kubectl", "config", "set-context", "--current", f"--namespace={release.name}"]
        subprocess.run(here, env=kubectl, check=True, capture_output=True)
        with release.address("edges-engine", 8080) as address:
            done = subprocess.run(
                [sys.executable, "load-tests/load.py", "run", str(scenario), f"--host=http://{address}",
                 "--kill-selector=imagegraph/node=edges", f"--out={tmp_path / 'out'}"],
                cwd=ROOT, env={**os.environ, **kubectl}, capture_output=True, text=True, timeout=180,
            )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(before - {pod["metadata"]["name"] for pod in release.pods("imagegraph/node=edges")}) == 1

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
