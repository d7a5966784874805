import os
import re
from pathlib import Path

import pytest

from imagegraph.errors import InvalidInput, UnknownName
from imagegraph.export import formats
from tests.cli.commands import run


@pytest.fixture(autouse=True)
def real_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMAGEGRAPH_CATALOGUE", raising=False)


def test_export_writes_a_folder_that_serves_and_names_what_is_in_it(tmp_path: Path) -> None:
    out = tmp_path / "served"
    said = run("export", "depth", "--format", "flask", "--device", "cpu", "-o", str(out)).split()
    assert sorted(said) == [str(path) for path in sorted(out.iterdir())]
    assert said[-1].endswith("README.md")
    assert '("depth", "pocket", "cpu")' in (out / "app.py").read_text()
    assert os.access(out / "start.sh", os.X_OK)


def test_help_and_errors_list_the_formats_that_there_are() -> None:
    help = " ".join(re.sub("[│╭╮╰╯─]", " ", run("export", "--help")).split())
    assert all(name in help for name in formats.names())
    with pytest.raises(UnknownName, match=f"unknown format 'flusk'.*{', '.join(formats.names())}"):
        run("export", "depth", "--format", "flusk")


def test_export_overwrites_nothing_unless_it_is_told_to(tmp_path: Path) -> None:
    out = tmp_path / "served"
    run("export", "depth", "--format", "flask", "--out", str(out))
    with pytest.raises(InvalidInput, match="out: expected a folder that is new or empty, got .* with README"):
        run("export", "caption", "--format", "flask", "--out", str(out))
    run("export", "caption", "--format", "flask", "--out", str(out), "--overwrite")
    assert "'caption'" in (out / "app.py").read_text()
    run("export", "depth", "--format", "torchserve", "--out", str(out), "--overwrite")
    assert {path.name for path in out.iterdir()} >= {"config.properties", "start.sh"}
    assert not (out / "app.py").exists()
    run("export", "caption", "--format", "flask", "--out", str(out), "--overwrite")
    assert not (out / "config.properties").exists()
    (out / "mine").touch()
    with pytest.raises(InvalidInput, match="out: expected a folder that is new or empty.* with mine in it"):
        run("export", "depth", "--format", "flask", "--out", str(out), "--overwrite")
    assert "'caption'" in (out / "app.py").read_text()


def test_folders_within_are_overwritten_too(tmp_path: Path) -> None:
    out = tmp_path / "served"
    for _ in range(2):
        run("export", "restyle", "--format", "triton-onnx", "--out", str(out), "--overwrite")
    assert not (out / "models" / "models").exists()


def test_export_leaves_nothing_where_it_cannot(tmp_path: Path) -> None:
    out = tmp_path / "models"
    for arguments, message in {
        ("depth", "--format", "triton-onnx"): "component: expected one whose weights are ONNX files",
        ("priors", "--format", "flask"): "component: expected one that answers.*priors, which unites",
        ("by-input", "--format", "flask"): "component: expected one that answers.*by-input, which chooses",
        ("depth", "--format", "flask", "--device", "gpu"): "device: expected auto, cpu",
        ("reimagine", "--format", "flask"): "component: expected no graph, but for triton, got 'reimagine'",
    }.items():
        with pytest.raises(InvalidInput, match=message):
            run("export", *arguments, "--out", str(out))
    with pytest.raises(UnknownName, match="unknown entry 'dept'. Did you mean 'depth'"):
        run("export", "dept", "--format", "flask", "--out", str(out))
    with pytest.raises(UnknownName, match="unknown bundle 'pockets'. Did you mean 'pocket'"):
        run("export", "depth", "--format", "flask", "--bundle", "pockets", "--out", str(out))
    assert not out.exists()
