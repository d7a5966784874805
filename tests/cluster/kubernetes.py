"""A cluster as tests use it: kubectl and helm with deadlines, namespaces that go, words about faults."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.local import Cluster
from tests.cluster.toolchain import tools


class CommandFailed(AssertionError):
    """kubectl or helm ended with an error; the message holds its words."""


@dataclass(frozen=True)
class Kubernetes:
    """A cluster: a local one, or the one that TEST_KUBECONFIG names.

    Attributes:
        fresh: it goes at the end of the session, so that nobody waits for the end of what is in it.
    """

    kubeconfig: Path
    local: Cluster | None = None
    fresh: bool = False

    def kubectl(self, *arguments: str, stdin: str = "", timeout_s: float = 60) -> str:
        """Runs kubectl; raises CommandFailed."""
        return self._run("kubectl", *arguments, stdin=stdin, timeout_s=timeout_s)

    def helm(self, *arguments: str, stdin: str = "", timeout_s: float = 120) -> str:
        """Runs helm; raises CommandFailed."""
        return self._run("helm", *arguments, stdin=stdin, timeout_s=timeout_s)

    def get(self, *arguments: str) -> Any:
        """Returns what `kubectl get` finds."""
        return json.loads(self.kubectl("get", "--output=json", *arguments))

    def apply(self, *documents: Any, server_side: bool = False) -> None:
        """Creates objects, or changes them."""
        option = ["--server-side"] if server_side else []
        self.kubectl("apply", *option, "--filename=-", stdin=yaml.safe_dump_all(documents), timeout_s=120)

    def wait_established(self, *definitions: str) -> None:
        """Waits until the API server knows the kinds of CustomResourceDefinitions, given as kind/name."""
        # One that was just made has no conditions, which `wait` takes for an error.
        wait = ("wait", *definitions, "--for=condition=Established", "--timeout=20s")
        eventually("the definitions", lambda: self.kubectl(*wait))

    @contextmanager
    def namespace(self, name: str, *, level: str = "restricted") -> Iterator["Namespace"]:
        """Makes a namespace that enforces a level of Pod Security, and removes it with all that is in it."""
        labels = {"pod-security.kubernetes.io/enforce": level}
        metadata = {"name": name, "labels": labels}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        try:
            yield Namespace(self, name)
        finally:
            wait = "false" if self.fresh else "true"
            self.kubectl("delete", "namespace", name, f"--wait={wait}", "--timeout=120s", timeout_s=130)

    def _run(self, program: str, *arguments: str, stdin: str = "", timeout_s: float) -> str:
        command = [str(tools() / "bin" / program), f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_s)
        if done.returncode:
            raise CommandFailed(f"`{program} {' '.join(arguments)}` failed: {done.stderr}{done.stdout}")
        return done.stdout


@dataclass(frozen=True)
class Namespace:
    """A namespace of a cluster."""

    cluster: Kubernetes
    name: str

    def kubectl(self, *arguments: str, stdin: str = "", timeout_s: float = 60) -> str:
        """Runs kubectl in the namespace; raises CommandFailed."""
        return self.cluster.kubectl(f"--namespace={self.name}", *arguments, stdin=stdin, timeout_s=timeout_s)

    def helm(self, *arguments: str, stdin: str = "", timeout_s: float = 120) -> str:
        """Runs helm in the namespace; raises CommandFailed."""
        return self.cluster.helm(f"--namespace={self.name}", *arguments, stdin=stdin, timeout_s=timeout_s)

    def get(self, *arguments: str) -> Any:
        """Returns what `kubectl get` finds in the namespace."""
        return self.cluster.get(f"--namespace={self.name}", *arguments)

    def apply(self, *documents: Any) -> None:
        """Creates objects in the namespace, or changes them."""
        self.kubectl("apply", "--filename=-", stdin=yaml.safe_dump_all(documents), timeout_s=120)

    def pods(self, selector: str = "") -> list[dict[str, Any]]:
        """Returns the pods that a label selector finds, those that are ending left out."""
        pods = self.get("pods", f"--selector={selector}")["items"]
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def wait_ready(self, *deployments: str, timeout_s: float = 180) -> None:
        """Waits until Deployments are rolled out, all of the namespace by default."""
        names = deployments or [item["metadata"]["name"] for item in self.get("deployments")["items"]]
        end = time.monotonic() + timeout_s
        for name in names:
            left = max(1, end - time.monotonic())
            self.kubectl(
                "rollout", "status", f"deployment/{name}", f"--timeout={left:.0f}s", timeout_s=left + 5
            )

    @contextmanager
    def address(self, service: str, port: int) -> Iterator[str]:
        """Gives `host:port` of a Service: its own on the local cluster, a forwarded one elsewhere."""
        if self.cluster.local:
            yield f"{self.get('service', service)['spec']['clusterIP']}:{port}"
            return
        with self.forward(f"service/{service}", port) as address:
            yield address

    @contextmanager
    def forward(self, target: str, port: int) -> Iterator[str]:
        """Forwards a port of a pod or Service to this machine; gives `host:port`."""
        command = [
            str(tools() / "bin" / "kubectl"), f"--kubeconfig={self.cluster.kubeconfig}",
            f"--namespace={self.name}", "port-forward", target, f":{port}",
        ]  # fmt: skip
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                assert process.stdout
                line = process.stdout.readline()  # "Forwarding from 127.0.0.1:40123 -> 8080"
                if not line.startswith("Forwarding from "):
                    raise CommandFailed(f"port-forward of {target}: {line}")
                yield line.split()[2]
            finally:
                process.kill()

    def diagnose(self) -> str:
        """Says how pods and containers are, what happened, and what they said last."""
        parts = [
            self._try("get", "pods,services,persistentvolumeclaims", "--output=wide"),
            self._try("get", "events", "--sort-by=.lastTimestamp"),
        ]
        for pod in self.get("pods")["items"]:
            statuses = pod["status"]
            for container in [
                *statuses.get("initContainerStatuses", []),
                *statuses.get("containerStatuses", []),
            ]:
                if not container.get("ready"):
                    name = f"{pod['metadata']['name']} {container['name']}"
                    logs = self._try(
                        "logs", pod["metadata"]["name"], f"--container={container['name']}", "--tail=30"
                    )
                    parts.append(f"{name}: {json.dumps(container['state'])}\n{logs}")
        return "\n".join(parts)

    def _try(self, *arguments: str) -> str:
        try:
            return self.kubectl(*arguments)
        except (CommandFailed, subprocess.TimeoutExpired) as error:
            return str(error)


def eventually(what: str, condition: Callable[[], Any], timeout_s: float = 60) -> Any:
    """Waits until a condition holds, and returns its value; it may raise AssertionError until then."""
    end = time.monotonic() + timeout_s
    while True:
        failure = ""
        try:
            if value := condition():
                return value
        except AssertionError as error:
            failure = f": {error}"
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {timeout_s} s{failure}")
        time.sleep(0.2)


def given() -> Kubernetes | None:
    """Returns the cluster that TEST_KUBECONFIG names; nobody's KUBECONFIG is used unasked."""
    path = os.environ.get("TEST_KUBECONFIG")
    if not path:
        return None
    started = Cluster()
    return Kubernetes(Path(path), started if Path(path) == started.kubeconfig else None)
