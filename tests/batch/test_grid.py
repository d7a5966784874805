"""Grids: every combination of values, over every row."""

import csv
import json
import shutil
import statistics
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from imagegraph.batch import grid
from imagegraph.batch.table import Row
from imagegraph.cli.inputs import taken
from imagegraph.errors import InvalidInput, UnknownName
from imagegraph.spec.catalogue import ROOT, Catalogue
from imagegraph.spec.interface import Interface
from tests.cli.commands import said

OUT = Path("out")


def batch(*arguments: str, code: int = 0) -> str:
    done = said("batch", *arguments, "-o", "out", "--device", "cpu")
    assert done.code == code, done.out + done.err
    return done.out + done.err


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (OUT / name).read_text().splitlines()]


def axes(*texts: str):
    known = Catalogue.read([Path("catalogue.yaml")])
    return grid.read_axes(texts, taken(Interface.of_entry("paint", "pocket", known)))


def test_values_are_listed_in_a_file_or_as_json():
    Path("prompts.txt").write_text("a red cone, small\n\na cube\n")
    (prompts,) = axes("prompt=@prompts.txt")
    assert prompts.values == ["a red cone, small", "a cube"]
    assert axes('prompt=["one, two", "three"]')[0].values == ["one, two", "three"]
    assert axes("seed=1, 2,3")[0].values == [1, 2, 3]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["seed"], "grid: expected an input with its values, such as steps=10,20, got 'seed'"),
        (["sead=1"], "unknown input 'sead'. Did you mean 'seed'?"),
        (["seed=1,x"], "seed: expected a valid integer"),
        (["seed=1,1"], "grid.seed: expected each value once, got 1"),
        (["seed=1", "seed=2"], "grid: expected each input once, got 'seed 2 times'"),
        (["image=a.png"], "grid.image: expected an input that is no picture"),
        (["prompt=[1"], "grid.prompt: expected a JSON list"),
        (["prompt=@many.txt"], "grid.prompt: expected at most 256 values, got '257'"),
        ([f"seed={','.join(map(str, range(256)))}", f"prompt={','.join(map(str, range(17)))}"],
         "grid: expected at most 4096 combinations, got 4352"),
    ],
)  # fmt: skip
def test_what_is_no_grid_says_why(texts, message):
    Path("many.txt").write_text("".join(f"prompt {number}\n" for number in range(257)))
    with pytest.raises((InvalidInput, UnknownName)) as caught:
        axes(*texts)
    assert message in str(caught.value)


def test_every_row_is_run_with_every_combination():
    rows = grid.expand([Row("a", {"seed": 9}), Row("b", {})], axes("seed=1,2", 'prompt=["x y", "z"]'))
    assert [row.name for row in rows[:5]] == [
        "a--seed-1--prompt-1",
        "a--seed-1--prompt-z",
        "a--seed-2--prompt-1",
        "a--seed-2--prompt-z",
        "b--seed-1--prompt-1",
    ]
    assert rows[1].values == {"seed": 1, "prompt": "z"}
    assert rows[1].cell == {"seed": "1", "prompt": "z"}


def test_words_after_grid_are_its_own_until_another_option(photos):
    text = batch("paint", "photos", "--grid", "seed=10,200", "prompt=x,y")
    assert "out: 16 rows in this run" in text
    assert "best by numbers: seed 10, prompt x (1.0000)" in text
    table = [*csv.DictReader((OUT / "grid.csv").open())]
    assert [(row["seed"], row["prompt"], row["rows"]) for row in table] == [
        ("10", "x", "4"), ("10", "y", "4"), ("200", "x", "4"), ("200", "y", "4"),
    ]  # fmt: skip
    sheets = sorted(path.name for path in OUT.glob("grid-*.png"))
    assert sheets == ["grid-a_red_cone.png", "grid-b.png", "grid-c.png", "grid-d.png"]
    with Pillow.open(OUT / "grid-b.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    above, below = np.split(pixels, [len(pixels) // 2])
    for half, seed in ((above, 10), (below, 200)):  # a line for each seed, the pictures of both prompts in it
        assert (half == seed + 1).all(-1).sum() > 2 * 256 * 150
    shutil.rmtree(OUT)
    text = batch("paint", "--grid", "seed=10,200", "--in-flight", "2", "prompt=fixed")
    assert {line["parameters"]["prompt"] for line in lines("results.jsonl")} == {"fixed"}
    assert len(lines("results.jsonl")) == 2


def test_a_grid_is_gone_on_with_and_grows(photos):
    batch("paint", "photos/b.png", "--grid", "seed=1,2")
    batch("paint", "photos/b.png", "--grid", "seed=1,2,3")
    assert sorted(line["row"] for line in lines("metrics.jsonl")) == ["b--seed-1", "b--seed-2", "b--seed-3"]


def test_priors_are_read_once_and_cells_of_equal_steps_share_a_loop(monkeypatch):
    monkeypatch.delenv("IMAGEGRAPH_CATALOGUE")
    scene = str(ROOT / "pocket/examples/scene.png")
    text = batch(
        "reimagine", scene, "--priors", "depth", "--grid", "steps=2,3", "guidance=2,4", "prompt=cone,ball"
    )
    metrics = lines("metrics.jsonl")
    assert len(metrics) == 8
    readers = {"depth", "pose", "segmentation", "edges", "caption"}
    known = [readers & {*line["cached"]} for line in metrics]
    assert sum(len(readers) - len(some) for some in known) == len(readers)
    together = {line["row"]: line["together"]["generate"] for line in metrics}
    assert max(together.values()) >= 3
    reached: dict[str, float] = {}
    for line in lines("results.jsonl"):
        cell = line["row"].removeprefix("scene--")
        reached[cell] = statistics.fmean(one["clip_prompt"] for one in line["pictures"])
    best = json.loads((OUT / "grid.json").read_text())["clip_prompt"]
    assert best["clip_prompt"] == pytest.approx(max(reached.values()), abs=1e-6)
    cell = "--".join(f"{name}-{best[name]}" for name in ("steps", "guidance", "prompt"))
    assert reached[cell] == max(reached.values())
    assert f"best by clip_prompt: steps {best['steps']}, guidance {best['guidance']}" in text
    assert "best by fidelity: " in text
