from pathlib import Path

import pytest

from imagegraph.errors import InvalidInput, UnknownName
from tests.cli.commands import run


@pytest.fixture(autouse=True)
def real_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMAGEGRAPH_CATALOGUE", raising=False)


def test_export_writes_a_model_repository_and_names_its_models(tmp_path: Path) -> None:
    out = tmp_path / "models"
    said = run("export", "restyle", "--format", "triton", "--out", str(out)).split()
    assert said == [str(path) for path in sorted(out.iterdir())]
    assert all(
        (path / "config.pbtxt").is_file() and (path / "1/model.onnx").is_file() for path in out.iterdir()
    )


def test_export_overwrites_nothing(tmp_path: Path) -> None:
    out = tmp_path / "models"
    out.mkdir()
    (out / "mine").touch()
    with pytest.raises(InvalidInput, match="out: expected a folder that is new or empty"):
        run("export", "restyle", "--out", str(out))
    assert [path.name for path in out.iterdir()] == ["mine"]


def test_export_leaves_nothing_where_it_cannot(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="component: expected one whose weights are ONNX files"):
        run("export", "depth", "--out", str(tmp_path / "models"))
    with pytest.raises(UnknownName, match="unknown entry 'reimagine'"):
        run("export", "reimagine")
    assert not (tmp_path / "models").exists()
