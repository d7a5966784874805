"""Images and containers of a node of the local cluster, by containerd's own client."""

import io
import json
import os
import tarfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.cluster.images import Built
from tests.cluster.shell import run

SOCKET = "/run/containerd/containerd.sock"


@dataclass(frozen=True)
class Containerd:
    """The one of a node.

    Attributes:
        pid: the node's pid 1.
        folder: where this machine has the node's /var.
    """

    pid: int
    folder: Path

    def load(self, image: Built) -> None:
        """Makes an image known; its files are linked, not copied: seconds, and no space.

        Each layer becomes a snapshot under the name that unpacking it would give it. Then the image is
        imported without its layers, and nothing is left to unpack.
        """
        chain = ""
        for layer in image.layers:
            parent = [chain] if chain else []
            chain = _hash(f"{chain} {layer.diff_id}".encode()) if chain else layer.diff_id
            if chain in self._ctr("snapshots", "list"):
                continue
            key = f"linking-{os.getpid()}-{chain}"  # one that was interrupted stays, unused
            mount = json.loads(self._ctr("snapshots", "prepare", "--mounts", key, *parent))[0]
            options = dict(option.partition("=")[::2] for option in mount["Options"])
            inside = Path(options.get("upperdir", mount["Source"]))
            outside = self.folder / inside.relative_to("/")
            run("cp", "--archive", "--link", f"{layer.folder}/.", str(outside))
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
        return run(*enter, "ctr", f"--address={SOCKET}", "--namespace=k8s.io", *arguments)


def _hash(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


def _oci_layout(image: Built) -> dict[str, bytes]:
    """Returns the files of an OCI layout that holds the image without its layers."""
    kind = "application/vnd.oci.image"
    blobs: dict[str, bytes] = {}

    def add(media_type: str, content: bytes) -> dict[str, Any]:
        digest = _hash(content)
        blobs[f"blobs/{digest.replace(':', '/')}"] = content
        return {"mediaType": f"{kind}.{media_type}", "digest": digest, "size": len(content)}

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
