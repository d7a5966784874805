"""Builds the project's images without a Docker daemon, or with one: `python -m tests.cluster.images`.

With the name of a kind of cluster, gives them to that: `python -m tests.cluster.images kind`.

`BASE_IMAGE` names the image that they start from. Without it one is made of Debian's packages: a registry
need not be reachable. The certificate authorities of this machine are lent to the build and stay out of the
images. Layers are kept in the user's cache.
"""

import argparse
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.debian import Missing

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imagegraph" / "images"
VERSION = "0.1.0"
# Image as the chart names it, and its Dockerfile.
IMAGES = {
    f"docker.io/library/imagegraph:{VERSION}": "components/Dockerfile",
    f"docker.io/imagegraph/model-init:{VERSION}": "model-init/Dockerfile",
}
# How clusters without a registry take an archive.
LOAD = {
    "kind": ("kind", "load", "image-archive"),
    "minikube": ("minikube", "image", "load"),
    "k3s": ("k3s", "ctr", "images", "import"),
}
# The authorities that this machine trusts may be others than the base image's.
LENT = "/etc/ssl/certs/ca-certificates.crt"
SUITE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"


@dataclass(frozen=True)
class Layer:
    """A layer of a built image: its files, the hash of their archive, and the archive's bytes."""

    folder: Path
    diff_id: str
    size: int


@dataclass(frozen=True)
class Built:
    """A built image: what its container runs, and its layers from the lowest up."""

    name: str
    config: bytes
    layers: tuple[Layer, ...]


def build() -> None:
    """Builds what has changed, with buildah, or with docker where that is missing."""
    if shutil.which("buildah"):
        base = os.environ.get("BASE_IMAGE") or _base()
        _forget_old_layers(base)
        for name, dockerfile in IMAGES.items():
            _buildah_build(name, dockerfile, base)
    elif shutil.which("docker"):
        arguments = [f"--build-arg=BASE_IMAGE={base}"] if (base := os.environ.get("BASE_IMAGE")) else []
        for name, dockerfile in IMAGES.items():
            _run("docker", "build", *arguments, *_arguments(), f"--tag={name}", f"--file={dockerfile}", ".")
    else:
        raise Missing("images are built by buildah or docker; run `make cluster-tools`, or install one")


def built(name: str) -> Built:
    """Returns an image that buildah has built; raises Missing where it has not."""
    store = CACHE / "storage"
    images = _read(store / "overlay-images" / "images.json")
    image = next((image for image in images if name in image.get("names", [])), None)
    if image is None:
        raise Missing(f"there is no image {name}; run `make images`")
    layers = {layer["id"]: layer for layer in _read(store / "overlay-layers" / "layers.json")}
    chain: list[Layer] = []
    layer = layers.get(image["layer"])
    while layer:
        chain.insert(
            0, Layer(store / "overlay" / layer["id"] / "diff", layer["diff-digest"], layer["diff-size"])
        )
        layer = layers.get(layer.get("parent", ""))  # the lowest has none
    return Built(name, _config(store, image["id"]), tuple(chain))


def of_binary(binary: Path, folder: Path) -> Built:
    """Makes an image `localhost/NAME:1` that holds a static binary and nothing else."""
    layer = folder / binary.name
    layer.mkdir(parents=True, exist_ok=True)
    target = layer / binary.name
    partial = folder / f"{binary.name}.partial"
    shutil.copy2(binary, partial)
    partial.replace(target)  # a node may link to the file that was there
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(target, binary.name)
    diff_id = f"sha256:{hashlib.sha256(buffer.getvalue()).hexdigest()}"
    config = {
        "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
        "os": "linux",
        "config": {"Entrypoint": [f"/{binary.name}"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }
    name = f"localhost/{binary.name}:1"
    return Built(name, json.dumps(config).encode(), (Layer(layer, diff_id, len(buffer.getvalue())),))


def load(into: str) -> None:
    """Gives the images to a cluster without a registry; raises Missing where its own tool is not here."""
    if not shutil.which(LOAD[into][0]):
        raise Missing(f"{LOAD[into][0]} is not installed")
    for name in IMAGES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "image.tar")
            _archive(name, path)
            start = time.monotonic()
            _run(*LOAD[into], str(path))
            _say(f"{into} has {name} after {time.monotonic() - start:.0f} s")


def _archive(name: str, path: Path) -> None:
    if shutil.which("buildah"):
        _buildah("push", name, f"docker-archive:{path}:{name}")
    else:
        _run("docker", "save", f"--output={path}", name)


def _read(path: Path) -> list[dict]:
    return json.loads(path.read_text()) if path.exists() else []


def _config(store: Path, image: str) -> bytes:
    """Returns the image's configuration; its hash is the image's id."""
    for path in (store / "overlay-images" / image).iterdir():
        if path.is_file() and hashlib.sha256(content := path.read_bytes()).hexdigest() == image:
            return content
    raise Missing(f"the configuration of image {image} is lost; remove {store} and run `make images`")


def _forget_old_layers(base: str) -> None:
    """Removes layers that no image has by name, when what the largest is made of has changed."""
    digest = hashlib.sha256(base.encode())
    for path in sorted((ROOT / "requirements").glob("*.*")):
        digest.update(path.read_bytes())
    stamp = CACHE / "made-of"
    if stamp.exists() and stamp.read_text() != digest.hexdigest():
        _buildah("rmi", "--prune", "--force")
    stamp.write_text(digest.hexdigest())


def _base() -> str:
    """Returns a base image of Debian's Python, made once."""
    unneeded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "locale", "man")]
    # It copies them from this machine.
    foreign = '--customize-hook=rm "$1/etc/hostname" "$1/etc/resolv.conf"'
    command = ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", *unneeded, foreign, SUITE]
    name = f"localhost/imagegraph-base:{SUITE}-{hashlib.sha256(' '.join(command).encode()).hexdigest()[:8]}"
    if _buildah("images", "--quiet", name, check=False):
        return name
    _say(f"making a base image of Debian {SUITE}; BASE_IMAGE=… saves that")
    archive = CACHE / "base.tar"
    log = CACHE / "base.log"
    CACHE.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        made = subprocess.run([*command, archive], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    if made.returncode:
        raise Missing(f"no base image could be made: {log.read_text()[-2000:]}")
    container = _buildah("from", "scratch")
    _buildah("add", container, str(archive), "/")
    _buildah("config", "--env=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container)
    _buildah("commit", "--rm", container, name)
    archive.unlink()
    return name


def _buildah_build(name: str, dockerfile: str, base: str) -> None:
    start = time.monotonic()
    lent = [f"--volume={LENT}:{LENT}:ro"] if Path(LENT).exists() else []
    _buildah(
        "build", "--layers", "--isolation=chroot", "--network=host", *lent, f"--build-arg=BASE_IMAGE={base}",
        *_arguments(), f"--tag={name}", f"--file={dockerfile}", ".",
    )  # fmt: skip
    layers = " + ".join(f"{layer.size / 1e6:.1f}" for layer in built(name).layers)
    _say(f"built {name} in {time.monotonic() - start:.0f} s; layers of {layers} MB")


def _arguments() -> list[str]:
    """Returns what the images' labels say of the source."""
    arguments = [f"--build-arg=VERSION={VERSION}"]
    if (ROOT / ".git").exists() and shutil.which("git"):
        revision = _run("git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
        arguments.append(f"--build-arg=REVISION={revision}")
    return arguments


def _buildah(*arguments: str, check: bool = True) -> str:
    """Runs buildah with a store and settings of its own."""
    CACHE.mkdir(parents=True, exist_ok=True)
    storage, containers = CACHE / "storage.conf", CACHE / "containers.conf"
    # A store that is no mount: nodes link to its files.
    storage.write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{CACHE}/storage"\nrunroot = "{CACHE}/run"\n'
        '[storage.options.overlay]\nskip_mount_home = "true"\n'
    )
    # crun refuses hybrid cgroups; the default limit of open files is above what a container may set.
    containers.write_text(
        '[containers]\ndefault_ulimits = ["nofile=20000:20000", "nproc=16384:16384"]\n'
        '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n'
    )
    settings = {"CONTAINERS_STORAGE_CONF": str(storage), "CONTAINERS_CONF": str(containers)}
    return _run("buildah", *arguments, check=check, **settings)


def _run(*command: str, check: bool = True, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment},
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode and check:
        raise Missing(f"`{' '.join(command)}` failed: {(done.stdout + done.stderr)[-3000:]}")
    return done.stdout.strip()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.images", description=__doc__.splitlines()[0]
    )
    parser.add_argument("into", nargs="?", choices=sorted(LOAD), help="the cluster that shall have them")
    into = parser.parse_args().into
    if into:
        load(into)
    else:
        build()


if __name__ == "__main__":
    try:
        main()
    except Missing as error:
        sys.exit(f"images: {error}")
