"""The main job as a person runs it: the command line in a process of its own, on shipped inputs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from imagegraph.run import provenance
from imagegraph.spec.catalogue import ROOT
from tests import interrupts

SCENE, PHOTO = (ROOT / "pocket" / "examples" / name for name in ("scene.png", "photo.jpg"))
PRIORS = ("depth", "pose", "segmentation", "edges")
PICTURES = {"caption", *PRIORS, "combined"}


def imagegraph(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "imagegraph.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one run on the shipped scene."""
    folder = tmp_path_factory.mktemp("run") / "out"
    run = imagegraph("run", "reimagine", SCENE, "seed=3", "steps=6", "--out", folder, "--device", "cpu")
    assert run.returncode == 0, run.stderr
    written = {path.name for path in folder.iterdir() if not path.name.startswith("source-")}
    assert written <= set(run.stdout.split()), "every result is printed"
    return folder


def test_it_writes_a_picture_from_every_prior_and_one_from_all_best_first(out: Path) -> None:
    results = json.loads((out / "results.json").read_text())
    assert {one["steered_by"] for one in results["pictures"]} == PICTURES
    scores = [one["clip_prompt"] for one in results["pictures"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= one["fidelity"] <= 1 for one in results["pictures"])
    assert set(results["seconds"]) == {"rank", "upscale", "generate", "priors", "source", "caption", *PRIORS}
    for one in results["pictures"]:
        with Image.open(out / one["file"]) as picture:
            assert picture.size == (256, 256)


def test_it_writes_every_prior_and_keeps_the_photo_as_it_came(out: Path) -> None:
    for name in PRIORS:
        with Image.open(out / f"{name}.png") as picture:
            assert picture.size == (128, 128)
    with Image.open(out / "depth.png") as depth:
        assert depth.mode == "I;16"
    assert (out / "source-image.png").read_bytes() == SCENE.read_bytes()
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.width > 6 * 256


def test_every_picture_says_what_made_it(out: Path) -> None:
    for path in out.glob("picture-*.png"):
        record = provenance.read(path)
        assert record.name == "reimagine"
        assert record.parameters["seed"] == 3
        assert record.about["seeds"] == 3
        assert len(record.nodes["generate"].weights["base"]) == 40
        assert {node.name for node in record.graph.walk()} == set(record.nodes)


def test_replay_draws_the_same_picture_bit_for_bit(out: Path) -> None:
    path = sorted(out.glob("picture-*.png"))[1]
    replay = imagegraph("replay", path, "--out", out / "again.png", "--device", "cpu")
    assert replay.returncode == 0, replay.stderr
    assert "bit-equal" in replay.stdout
    with Image.open(path) as before, Image.open(out / "again.png") as after:
        assert before.tobytes() == after.tobytes()


def test_replay_names_what_is_missing_or_changed(out: Path, tmp_path: Path) -> None:
    path = next(out.glob("picture-*.png"))
    (tmp_path / path.name).write_bytes(path.read_bytes())
    replay = imagegraph("replay", tmp_path / path.name)
    assert replay.returncode == 2
    assert "image: expected the file source-image.png beside the picture" in replay.stderr
    (tmp_path / "source-image.png").write_bytes(PHOTO.read_bytes())
    assert "with SHA-256" in imagegraph("replay", tmp_path / path.name).stderr
    assert "a picture with provenance" in imagegraph("replay", SCENE).stderr


def test_it_runs_on_a_photograph_of_another_shape(tmp_path: Path) -> None:
    with Image.open(PHOTO) as photo:
        photo.resize((450, 300)).save(tmp_path / "wide.webp")
    run = imagegraph("run", "reimagine", tmp_path / "wide.webp", "steps=2", "-o", tmp_path / "out")
    assert run.returncode == 0, run.stderr
    with Image.open(next((tmp_path / "out").glob("picture-01-*.png"))) as picture:
        assert picture.size == (384, 256)


def test_the_deadline_ends_a_run_and_names_the_node(tmp_path: Path) -> None:
    run = imagegraph("run", "draw", "prompt=a cone", "steps=200", "--timeout", "0.01", "-o", tmp_path)
    assert run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert "time" in last


def test_an_interrupt_ends_a_run_at_once(tmp_path: Path) -> None:
    command = [*interrupts.PYTHON, "-m", "imagegraph.cli", "run", "draw", "prompt=a cone", "steps=200",
               "variants=16", "-o", str(tmp_path / "out")]  # fmt: skip
    variables = {**os.environ, "TERM": "dumb"}
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, env=variables)
    time.sleep(20)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert not (tmp_path / "out").exists()
