"""What is installed holds all that the catalogue names."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from imagegraph.spec.catalogue import ROOT, Catalogue


def smoke_pictures() -> set[str]:
    catalogue = Catalogue.read()
    named = [
        value
        for name, entry in catalogue.entries.items()
        for port, value in entry.smoke.items()
        if catalogue.signature(name, next(iter(entry.bundles))).port(port).holds_images
    ]
    return {path for value in named for path in (value if isinstance(value, list) else [value])}


def test_the_wheel_holds_the_catalogue_and_the_pictures_that_entries_are_tried_on(tmp_path: Path) -> None:
    for name in ("imagegraph", "components", "pocket/examples"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    code = "from setuptools import build_meta; build_meta.build_wheel('.')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert smoke_pictures()
    assert {"components/catalogue.yaml", "imagegraph/py.typed", *smoke_pictures()} <= held


def test_the_image_is_built_with_the_pictures_that_entries_are_tried_on() -> None:
    dockerfile = (ROOT / "components" / "Dockerfile").read_text()
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    for path in smoke_pictures():
        assert f"COPY {path} {Path(path).parent}/" in dockerfile
        assert f"!{path}" in allowed
