import shutil

import pytest
from PIL import Image as Pillow

from imagegraph.cli import generate, options
from imagegraph.deploy import render
from tests import tiny


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A project of tiny components and the chart, without generated manifests."""
    tiny.catalogue(tmp_path)
    monkeypatch.setenv("IMAGEGRAPH_CATALOGUE", str(tmp_path / "catalogue.yaml"))
    shutil.copytree(generate.ROOT / "charts", tmp_path / "charts")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(render, "find_helm", lambda root: None)
    monkeypatch.setattr(options.console, "width", 200)
    monkeypatch.chdir(tmp_path)
    Pillow.new("RGB", (64, 32), "red").save("photo.png")
