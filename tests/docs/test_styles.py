"""docs/styles.md and docs/dataset.md are tested: their commands and their Python run one after the other."""

import contextlib
import io
import itertools
import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image as Pillow

from imagegraph.spec import graph
from imagegraph.spec.catalogue import ROOT, Catalogue
from pocket.world import make_scene
from tests.cli.commands import said

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)
STYLES, DATASET = ((ROOT / "docs" / f"{name}.md").read_text() for name in ("styles", "dataset"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages take for granted."""
    (tmp_path / "pocket/examples").mkdir(parents=True)
    shutil.copy(ROOT / "pocket/examples/scene.png", tmp_path / "pocket/examples")
    (tmp_path / "photos").mkdir()
    Pillow.fromarray(make_scene(0, "seen").image).save(tmp_path / "photos" / "a_red_cone.png")
    monkeypatch.chdir(tmp_path)
    # The page's `data` is another folder in every test; the cache of `datasets` takes it for the same.
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path


def run(folder: Path, text: str) -> list[str]:
    """Does what a page says, all in this process; returns what its Python has printed."""
    printed = []
    for language, block in BLOCK.findall(text):
        if language == "yaml":
            (name,) = re.findall(r"^# (\S+\.yaml)$", block, re.M)
            (folder / name).write_text(block)
        elif language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(block, {})
            printed.append(out.getvalue())
        elif language == "sh":
            for line in block.splitlines():
                program, *arguments = shlex.split(line, comments=True)
                assert program == "imagegraph"
                done = said(*arguments, "--device", "cpu")
                assert done.code == 0, done.err
    return printed


def test_the_commands_about_styles_do_what_they_say(folder: Path) -> None:
    (printed,) = run(folder, STYLES)
    assert "confidence_mean" in printed
    counts = {path.name: len([*path.glob("picture-*.png")]) for path in folder.iterdir()}
    assert {name: count for name, count in counts.items() if count} == {
        "four": 4, "from-words": 4, "closer": 4, "two": 2, "moods": 2, "weather": 2,
    }  # fmt: skip
    assert (folder / "report/report.html").is_file()


def test_the_table_about_styles_names_what_the_score_answers() -> None:
    signature = Catalogue.read().signature("style-score", "pocket")
    rows = [line.split("|")[1] for line in STYLES.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(signature.outputs)


def test_the_chart_is_the_graph() -> None:
    (chart,) = [block for language, block in BLOCK.findall(STYLES) if language == "mermaid"]
    edges = set(graph.mermaid(Catalogue.read().graph("stylize").root).split("\n")[1:])
    names = chart.split("\n")[1].strip().split(" --> ")
    assert {f"    {one} --> {other}" for one, other in itertools.pairwise(names)} == edges


def test_the_commands_about_data_sets_do_what_they_say(folder: Path) -> None:
    Pillow.fromarray(make_scene(1, "seen").image).save(folder / "photos" / "b.png")
    (printed,) = run(folder, DATASET)
    assert "'image'" in printed
    for name in ("data", "named", "described"):
        assert (folder / name / "README.md").is_file()
    assert '"text": "a red cone"' in "".join(
        path.read_text() for path in folder.glob("named/*/metadata.jsonl")
    )
