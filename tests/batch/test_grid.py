"""Grids: every combination of values, over every row."""

import csv
import json
import re
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from imagegraph.batch import grid, labels, sheets
from imagegraph.batch.models import Model
from imagegraph.batch.plan import Task
from imagegraph.batch.table import Row
from imagegraph.cli.inputs import taken
from imagegraph.component import Progress
from imagegraph.errors import InvalidInput, UnknownName
from imagegraph.image import Image
from imagegraph.run.sheet import contact_sheet
from imagegraph.spec.catalogue import ROOT, Catalogue
from imagegraph.spec.interface import Interface
from tests import tiny
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


def test_cells_are_compared_over_the_photos_that_all_of_them_have(monkeypatch):
    """The cell that fails on the hard photo wins by nothing but that."""
    Path("rows.csv").write_text("name,prompt\neasy,easy\nhard,hard\nthird,easy\n")
    predict = tiny.Paint.predict

    def scored(
        self: tiny.Paint, progress: Progress, seed: int = 0, prompt: str = "", **_: object
    ) -> tiny.Painted:
        if prompt == "hard" and seed == 1:
            raise InvalidInput("prompt", "something easier", prompt)
        score = {"easy": 0.8, "hard": 0.1}[prompt] + seed / 100
        return {**predict(self, progress, seed=seed), "numbers": [score, score]}

    monkeypatch.setattr(tiny.Paint, "predict", scored)
    text = batch("paint", "rows.csv", "--grid", "seed=1,2", code=2)
    assert "best by numbers: seed 2 (0.8200)" in text
    assert "grid: compared over 2 of 3 photos; not all combinations are done of hard" in text
    table = [*csv.DictReader((OUT / "grid.csv").open())]
    assert [(row["seed"], row["rows"], row["numbers"]) for row in table] == [
        ("1", "2", "0.81"), ("2", "2", "0.82"),
    ]  # fmt: skip


def test_a_combination_of_which_nothing_is_done_keeps_no_other_from_being_compared(monkeypatch, photos):
    predict = tiny.Paint.predict

    def picky(self: tiny.Paint, progress: Progress, seed: int = 0, **_: object) -> tiny.Painted:
        if seed == 3:
            raise InvalidInput("seed", "another", seed)
        return predict(self, progress, seed=seed)

    monkeypatch.setattr(tiny.Paint, "predict", picky)
    text = batch("paint", "photos", "--grid", "seed=1,2,3", code=2)
    assert "best by numbers: seed 1" in text
    assert "grid: 1 of 3 combinations left out: of no photo done" in text
    assert "compared over" not in text
    assert [row["seed"] for row in csv.DictReader((OUT / "grid.csv").open())] == ["1", "2"]


PROMPTS = [
    f"a photo of a very small red cone that stands on a wide table {end}" for end in ("in rain", "in fog")
]


def test_values_that_begin_alike_can_be_told_apart_on_every_sheet(monkeypatch):
    drawn: list[list[str]] = []

    def sheet(title: str, rows: Sequence[Sequence[tuple[str, Image]]], cell: int) -> Pillow.Image:
        drawn.append([label for row in rows for label, _ in row])
        return contact_sheet(title, rows, cell)

    for module in (grid, sheets):
        monkeypatch.setattr(module, "contact_sheet", sheet)
    batch("paint", "--grid", "seed=1,2", f"prompt={json.dumps(PROMPTS)}")
    small, large = drawn
    assert small == [f"paint\nseed {seed}, prompt #{number}" for seed in (1, 2) for number in (1, 2)]
    assert [label.split("\n")[0] for label in large] == [
        f"seed {seed}, prompt #{number} …{end}"
        for seed in (1, 2)
        for number, end in ((1, "rain"), (2, "fog"))
    ]
    assert [*(OUT / "rows").glob("*prompt-2")]


def test_what_does_not_fit_lacks_its_middle():
    values = {"prompt": PROMPTS[0][:-7], "negative_prompt": "blurry, " * 30}
    tasks = [
        Task(0, Row("a", {}, cell=values, photo="a"), Model("pocket"), "", None),
        Task(1, Row("b", {}, cell={**values, "prompt": "red " * 40}, photo="a"), Model("pocket"), "", None),
    ]
    one, other = (labels.CellLabels(tasks, grid.LINE).of(task) for task in tasks)
    assert one != other
    for label in (one, other):
        assert label.count("\n") == 1
        assert all(len(line) <= grid.LINE for line in label.split("\n"))
        assert re.fullmatch(r"prompt #\d .*….*, negative_prompt #1 bl.*….*,? ?", label.replace("\n", " "))


def test_the_best_cell_is_framed(photos):
    batch("paint", "photos/b.png", "--grid", "seed=10,200")
    with Pillow.open(OUT / "grid-b.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    framed = (pixels == Pillow.new("RGB", (1, 1), grid.BEST).getpixel((0, 0))).all(-1)
    assert framed[:, : 256 + 12].sum() > 2 * 200
    assert not framed[:, 256 + 2 * 12 :].any()


def test_what_an_earlier_grid_has_left_goes(photos):
    batch("paint", "photos", "--grid", "seed=" + ",".join(map(str, range(30))))
    assert (OUT / "sheet-2.png").exists()
    batch("paint", "photos/b.png", "--grid", "seed=1,2")
    assert sorted(path.name for path in OUT.glob("*.png")) == ["grid-b.png", "metrics.png", "sheet-1.png"]
    batch("paint", "photos")
    assert sorted(path.name for path in OUT.glob("*.png")) == ["metrics.png", "sheet-1.png"]
    assert not [*OUT.glob("grid*")]


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
