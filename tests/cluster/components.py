"""What runs in a node of the local cluster: Kubernetes' components, their settings and their arguments."""

import json
from typing import TYPE_CHECKING, Any

import yaml

from tests.cluster import containerd

if TYPE_CHECKING:
    from tests.cluster.local import Node


def write_configuration(node: "Node") -> None:
    """Writes what the components read, the kubelet's certificate too."""
    cluster, authority, etc = node.cluster, node.cluster.authority, node.folder / "etc"
    pki = authority.folder
    authority.sign(
        node.name,
        f"/O=system:nodes/CN=system:node:{node.name}",
        [f"DNS:{node.name}", f"IP:{node.address}"],
    )
    authority.write_kubeconfig(node.name, etc / "kubelet.conf")
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
        "containerRuntimeEndpoint": f"unix://{containerd.SOCKET}",
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


def commands(node: "Node") -> list[dict[str, Any]]:
    """Returns the node's components: name, arguments, and the address that must answer before they start."""
    cluster, pki, etc = node.cluster, node.cluster.authority.folder, node.folder / "etc"
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
                # More pods follow a load within seconds, fewer its end within half a minute.
                "--horizontal-pod-autoscaler-sync-period=2s",
                "--horizontal-pod-autoscaler-downscale-stabilization=20s",
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
            "after": containerd.SOCKET,
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
