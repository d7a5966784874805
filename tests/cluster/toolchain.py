"""Builds what a cluster on one machine needs and the machine lacks: `python -m tests.cluster.toolchain`.

Go modules pinned in `tools/` are built once and kept in the user's cache, in a folder named by the hash of
what they are built from; containers and Prometheus are Debian's. Only the standard library is used here: the
tools are needed before there is an environment.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.debian import Missing, install

MODULES = Path(__file__).parent / "tools"
LINK = Path(__file__).parents[2] / ".tools"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imagegraph" / "cluster-tools"
# What the binaries say of themselves; without it helm takes Kubernetes for 1.20.
STAMP = {
    "k8s.io/component-base/version.gitVersion": "v1.34.4",
    "k8s.io/client-go/pkg/version.gitVersion": "v1.34.4",
    "helm.sh/helm/v3/internal/version.version": "v3.19.0",
    "helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor": "1",
    "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor": "34",
    "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor": "1",
    "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor": "34",
}

# Binary: (module's folder, package).
BINARIES = {
    "helm": ("kubernetes", "helm.sh/helm/v3/cmd/helm"),
    "kube": ("kubernetes", "./kube"),
    "coredns": ("kubernetes", "./dns"),
    "pause": ("kubernetes", "./pause"),
    "policies": ("kubernetes", "./policies"),
    "metrics-server": ("kubernetes", "sigs.k8s.io/metrics-server/cmd/metrics-server"),
    "kwok": ("kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    "kserve-router": ("kserve", "github.com/kserve/kserve/cmd/router"),
    "kserve-manager": ("kserve", "github.com/kserve/kserve/cmd/manager"),
}
COMPONENTS = (
    "etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet",
)  # fmt: skip
# Folders of YAML that the modules carry: (module's folder, module, path in it).
DOCUMENTS = {
    "kserve/crd": ("kserve", "github.com/kserve/kserve", "config/crd/full"),
    "kserve/rbac": ("kserve", "github.com/kserve/kserve", "config/rbac"),
    "kserve/configmap": ("kserve", "github.com/kserve/kserve", "config/configmap"),
    "kserve/webhook": ("kserve", "github.com/kserve/kserve", "config/webhook"),
    "keda/crd": ("kserve", "github.com/kedacore/keda/v2", "config/crd/bases"),
    "gateway/crd": ("kserve", "sigs.k8s.io/gateway-api", "config/crd/standard"),
    "kwok/stage": ("kwok", "sigs.k8s.io/kwok", "kustomize/stage"),
}
# What Debian has, by the command that shows it is there.
PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "iptables": "iptables",
    "ipset": "ipset",
    "ip": "iproute2",
    "openssl": "openssl",
    "unshare": "util-linux",
    "prometheus": "prometheus",
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
}


def tools() -> Path:
    """Returns the folder of the built tools; raises Missing where they are not built."""
    folder = _folder()
    if not (folder / "versions.txt").exists():
        raise Missing("the cluster's tools are not built; run `make cluster-tools`")
    return folder


def build() -> Path:
    """Builds what is missing; returns the folder that holds it."""
    folder = _folder()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two at once would build everything twice
        if not (folder / "versions.txt").exists():
            _build(folder)
    if not LINK.is_symlink() or LINK.readlink() != folder:
        LINK.unlink(missing_ok=True)
        LINK.symlink_to(folder)
    return folder


def install_packages() -> None:
    """Installs Debian's packages that are missing."""
    missing = sorted(package for command, package in PACKAGES.items() if not shutil.which(command))
    if missing:
        install(missing)


def _folder() -> Path:
    if not shutil.which("go"):
        raise Missing("the cluster's tools are built by Go 1.26 or newer; install it")
    digest = hashlib.sha256(_go("env", "GOVERSION").encode())
    sources = [Path(__file__), *MODULES.rglob("*")]
    for path in sorted(path for path in sources if path.is_file()):
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return CACHE / digest.hexdigest()[:16]


def _build(folder: Path) -> None:
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "bin").mkdir(parents=True)
    versions = [_go("version")]
    stamp = " ".join(["-s", "-w", *(f"-X {variable}={value}" for variable, value in STAMP.items())])
    for name, (module, package) in BINARIES.items():
        start = time.monotonic()
        target = partial / "bin" / name
        _go("build", "-trimpath", "-ldflags", stamp, "-o", str(target), package, module=module)
        _say(f"built {name} in {time.monotonic() - start:.0f} s, {target.stat().st_size >> 20} MiB")
    for component in COMPONENTS:
        (partial / "bin" / component).symlink_to("kube")
    for name, (module, dependency, path) in DOCUMENTS.items():
        found = json.loads(_go("list", "-m", "-json", dependency, module=module))
        shutil.copytree(Path(found["Dir"]) / path, partial / name, copy_function=shutil.copyfile)
        versions.append(f"{dependency} {found['Version']}")
    for module, package in BINARIES.values():
        origin = "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}"
        versions.append(_go("list", "-f", origin, package, module=module))
        direct = "{{if not (or .Main .Indirect)}}{{.Path}} {{.Version}}{{end}}"
        versions += _go("list", "-m", "-f", direct, "all", module=module).split("\n")
    (partial / "versions.txt").write_text("\n".join(dict.fromkeys(filter(None, versions))) + "\n")
    partial.rename(folder)


def _go(*arguments: str, module: str = "") -> str:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    done = subprocess.run(
        ["go", *arguments], cwd=MODULES / module, env=environment, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise Missing(f"`go {' '.join(arguments)}` failed in {MODULES / module}")
    return done.stdout.strip()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        install_packages()
        print(build() / "bin")
    except Missing as error:
        sys.exit(f"cluster-tools: {error}")
