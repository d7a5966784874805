"""A real Kubernetes on this machine, without Docker: `python -m tests.cluster.local up|down|check`.

Every node is a process tree in namespaces of its own (pid, mount, net, uts, ipc): containerd, kubelet and
kube-proxy, on the first one the control plane and DNS too. Killing its pid 1 ends all of it, mounts, links
and iptables rules included. The host reaches nodes, pods and Services through one veth pair to the first
node; other nodes hang on the first. Nothing of the host's /var and /run is used or seen in a node.

Needs root and the cgroup v1 hierarchies; `check` says whether a cluster can run here.
"""

import argparse
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import components
from tests.cluster.certificates import Authority
from tests.cluster.containerd import Containerd
from tests.cluster.images import IMAGES, Built, built, of_binary
from tests.cluster.shell import Failed, run
from tests.cluster.toolchain import tools
from tests.debian import Missing

ROOT = Path(__file__).parents[2]
STATE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imagegraph" / "cluster"
CGROUPS = Path("/sys/fs/cgroup")
VOLUMES = 24
NAMESPACES = (
    "unshare", "--fork", "--kill-child", "--pid", "--mount", "--mount-proc", "--net", "--uts", "--ipc",
    "--propagation", "private",
)  # fmt: skip


@dataclass(frozen=True)
class Cluster:
    """One local cluster. Clusters of other names and numbers (0 to 15) run beside it."""

    name: str = "imagegraph"
    number: int = 0

    @property
    def folder(self) -> Path:
        return STATE / self.name

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def authority(self) -> Authority:
        return Authority(self.folder / "pki", self.name, f"https://{self.node(1).address}:6443")

    @property
    def link(self) -> str:
        return f"igraph{self.number}"

    @property
    def services(self) -> str:
        return f"10.97.{self.number}.0/24"

    @property
    def pods(self) -> str:
        return f"10.246.{16 * self.number}.0/20"

    @property
    def addresses(self) -> str:
        return f"10.253.{16 * self.number}.0/20"

    def node(self, index: int) -> "Node":
        """Returns a node: 1 is the first, which holds the control plane."""
        return Node(self, index)

    def nodes(self) -> list["Node"]:
        """Returns the nodes that were started, running or not."""
        return [self.node(int(path.name[4:])) for path in sorted(self.folder.glob("node*"))]

    def kubectl(self, *arguments: str, stdin: str = "", timeout_s: float = 60) -> str:
        """Runs kubectl as administrator; raises CalledProcessError with what it said."""
        command = [str(tools() / "bin" / "kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_s)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout

    @contextmanager
    def fresh(self) -> Iterator[None]:
        """Runs it anew for a while, whatever an earlier run that was killed has left.

        Raises:
            Failed: somebody else has it.
        """
        STATE.mkdir(parents=True, exist_ok=True)
        with (STATE / f"{self.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Failed(f"cluster '{self.name}' is in use by other tests on this machine") from None
            self.down()
            try:
                self.up()
                yield
            finally:
                self.down()

    def up(self, nodes: int = 1) -> None:
        """Starts it, or what is missing of it; ready when it returns."""
        check()
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder / "lock"):
            first = self.node(1)
            if not first.running():
                self._down()
                service = f"{self.services.removesuffix('0/24')}1"
                self.authority.establish(["127.0.0.1", service, first.address])
                self.authority.write_kubeconfig("admin", self.kubeconfig)
                for index in range(VOLUMES):
                    folder = self.folder / "volumes" / f"{index:02}"
                    folder.mkdir(parents=True)
                    folder.chmod(0o777)
            wanted = [self.node(index) for index in range(1, nodes + 1)]
            for node in wanted:
                if not node.running():
                    node.start()
            _until("the API server", 60, first, lambda: self.kubectl("get", "--raw=/readyz", timeout_s=5))
            self.kubectl("apply", "--filename=-", stdin=yaml.safe_dump_all(_storage(self)))
            for node in wanted:
                _until(node.name, 60, node, node.ready)
            account = ("get", "serviceaccount", "default", "--namespace=default")
            _until("the default service account", 30, first, lambda: self.kubectl(*account, timeout_s=5))

    def down(self) -> None:
        """Ends it; leaves no process, mount, link, route, rule, cgroup or file."""
        if not self.folder.exists():
            return
        with _locked(self.folder / "lock"):
            self._down()
            shutil.rmtree(self.folder)

    def _down(self) -> None:
        for node in reversed(self.nodes()):
            node.stop()
        shutil.rmtree(self.folder / "volumes", ignore_errors=True)

    def load(self, image: Built) -> None:
        """Makes an image known to every node."""
        for node in self.nodes():
            node.containerd.load(image)


@dataclass(frozen=True)
class Node:
    """One node of a local cluster."""

    cluster: Cluster
    index: int

    @property
    def name(self) -> str:
        return f"node{self.index}"

    @property
    def folder(self) -> Path:
        return self.cluster.folder / self.name

    @property
    def cgroup(self) -> str:
        return f"{self.cluster.name}-{self.name}"

    @property
    def address(self) -> str:
        return f"10.253.{16 * self.cluster.number + self.index}.2"

    @property
    def gateway(self) -> str:
        return f"10.253.{16 * self.cluster.number + self.index}.1"

    @property
    def pods(self) -> str:
        return f"10.246.{16 * self.cluster.number + self.index}.0/24"

    @property
    def pid(self) -> int:
        """The host's number of its pid 1; 0 when there is none."""
        try:
            pid = int((self.folder / "pid").read_text())
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ValueError):
            return 0
        return pid if str(self.folder).encode() in arguments else 0

    def running(self) -> bool:
        return self.pid != 0

    def ready(self) -> bool:
        """Says whether Kubernetes calls it ready; raises where it does not know it."""
        status = self.cluster.kubectl("get", "node", self.name, "--output=json", timeout_s=5)
        conditions = json.loads(status)["status"].get("conditions", [])
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    def start(self) -> None:
        """Starts it and connects it; its components come up by themselves."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("etc/cni", "log", "var/log", "var/tmp", "var/lib/kubelet", "var/lib/etcd"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "var/run").symlink_to("/run")
        components.write_configuration(self)
        (self.folder / "node.json").write_text(
            json.dumps({"commands": components.commands(self), "name": self.name})
        )
        ready, ready_in = os.pipe()
        command = [*NAMESPACES, sys.executable, "-m", "tests.cluster.node"]
        command += [str(self.folder), self.cgroup, str(ready_in)]
        environment = {**os.environ, "PATH": f"{tools() / 'bin'}:{os.environ['PATH']}", "TMPDIR": "/var/tmp"}
        with (self.folder / "log" / "node.log").open("w") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, pass_fds=[ready_in],
            )  # fmt: skip
        os.close(ready_in)
        with os.fdopen(ready) as pipe:  # pid 1 says so when its namespaces are there, or ends
            if pipe.readline() != "ready\n":
                process.wait(10)
                raise Failed(f"{self.name} did not start: {(self.folder / 'log/node.log').read_text()}")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        (self.folder / "pid").write_text(children.strip())
        self._connect()
        (self.folder / "connected").touch()
        pause = of_binary(tools() / "bin" / "pause", self.folder / "images")
        _until("containerd", 30, self, lambda: self.containerd.load(pause))

    def _connect(self) -> None:
        cluster, inside = self.cluster, ["nsenter", f"--target={self.pid}", "--net"]
        if self.index == 1:
            outside, link = [], cluster.link
        else:
            outside, link = ["nsenter", f"--target={cluster.node(1).pid}", "--net"], self.name
        peer = ["peer", "name", "eth0", "netns", str(self.pid)]
        run(*outside, "ip", "link", "add", link, "type", "veth", *peer)
        run(*outside, "ip", "address", "add", f"{self.gateway}/30", "dev", link)
        run(*outside, "ip", "link", "set", link, "up")
        run(*inside, "ip", "address", "add", f"{self.address}/30", "dev", "eth0")
        run(*inside, "ip", "link", "set", "eth0", "up")
        run(*inside, "ip", "route", "add", "default", "via", self.gateway)
        if self.index == 1:
            for network in (cluster.pods, cluster.services, cluster.addresses):
                run("ip", "route", "replace", network, "via", self.address)
        else:
            run(*outside, "ip", "route", "replace", self.pods, "via", self.address)

    @property
    def containerd(self) -> Containerd:
        """Its images and containers."""
        return Containerd(self.pid, self.folder)

    def run(self, *command: str) -> str:
        """Runs a command that sees the node's mounts; returns what it prints."""
        return run("nsenter", f"--target={self.pid}", "--mount", *command)

    def stop(self) -> None:
        """Kills it and removes what it leaves."""
        if pid := self.pid:
            os.kill(pid, signal.SIGKILL)
            _wait(lambda: not Path(f"/proc/{pid}").exists(), 20, f"{self.name} did not end")
        if self.index == 1:  # the kernel removes the link with the node's namespace, but later
            subprocess.run(["ip", "link", "delete", self.cluster.link], capture_output=True)
            link = Path(f"/sys/class/net/{self.cluster.link}")
            _wait(lambda: not link.exists(), 20, f"the link {link.name} did not go")
        _wait(lambda: not _remove_cgroups(self.cgroup), 20, f"cgroups of {self.name} are still in use")
        shutil.rmtree(self.folder)


def _remove_cgroups(name: str) -> list[Path]:
    """Removes the cgroups of a node; returns those that are still in use."""
    left = []
    for top in CGROUPS.glob(f"*/{name}"):
        for folder in [*sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True), top]:
            try:
                folder.rmdir()
            except OSError:
                left.append(folder)
    return left


def check() -> None:
    """Raises Missing where a cluster cannot run on this machine."""
    tools()
    for command in ("containerd", "runc", "iptables", "ip", "openssl", "unshare", "/usr/lib/cni/ptp"):
        if not shutil.which(command):
            raise Missing(f"{command} is not installed; run `make cluster-tools`")
    if os.geteuid() != 0:
        raise Missing("a cluster on this machine needs root")
    if not (CGROUPS / "memory").is_dir():
        raise Missing("a cluster on this machine needs the cgroup v1 hierarchies")
    probe = f"igraph{os.getpid()}"
    try:
        (CGROUPS / "memory" / probe).mkdir()
        (CGROUPS / "memory" / probe).rmdir()
        run(*NAMESPACES, "mount", "-t", "tmpfs", "tmpfs", "/run")
        run("ip", "link", "add", probe, "type", "veth")
        run("ip", "link", "delete", probe)
    except (Failed, OSError) as error:
        raise Missing(f"a cluster on this machine needs cgroups, namespaces and mounts: {error}") from error


def _storage(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """Yields a default storage class and its volumes, which every node sees."""
    yield {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "shared",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "Immediate",
    }
    linux = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}
    for folder in sorted((cluster.folder / "volumes").iterdir()):
        yield {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"volume-{folder.name}"},
            "spec": {
                "storageClassName": "shared",
                "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
                "capacity": {"storage": "100Gi"},
                "persistentVolumeReclaimPolicy": "Retain",
                "local": {"path": str(folder)},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [linux]}]}},
            },
        }


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _until(what: str, seconds: float, node: Node, ready: Callable[[], Any]) -> None:
    """Waits until `ready` neither raises nor returns False."""

    def try_it() -> bool:
        try:
            return ready() is not False
        except (Failed, subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return False

    try:
        _wait(try_it, seconds, what)
    except Failed as error:
        logs = sorted((node.folder / "log").glob("*.log"))
        tails = "\n".join(f"{log.name}: {log.read_text(errors='replace')[-600:]}" for log in logs)
        raise Failed(f"{what} was not there after {seconds} s\n{tails}") from error


def _wait(condition: Callable[[], bool], seconds: float, failure: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failed(failure)
        time.sleep(0.1)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.local", description=__doc__.splitlines()[0]
    )
    parser.add_argument("command", choices=["up", "down", "check"])
    parser.add_argument("--nodes", type=int, default=1, help="up: how many nodes")
    arguments = parser.parse_args()
    cluster = Cluster()
    if arguments.command == "down":
        cluster.down()
        return
    if arguments.command == "check":
        check()
        return
    start = time.monotonic()
    cluster.up(arguments.nodes)
    for name in IMAGES:
        cluster.load(built(name))
    print(
        f"Kubernetes is up after {time.monotonic() - start:.0f} s, with the images; "
        "`make cluster-down` ends it. Use it by"
    )
    print(f"  export KUBECONFIG={cluster.kubeconfig} PATH={tools() / 'bin'}:$PATH")
    print("and test on it instead of a fresh one by `make cluster-test TEST_KUBECONFIG=$KUBECONFIG`")


if __name__ == "__main__":
    try:
        main()
    except (Failed, Missing) as error:
        sys.exit(f"cluster: {error}")
