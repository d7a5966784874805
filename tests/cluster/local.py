"""A real Kubernetes on this machine, without Docker: `python -m tests.cluster.local up|down`.

Every node is a process tree in namespaces of its own (pid, mount, net, uts, ipc): containerd, kubelet and
kube-proxy, on the first one the control plane and DNS too. Killing its pid 1 ends all of it, mounts, links
and iptables rules included. The host reaches nodes, pods and Services through one veth pair to the first
node; other nodes hang on the first. Nothing of the host's /var and /run is used or seen in a node.

Needs root and the cgroup v1 hierarchies; elsewhere give a cluster by KUBECONFIG.
"""

import argparse
import base64
import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.images import Built, of_binary
from tests.cluster.toolchain import Missing, tools

ROOT = Path(__file__).parents[2]
STATE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imagegraph" / "cluster"
CGROUPS = Path("/sys/fs/cgroup")
VOLUMES = 24
CRI = "/run/containerd/containerd.sock"


class Failed(Exception):
    """The cluster did not come up; the message holds the last lines of its logs."""


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

    def up(self, nodes: int = 1) -> None:
        """Starts it, or what is missing of it; ready when it returns."""
        _check_machine()
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder / "lock"):
            first = self.node(1)
            if not first.running():
                self._down()
                _make_certificates(self)
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
            node.load(image)


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
        _write_configuration(self)
        (self.folder / "node.json").write_text(json.dumps({"commands": _commands(self), "name": self.name}))
        ready, ready_in = os.pipe()
        unshare = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--mount-proc", "--net", "--uts",
                   "--ipc", "--propagation", "private", sys.executable, "-m", "tests.cluster.node",
                   str(self.folder), self.cgroup, str(ready_in)]  # fmt: skip
        environment = {**os.environ, "PATH": f"{tools() / 'bin'}:{os.environ['PATH']}", "TMPDIR": "/var/tmp"}
        with (self.folder / "log" / "node.log").open("w") as log:
            process = subprocess.Popen(
                unshare, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
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
        _until("containerd", 30, self, lambda: self.load(pause))

    def _connect(self) -> None:
        cluster, inside = self.cluster, ["nsenter", f"--target={self.pid}", "--net"]
        if self.index == 1:
            outside, link = [], cluster.link
        else:
            outside, link = ["nsenter", f"--target={cluster.node(1).pid}", "--net"], self.name
        peer = ["peer", "name", "eth0", "netns", str(self.pid)]
        _run(*outside, "ip", "link", "add", link, "type", "veth", *peer)
        _run(*outside, "ip", "address", "add", f"{self.gateway}/30", "dev", link)
        _run(*outside, "ip", "link", "set", link, "up")
        _run(*inside, "ip", "address", "add", f"{self.address}/30", "dev", "eth0")
        _run(*inside, "ip", "link", "set", "eth0", "up")
        _run(*inside, "ip", "route", "add", "default", "via", self.gateway)
        if self.index == 1:
            for network in (cluster.pods, cluster.services, cluster.addresses):
                _run("ip", "route", "replace", network, "via", self.address)
        else:
            _run(*outside, "ip", "route", "replace", self.pods, "via", self.address)

    def load(self, image: Built) -> None:
        """Makes an image known to the node; its files are linked, not copied: seconds, and no space.

        Each layer becomes a snapshot under the name that unpacking it would give it. Then the image is
        imported without its layers, and nothing is left to unpack.
        """
        chain = ""
        for layer in image.layers:
            parent = [chain] if chain else []
            chain = (
                f"sha256:{sha256(f'{chain} {layer.diff_id}'.encode()).hexdigest()}"
                if chain
                else layer.diff_id
            )
            if chain in self._ctr("snapshots", "list"):
                continue
            key = f"linking-{os.getpid()}-{chain}"  # one that was interrupted stays, unused
            mount = json.loads(self._ctr("snapshots", "prepare", "--mounts", key, *parent))[0]
            options = dict(option.partition("=")[::2] for option in mount["Options"])
            inside = Path(options.get("upperdir", mount["Source"]))
            outside = self.folder / inside.relative_to("/")
            _run("cp", "--archive", "--link", f"{layer.folder}/.", str(outside))
            self._ctr("snapshots", "commit", chain, key)
        archive = self.folder / "var/tmp/image.tar"
        archive.write_bytes(_tar(_oci_layout(image)))
        self._ctr("images", "import", "/var/tmp/image.tar")
        archive.unlink()

    def signal(self, container: str, name: str) -> None:
        """Sends a signal such as SIGSTOP to a container's process."""
        self._ctr("tasks", "kill", "--signal", name, container)

    def _ctr(self, *arguments: str) -> str:
        enter = ["nsenter", f"--target={self.pid}", "--mount"]
        return _run(*enter, "ctr", f"--address={CRI}", "--namespace=k8s.io", *arguments)

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


def _check_machine() -> None:
    tools()
    if os.geteuid() != 0:
        raise Missing("a cluster on this machine needs root; or set KUBECONFIG to one elsewhere")
    if not (CGROUPS / "memory").is_dir():
        raise Missing("a cluster on this machine needs cgroup v1; or set KUBECONFIG to one elsewhere")
    for command in ("containerd", "runc", "iptables", "ip", "openssl", "/usr/lib/cni/ptp"):
        if not shutil.which(command):
            raise Missing(f"{command} is not installed; run `make cluster-tools`")


def _make_certificates(cluster: Cluster) -> None:
    folder = cluster.folder / "pki"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "openssl.conf").write_text("[req]\ndistinguished_name = name\n[name]\n")
    _make_certificate(folder, "ca", "/CN=kubernetes", "keyUsage=critical,keyCertSign,cRLSign")
    service = f"{cluster.services.removesuffix('0/24')}1"
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
    alternatives = [f"DNS:{name}" for name in names]
    alternatives += [f"IP:{address}" for address in ("127.0.0.1", service, cluster.node(1).address)]
    _make_certificate(folder, "apiserver", "/CN=kube-apiserver", f"subjectAltName={','.join(alternatives)}")
    _make_certificate(
        folder, "apiserver-kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client"
    )
    _make_certificate(folder, "front-proxy", "/CN=front-proxy-client")
    _run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(folder / "sa.key"))
    _run("openssl", "ec", "-in", str(folder / "sa.key"), "-pubout", "-out", str(folder / "sa.pub"))
    users = {
        "admin": "/O=system:masters/CN=admin",
        "controller-manager": "/CN=system:kube-controller-manager",
        "scheduler": "/CN=system:kube-scheduler",
        "proxy": "/CN=system:kube-proxy",
    }
    for user, subject in users.items():
        _make_certificate(folder, user, subject)
        _write_kubeconfig(cluster, user, folder / f"{user}.conf")
    _write_kubeconfig(cluster, "admin", cluster.kubeconfig)


def _make_certificate(folder: Path, name: str, subject: str, *extensions: str) -> None:
    """Makes a key and its certificate, signed by the key `ca` of the folder, or by itself for `ca`."""
    if name == "ca":
        extensions = (*extensions, "basicConstraints=critical,CA:TRUE")
        signed: list[str] = []
    else:
        extensions = (*extensions, "keyUsage=digitalSignature", "extendedKeyUsage=serverAuth,clientAuth")
        signed = ["-CA", "ca.crt", "-CAkey", "ca.key"]
    added = [argument for extension in extensions for argument in ("-addext", extension)]
    _run(
        "openssl", "req", "-x509", "-config", "openssl.conf", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:prime256v1", "-noenc", "-keyout", f"{name}.key", "-out", f"{name}.crt",
        "-days", "365", "-subj", subject, *added, *signed, cwd=folder,
    )  # fmt: skip


def _write_kubeconfig(cluster: Cluster, user: str, path: Path) -> None:
    def data(name: str) -> str:
        return base64.b64encode((cluster.folder / "pki" / name).read_bytes()).decode()

    server = f"https://{cluster.node(1).address}:6443"
    authority = {"server": server, "certificate-authority-data": data("ca.crt")}
    credentials = {"client-certificate-data": data(f"{user}.crt"), "client-key-data": data(f"{user}.key")}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": cluster.name,
        "contexts": [{"name": cluster.name, "context": {"cluster": cluster.name, "user": user}}],
        "clusters": [{"name": cluster.name, "cluster": authority}],
        "users": [{"name": user, "user": credentials}],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))


def _oci_layout(image: Built) -> dict[str, bytes]:
    """Returns the files of an OCI layout that holds the image without its layers."""
    kind = "application/vnd.oci.image"
    blobs: dict[str, bytes] = {}

    def add(media_type: str, content: bytes) -> dict[str, Any]:
        digest = sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": f"{kind}.{media_type}", "digest": f"sha256:{digest}", "size": len(content)}

    layers = [
        {"mediaType": f"{kind}.layer.v1.tar", "digest": layer.diff_id, "size": layer.size}
        for layer in image.layers
    ]
    config = add("config.v1+json", image.config)
    manifest = add(
        "manifest.v1+json", json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode()
    )
    manifest["annotations"] = {"io.containerd.image.name": image.name}
    index = {"schemaVersion": 2, "manifests": [manifest]}
    version = {"imageLayoutVersion": "1.0.0"}
    return {"oci-layout": json.dumps(version).encode(), "index.json": json.dumps(index).encode(), **blobs}


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _write_configuration(node: Node) -> None:
    cluster, pki, etc = node.cluster, node.cluster.folder / "pki", node.folder / "etc"
    _make_certificate(
        pki, node.name, f"/O=system:nodes/CN=system:node:{node.name}",
        f"subjectAltName=DNS:{node.name},IP:{node.address}",
    )  # fmt: skip
    _write_kubeconfig(cluster, node.name, etc / "kubelet.conf")
    (etc / "resolv.conf").touch()
    (etc / "containerd.toml").write_text(
        # No CAP_SYS_RESOURCE: a container's out-of-memory score cannot go below containerd's.
        f"""version = 2
oom_score = 0
disabled_plugins = ["io.containerd.internal.v1.opt"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{etc / "cni"}"
"""
    )
    # No bridge: without br_netfilter, answers between pods on one bridge bypass the Services' translation.
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": node.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/run/cni",
    }
    network = {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
    (etc / "cni" / "pods.conflist").write_text(json.dumps(network))
    kubelet: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "clusterDNS": [cluster.node(1).address],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{CRI}",
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "maxOpenFiles": 20000,
        # A dead node is noticed after 20 s instead of 50.
        "nodeLeaseDurationSeconds": 8,
        "nodeStatusUpdateFrequency": "4s",
        "oomScoreAdj": 0,
        "resolvConf": str(etc / "resolv.conf"),
        "tlsCertFile": str(pki / f"{node.name}.crt"),
        "tlsPrivateKeyFile": str(pki / f"{node.name}.key"),
    }
    (etc / "kubelet.yaml").write_text(yaml.safe_dump(kubelet))
    (etc / "Corefile").write_text(
        f""".:53 {{
  bind {node.address}
  errors
  ready 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {pki / "admin.conf"} {cluster.name}
    pods insecure
    ttl 1
  }}
  cache 1
}}
"""
    )


def _commands(node: Node) -> list[dict[str, Any]]:
    """Returns the node's components: name, arguments, and the address that must answer before they start."""
    cluster, pki, etc = node.cluster, node.cluster.folder / "pki", node.folder / "etc"
    api, etcd = f"{cluster.node(1).address}:6443", "127.0.0.1:2379"
    control_plane = [
        {
            "name": "etcd",
            "arguments": [
                "etcd", "--data-dir=/var/lib/etcd", f"--listen-client-urls=http://{etcd}",
                f"--advertise-client-urls=http://{etcd}", "--listen-peer-urls=http://127.0.0.1:2380",
                "--unsafe-no-fsync",
            ],
        },
        {
            "name": "kube-apiserver",
            "after": etcd,
            "arguments": [
                "kube-apiserver", f"--etcd-servers=http://{etcd}", f"--bind-address={node.address}",
                f"--advertise-address={node.address}", "--secure-port=6443", f"--client-ca-file={pki}/ca.crt",
                f"--tls-cert-file={pki}/apiserver.crt", f"--tls-private-key-file={pki}/apiserver.key",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={pki}/sa.pub",
                f"--service-account-signing-key-file={pki}/sa.key",
                f"--service-cluster-ip-range={cluster.services}", "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
                f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
                f"--kubelet-client-key={pki}/apiserver-kubelet-client.key",
                "--kubelet-preferred-address-types=InternalIP",
                f"--requestheader-client-ca-file={pki}/ca.crt",
                "--requestheader-allowed-names=front-proxy-client",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-username-headers=X-Remote-User",
                f"--proxy-client-cert-file={pki}/front-proxy.crt",
                f"--proxy-client-key-file={pki}/front-proxy.key",
                "--default-not-ready-toleration-seconds=5",
                "--default-unreachable-toleration-seconds=5",
            ],
        },
        {
            "name": "kube-controller-manager",
            "after": api,
            "arguments": [
                "kube-controller-manager", f"--kubeconfig={pki}/controller-manager.conf",
                f"--service-account-private-key-file={pki}/sa.key", f"--root-ca-file={pki}/ca.crt",
                "--use-service-account-credentials", "--leader-elect=false", f"--cluster-cidr={cluster.pods}",
                "--allocate-node-cidrs=false", f"--cluster-signing-cert-file={pki}/ca.crt",
                f"--cluster-signing-key-file={pki}/ca.key", "--bind-address=127.0.0.1", "--kube-api-qps=300",
                "--kube-api-burst=600", "--concurrent-replicaset-syncs=10", "--pvclaimbinder-sync-period=1s",
                "--node-monitor-grace-period=20s",
            ],
        },
        {
            "name": "kube-scheduler",
            "after": api,
            "arguments": [
                "kube-scheduler", f"--kubeconfig={pki}/scheduler.conf", "--kube-api-qps=300",
                "--kube-api-burst=600", "--leader-elect=false", "--bind-address=127.0.0.1",
            ],
        },
        {"name": "coredns", "after": api, "arguments": ["coredns", "-conf", f"{etc}/Corefile"]},
    ]  # fmt: skip
    every_node = [
        {"name": "containerd", "arguments": ["containerd", f"--config={etc}/containerd.toml"]},
        {
            "name": "kubelet",
            "after": CRI,
            "arguments": [
                "kubelet", f"--config={etc}/kubelet.yaml", f"--kubeconfig={etc}/kubelet.conf",
                f"--hostname-override={node.name}", f"--node-ip={node.address}",
            ],
        },
        {
            "name": "kube-proxy",
            "after": api,
            "arguments": [
                "kube-proxy", f"--kubeconfig={pki}/proxy.conf", "--proxy-mode=iptables",
                f"--cluster-cidr={cluster.pods}", f"--hostname-override={node.name}",
                "--healthz-bind-address=127.0.0.1", "--conntrack-max-per-core=0",
                "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
            ],
        },
    ]  # fmt: skip
    return [*(control_plane if node.index == 1 else []), *every_node]


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


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise Failed(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.local", description=__doc__.splitlines()[0]
    )
    parser.add_argument("command", choices=["up", "down"])
    parser.add_argument("--nodes", type=int, default=1, help="up: how many nodes")
    arguments = parser.parse_args()
    cluster = Cluster()
    if arguments.command == "down":
        cluster.down()
        return
    if given := os.environ.get("KUBECONFIG"):
        print(f"KUBECONFIG is {given}: that cluster is used, none is started")
        return
    start = time.monotonic()
    cluster.up(arguments.nodes)
    print(f"Kubernetes is up after {time.monotonic() - start:.0f} s; `make cluster-down` ends it. Use it by")
    print(f"  export KUBECONFIG={cluster.kubeconfig} PATH={tools() / 'bin'}:$PATH")


if __name__ == "__main__":
    try:
        main()
    except (Failed, Missing) as error:
        sys.exit(f"cluster: {error}")
