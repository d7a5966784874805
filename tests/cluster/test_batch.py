"""A batch as a Job: all of its pods write to one volume, and one that is killed is missed by nobody."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imagegraph.batch import job
from imagegraph.batch.job import Pods
from imagegraph.batch.models import Model
from imagegraph.spec.catalogue import ROOT, Catalogue
from tests.cluster.kubernetes import Kubernetes, Namespace, eventually
from tests.cluster.releases import SMALL

GRAPH, PICTURES = "upscale", 120
CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
}
DRAW = f"""
import os
from PIL import Image
os.makedirs("photos")
for number in range({PICTURES}):
    Image.effect_noise((120, 120), 40 + number).save(f"photos/picture_{{number:03}}.png")
open("photos/broken.png", "w").write("hello")
"""
DIGESTS = """
import hashlib, pathlib, sys
for path in sorted(pathlib.Path(sys.argv[1]).rglob("*")):
    if path.is_file() and "metrics" not in path.name and "lock" not in path.name:
        print(path.relative_to(sys.argv[1]), hashlib.sha256(path.read_bytes()).hexdigest())
"""


def desk(namespace: Namespace) -> Callable[..., str]:
    """Returns what runs Python beside the volume, in a pod that does nothing else."""
    catalogue = Catalogue.read()
    drawn_with = Model("pocket", catalogue.graph(GRAPH).root, "pocket")
    document = job.manifest(GRAPH, [], [drawn_with], catalogue, Pods("data"))
    spec: Any = document["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    del container["args"]
    container |= {"command": ["python3", "-c", "import time; time.sleep(3600)"], "resources": SMALL}
    namespace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "desk"}, "spec": spec})
    namespace.kubectl("wait", "pod/desk", "--for=condition=Ready", "--timeout=120s", timeout_s=130)

    def run(*command: str) -> str:
        return namespace.kubectl("exec", "desk", "--", "python3", *command, timeout_s=300)

    return run


def test_a_killed_pod_is_replaced_and_the_results_are_those_of_one_process(
    images: Kubernetes, namespace: Namespace, figure: Callable[[str], None], tmp_path: Path
) -> None:
    namespace.apply(CLAIM)
    run = desk(namespace)
    run("-c", DRAW)
    command = [sys.executable, "-m", "imagegraph.cli", "batch", GRAPH, "photos", "-o", "out"]
    command += ["--on", "kubernetes", "--claim", "data", "--pods", "2", "--cpu", "0.1", "--in-flight", "2"]
    command += ["--namespace", namespace.name]
    environment = {**os.environ, "KUBECONFIG": str(images.kubeconfig), "PYTHONPATH": str(ROOT)}
    with (tmp_path / "log").open("w") as log:
        follower = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=tmp_path)

    def done() -> int:
        told = (tmp_path / "log").read_text()
        assert follower.poll() is None, told
        return int([0, *re.findall(rf"(\d+) of {PICTURES + 1},", told)][-1])

    eventually("some rows", lambda: done() >= 5, 180)
    victim = namespace.pods("app.kubernetes.io/component=batch")[0]["metadata"]["name"]
    namespace.kubectl("delete", "pod", victim, "--grace-period=0", "--force", timeout_s=60)
    killed_at = done()
    assert follower.wait(300) == 2, (tmp_path / "log").read_text()  # of the broken picture
    told = (tmp_path / "log").read_text()
    assert f"{PICTURES} rows are done, 1 failed" in told
    assert killed_at < PICTURES
    figure(f"a pod was killed after {killed_at} of {PICTURES} rows")
    later = [pod["metadata"]["name"] for pod in namespace.pods("app.kubernetes.io/component=batch")]
    assert len(later) == 2
    assert victim not in later
    batch = (
        "import sys; from imagegraph.cli.app import main; sys.argv = ['imagegraph', *sys.argv[1:]]; main()"
    )
    failed = (
        "import subprocess, sys; sys.exit(subprocess.run([sys.executable, *sys.argv[1:]]).returncode != 2)"
    )
    run("-c", failed, "-c", batch, "batch", GRAPH, "photos", "-o", "whole")
    assert run("-c", DIGESTS, "out") == run("-c", DIGESTS, "whole")
