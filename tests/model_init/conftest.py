import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagegraph.spec.weights import ROOT
from tests.model_init.hub import Hub, folder

DEPTH = "depth-anything/Depth-Anything-V2-Small-hf"
BASE = "stable-diffusion-v1-5/stable-diffusion-v1-5"
NET = "lllyasviel/control_v11p_sd15_canny"
COMMITS = {DEPTH: "5426e4f0f36572d16453bbda7a8389317b1bef99", BASE: "451f4fe1" * 5, NET: "115a470d" * 5}
# What the real repositories hold beside what is loaded: other formats and variants of the same weights.
BESIDE = {
    DEPTH: ("README.md", ".gitattributes", "pytorch_model.bin"),
    BASE: (
        "v1-5-pruned.ckpt",
        "v1-5-pruned-emaonly.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
    ),
    NET: ("diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.safetensors", "images/input.png"),
}
CATALOGUE = f"""
base: none
entries:
  depth:
    bundles: {{real: {{weights: {{model: {{repo: {DEPTH}, revision: {COMMITS[DEPTH]}}}}}}}}}
  generate:
    bundles:
      real:
        weights:
          base: {{repo: {BASE}, revision: {COMMITS[BASE]}}}
          edges: {{repo: {NET}, revision: {COMMITS[NET]}}}
  rank: {{uses: {{depth: depth}}, bundles: {{real: {{}}, other: {{}}}}}}
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    """Serves pocket's weights under the names of the real ones."""
    hub = Hub()
    pocket = ROOT / "pocket" / "weights"
    for name, path in ((DEPTH, "depth"), (BASE, "stable-diffusion"), (NET, "controlnet-edges")):
        files = folder(pocket / path) | {other: b"other" * 100 for other in BESIDE[name]}
        hub.add(name, COMMITS[name], files)
    yield hub
    hub.close()


class Machine:
    """A machine with a cache on a volume, on which model-init runs.

    Attributes:
        prelude: code that plays a trick on model-init, and then runs it.
    """

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.cache = home, home / "cache"
        self.catalogue = home / "catalogue.yaml"
        self.catalogue.write_text(CATALOGUE)
        self.message = home / "message"
        self.prelude = ""
        self.variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "HF_ENDPOINT": url,
            "HF_HUB_CACHE": str(self.cache),
            "IMAGEGRAPH_CATALOGUE": str(self.catalogue),
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def command(self, *arguments: str) -> list[str]:
        program = ["-c", self.prelude] if self.prelude else ["-m", "model_init"]
        return [sys.executable, *program, *arguments, f"--termination-log={self.message}"]

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            env=self.variables | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0, **variables: str) -> str:
        """Runs to the end and returns the output, whose last line is also the termination message."""
        with self.start(*arguments, **variables) as process:
            try:
                output = process.communicate(timeout=120)[0]
            finally:
                process.kill()
        assert process.returncode == code, output
        assert self.message.read_text() == f"model-init: {output.splitlines()[-1]}"
        return output

    def pull(self, *arguments: str, code: int = 0, **variables: str) -> str:
        return self.run("pull", "--bundle=real", "--wait=0.1", *arguments, code=code, **variables)

    def snapshot(self, name: str) -> Path:
        return self.cache / f"models--{name.replace('/', '--')}" / "snapshots" / COMMITS[name]


@pytest.fixture
def machine(tmp_path: Path, hub: Hub) -> Machine:
    return Machine(tmp_path, hub.url)
