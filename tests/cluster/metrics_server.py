"""Tells the local cluster what pods use, for as long as a test wants; else nobody does."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.kubernetes import Kubernetes, eventually
from tests.cluster.local import Cluster
from tests.cluster.shell import running
from tests.cluster.toolchain import tools

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
PORT = 4443


@contextmanager
def metered(kubernetes: Kubernetes, cluster: Cluster) -> Iterator[None]:
    """Runs metrics-server on the first node, as an extension of the API server."""
    node = cluster.node(1)
    name, space = "metrics-server", "kube-system"
    metadata = {"name": name, "namespace": space}
    port = {"port": 443, "targetPort": PORT}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [port]}}
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**metadata, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [node.address], "conditions": {"ready": True}}],
        "ports": [{"port": PORT}],
    }
    extension = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{VERSION}.{GROUP}"},
        "spec": {
            "group": GROUP, "version": VERSION, "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": True, "service": metadata,
        },
    }  # fmt: skip
    command = [
        "nsenter", f"--target={node.pid}", "--mount", "--net", str(tools() / "bin" / "metrics-server"),
        *(f"--{use}kubeconfig={cluster.kubeconfig}" for use in ("", "authentication-", "authorization-")),
        f"--bind-address={node.address}", f"--secure-port={PORT}", "--cert-dir=/run/metrics-server",
        "--kubelet-insecure-tls", "--kubelet-preferred-address-types=InternalIP", "--metric-resolution=10s",
        "--kubelet-request-timeout=5s",
    ]  # fmt: skip
    with running(*command, log=node.folder / "log" / "metrics-server.log") as check:
        kubernetes.apply(service, slice_, extension)
        try:
            eventually("what nodes use", lambda: check() or kubernetes.kubectl("top", "node"), 90)
            yield
            check()
        finally:
            kubernetes.kubectl("delete", "apiservice", f"{VERSION}.{GROUP}")
            kubernetes.kubectl("delete", "service", name, f"--namespace={space}")
