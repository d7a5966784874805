"""The images hold what their nodes need and no more, and compute as they do in a pod.

Containers here have a read-only root, user 1000, no capability and no network, and need no cluster.
"""

import json
import os
import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from imagegraph.component import Combiner, Router
from imagegraph.spec.catalogue import Catalogue
from tests.cluster import images
from tests.cluster.images import Built
from tests.left_out import leave_out, left_out_if_missing

NODE, MODEL_INIT = images.IMAGES
# Without weights. Both have a base image of 177 MB, or another's.
LARGEST_MB = {NODE: 2700, MODEL_INIT: 320}
BUNDLE = "pocket"
# Whatever is in there ends with the shell that enters, and that with us; mounts go with the last process.
ISOLATED = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child")
ENTER = """
set -e
mount --types overlay --options "ro,lowerdir=$2" overlay "$1"
cd "$1"
mount --types proc proc proc
mount --types tmpfs tmpfs tmp
mount --bind "$3" models
shift 3
chroot --userspec=1000:1000 . "$@"
exit
"""
SMOKE = """
import asyncio
import sys

import controlnet_aux, diffusers, torch, transformers

from imagegraph.spec.catalogue import Catalogue
from imagegraph.run.embedded import Embedded
from imagegraph.spec.graph import Node

assert not torch.cuda.is_available()
catalogue = Catalogue.read()
bundle, *names = sys.argv[1:]
for name in names:
    with Embedded(Node(name=name), bundle, catalogue, "auto") as embedded:
        signature = catalogue.signature(name, bundle)
        asyncio.run(embedded.run(catalogue.entry(name).smoke_values(signature)))
    print(name)
"""


@dataclass(frozen=True)
class Container:
    """An image, and a folder of the test: what it adds to the root, and the volume of weights."""

    image: Built
    folder: Path

    @property
    def configuration(self) -> dict[str, Any]:
        configuration: dict[str, Any] = json.loads(self.image.config)["config"]
        return configuration

    @property
    def environment(self) -> dict[str, str]:
        return dict(entry.split("=", 1) for entry in self.configuration["Env"])

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in the image."""
        lower = [self.folder / "added", *(layer.folder for layer in reversed(self.image.layers))]
        arguments = [self.folder / "root", ":".join(map(str, lower)), self.folder / "models", *command]
        return subprocess.run(
            [*ISOLATED, "sh", "-c", ENTER, "sh", *arguments], env=self.environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400,
        )  # fmt: skip

    @property
    def base_layers(self) -> int:
        """How many layers are those of the base image; buildah tells where its own work begins."""
        history = json.loads(self.image.config)["history"]
        ours = next(i for i, step in enumerate(history) if step.get("comment", "").startswith("FROM "))
        return sum(not step.get("empty_layer") for step in history[:ours])

    @cached_property
    def files(self) -> dict[Path, Path]:
        """The files above the base image: where they are here, by their paths in the image."""
        return {
            Path("/", path.relative_to(layer.folder)): path
            for layer in self.image.layers[self.base_layers :]
            for path in layer.folder.rglob("*")
            if path.is_file() and not path.is_symlink()
        }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the containers of this file share."""
    made = tmp_path_factory.mktemp("containers")
    for name in ("root", "models", "added/models"):
        (made / name).mkdir(parents=True)
    os.chown(made / "models", 1000, 1000)
    return made


@pytest.fixture(scope="module")
def containers(folder: Path) -> dict[str, Container]:
    if os.geteuid() != 0:
        leave_out("only root may mount an image")
    with left_out_if_missing("an image"):
        found = {name: images.built(name) for name in images.IMAGES}
    return {name: Container(image, folder) for name, image in found.items()}


@pytest.fixture(params=images.IMAGES)
def container(containers: dict[str, Container], request: pytest.FixtureRequest) -> Container:
    return containers[request.param]


def test_image_is_no_larger_than_documented(container: Container) -> None:
    assert sum(layer.size for layer in container.image.layers) < LARGEST_MB[container.image.name] * 1e6


def test_image_adds_to_its_base_only_what_is_below_opt(container: Container) -> None:
    # Of a build in containers stay empty files to mount at.
    filled = {path for path, here in container.files.items() if here.stat().st_size}
    assert not {path for path in filled if path.parts[1] != "opt"}


def test_image_tells_nothing_of_the_machine_that_built_it(container: Container) -> None:
    foreign = re.compile("https?:|proxy|index|cert|wheels|hostname", re.IGNORECASE)
    assert not [entry for entry in container.configuration["Env"] if foreign.search(entry)]
    settings = {"pip.conf", "uv.toml", ".netrc", ".pypirc", "ca-certificates.crt"}
    assert not [path for path in container.files if path.name in settings]
    for layer in container.image.layers:
        for name in ("hostname", "resolv.conf"):
            file = layer.folder / "etc" / name
            assert not file.is_file() or file.read_text() != Path("/etc", name).read_text()


def test_image_runs_as_a_user_and_says_what_it_is(container: Container) -> None:
    assert container.configuration["User"] == "1000:1000"
    labels = container.configuration["Labels"]
    said = {name.removeprefix("org.opencontainers.image."): value for name, value in labels.items()}
    assert said["version"] == images.VERSION
    assert said["licenses"] == "Apache-2.0"
    assert said["title"] in container.image.name
    assert re.fullmatch("[0-9a-f]{40}(-dirty)?", said["revision"])


def test_bill_of_materials_lists_what_is_installed(container: Container) -> None:
    files = container.files
    (bill,) = [here for path, here in files.items() if path.name == "sbom.cdx.json"]
    listed = {part["name"].lower().replace("_", "-") for part in json.loads(bill.read_text())["components"]}
    installed = {
        path.parent.stem.rpartition("-")[0]
        for path in files
        if path.name == "RECORD" and "_vendor" not in path.parts
    }
    assert listed == {name.lower().replace("_", "-") for name in installed}


def test_image_holds_no_compiler_and_bytecode_of_all_it_runs(container: Container) -> None:
    layers = [layer.folder for layer in container.image.layers]
    folders = [path.lstrip("/") for path in container.environment["PATH"].split(":")]
    commands = {command.name for layer in layers for path in folders for command in (layer / path).glob("*")}
    assert not commands & {"as", "c++", "cc", "clang", "g++", "gcc", "ld", "make", "nvcc", "uv"}
    modules = {path for path in container.files if path.suffix == ".py" and "project" in path.parts}
    packages = {path for path in container.files if path.name == "__init__.py"}
    compiled = {
        path.parent.parent / path.name.split(".")[0] for path in container.files if path.suffix == ".pyc"
    }
    assert not {path.with_suffix("") for path in modules | packages} - compiled


def test_every_entry_computes_its_smoke_input_in_the_image(containers: dict[str, Container]) -> None:
    pulled = containers[MODEL_INIT].run("model-init", "pull", f"--bundle={BUNDLE}")
    assert pulled.returncode == 0, pulled.stderr
    entries = Catalogue.read().entries.items()
    names = [
        name
        for name, entry in entries
        if BUNDLE in entry.bundles and not issubclass(entry.kind, (Combiner, Router))
    ]
    done = containers[NODE].run("python", "-c", SMOKE, BUNDLE, *names)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == names
    assert not re.search("cuda|nvidia", done.stderr, re.IGNORECASE), done.stderr


def test_root_of_the_image_is_read_only(containers: dict[str, Container]) -> None:
    done = containers[NODE].run("touch", "/opt/file")
    assert "Read-only file system" in done.stderr
