"""Batches by the command line: what is written, gone on with, noticed, listed."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image as Pillow

from imagegraph.batch.folder import Folder, NoRoom
from imagegraph.errors import ImagegraphError, InvalidInput, UnknownName
from imagegraph.run import provenance
from imagegraph.spec.catalogue import ROOT
from tests import tiny
from tests.batch.conftest import draw
from tests.cli.commands import said
from tests.serve.forked import Forked

OUT = Path("out")
TIMES = ("metrics.jsonl", "metrics.parquet", "metrics.png")


def batch(*arguments: str, code: int = 0) -> str:
    done = said("batch", *arguments, "-o", "out", "--device", "cpu")
    assert done.code == code, done.out + done.err
    return done.out + done.err


def lines(name: str) -> list[dict]:
    path = OUT / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def drawn() -> list[str]:
    """The rows that were run, in all runs so far."""
    return sorted(line["row"] for line in lines("metrics.jsonl"))


def contents() -> dict[str, str]:
    """What is in every file but those that tell of times."""
    files = [path for path in OUT.rglob("*") if path.is_file() and path.name not in TIMES]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_picture_of_a_folder_becomes_a_row(photos):
    text = batch("paint", "photos", "seed=7", "--prompt-from-name")
    assert "out: 4 rows in this run, 0 failed" in text
    row = OUT / "rows" / "a_red_cone"
    assert {path.name for path in row.iterdir()} == {
        "picture-01-combined-8.png",
        "picture-02-depth-7.png",
        "depth.png",
        "source-image.png",
        "results.json",
    }
    record = provenance.read(row / "picture-01-combined-8.png")
    assert record.parameters == {"seed": 7, "prompt": "a red cone"}
    assert record.nodes["paint"].entry == "paint"
    assert provenance.find_source(record.sources["image"][0], row, "image").size == (24, 16)
    results = lines("results.jsonl")
    assert [line["row"] for line in results] == ["a_red_cone", "b", "c", "d"]
    assert results[0]["folder"] == "rows/a_red_cone"
    assert results[0]["pictures"][0]["numbers"] == 1.5
    assert "bit-equal" in said("replay", str(row / "picture-01-combined-8.png"), "--device", "cpu").out


def test_a_name_that_says_nothing_to_draw_is_listed(photos):
    draw(photos / "___.png", 9)
    batch("paint", "photos", "--prompt-from-name", code=2)
    (failure,) = lines("failures.jsonl")
    assert (failure["row"], failure["status"]) == ("___", 400)
    assert failure["error"] == "prompt: expected a file whose name says in words what to draw, got '___.png'"
    assert len(lines("results.jsonl")) == 4


def test_metrics_tell_what_each_row_has_cost_and_where(photos):
    text = batch("paint", "photos")
    assert re.search(r"model +input size +rows", text)
    assert re.search(r"pocket +24x16 +4 ", text)
    (run,) = {line["run"] for line in lines("metrics.jsonl")}
    assert run == json.loads((OUT / "batch.json").read_text())["run"]
    table = pq.read_table(OUT / "metrics.parquet").to_pydict()
    assert table["row"] == ["a_red_cone", "b", "c", "d"]
    assert all(0 < one < 60 for one in table["seconds_paint"])
    assert all(10 < one < 10_000 for one in table["cpu_peak_mib"])
    assert table["together_paint"] == [1] * 4
    assert table["host_cores"][0] >= 1
    assert table["input_size"] == ["24x16"] * 4
    assert Pillow.open(OUT / "metrics.png").size[0] > 500


def test_the_sheet_shows_every_row(photos):
    batch("paint", "photos")
    with Pillow.open(OUT / "sheet-1.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    batch("paint", "photos", "seed=200", "--overwrite")
    with Pillow.open(OUT / "sheet-1.png") as sheet:
        brighter = np.asarray(sheet.convert("RGB"))
    assert ((brighter == 201).all(-1) & (pixels == 1).all(-1)).sum() > 4 * 100 * 60


def test_what_is_done_is_not_run_again_and_new_rows_are(photos):
    batch("paint", "photos")
    before = contents()
    assert "4 of 4 rows are done already" in batch("paint", "photos")
    assert contents() == before
    draw(photos / "e.png", 9)
    batch("paint", "photos")
    assert drawn() == ["a_red_cone", "b", "c", "d", "e"]
    assert contents().items() >= {(path, digest) for path, digest in before.items() if "/rows/" in path}


def test_a_row_that_is_not_as_it_was_written_is_run_again(photos):
    batch("paint", "photos")
    before = contents()
    (OUT / "rows/b/depth.png").write_bytes(b"half")
    (OUT / "rows/c/results.json").unlink()
    shutil.rmtree(OUT / "rows/d")
    batch("paint", "photos")
    assert contents() == before
    assert drawn() == ["a_red_cone", "b", "b", "c", "c", "d", "d"]


def test_a_changed_parameter_is_noticed_and_named(photos):
    batch("paint", "photos", "seed=1")
    with pytest.raises(InvalidInput, match=r"seed: expected 1, as the batch in out was begun with; .*got 2"):
        batch("paint", "photos", "seed=2")
    with pytest.raises(InvalidInput, match=r"prompt: expected None, as the batch .*got 'red'"):
        batch("paint", "photos", "seed=1", "prompt=red")
    with pytest.raises(InvalidInput, match="graph: expected 'paint'"):
        batch("film", "photos", "number=1")
    assert len(drawn()) == 4
    batch("paint", "photos", "seed=2", "--overwrite")
    assert len(drawn()) == 8
    assert {line["parameters"]["seed"] for line in lines("results.jsonl")} == {2}


def test_a_changed_picture_is_noticed_and_named(photos):
    batch("paint", "photos")
    draw(photos / "c.png", 99)
    with pytest.raises(InvalidInput, match=r"inputs: expected the pictures .*others in 1 row: c"):
        batch("paint", "photos")
    batch("paint", "photos", "--overwrite")
    assert drawn() == ["a_red_cone", "b", "c", "c", "d"]


def test_changed_weights_are_noticed(photos):
    batch("paint", "photos")
    catalogue = Path("catalogue.yaml")
    moved = Path("weights")
    moved.mkdir()
    (moved / "any").write_text("others")
    text = catalogue.read_text()
    catalogue.write_text(re.sub(r"colours: \{path: [^}]+\}", f"colours: {{path: {moved.resolve()}}}", text))
    with pytest.raises(InvalidInput, match=r"models\.pocket\.nodes\.paint\.weights\.colours: expected"):
        batch("paint", "photos")


def test_an_unreadable_picture_among_many_is_listed_and_stops_nothing(photos):
    for number in range(40):
        draw(photos / f"more-{number:02}.png", number)
    (photos / "broken.png").write_bytes(b"hello")
    text = batch("paint", "photos", code=2)
    assert "out: 44 rows in this run, 1 failed" in text
    assert "error: 1 of 45 rows failed, listed in out/failures.jsonl" in text
    (failure,) = lines("failures.jsonl")
    assert failure["row"] == "broken"
    assert failure["status"] == 400
    assert "photos/broken.png: expected a JPEG, PNG or WebP picture" in failure["error"]
    batch("paint", "photos", code=2)
    assert len(drawn()) == 44
    assert "44 of 45 rows are done already, 1 failed, which --retry-failed tries again" in batch(
        "paint", "photos", code=2
    )
    draw(photos / "broken.png", 3)  # another row by its key: nobody has to ask for it
    batch("paint", "photos")
    assert lines("failures.jsonl") == []
    assert len(drawn()) == 45


def test_failures_are_tried_again_only_if_asked(monkeypatch):
    Path("rows.jsonl").write_text('{"number": 1}\n{"number": 2}\n')
    batch("faulty", "rows.jsonl", code=1)
    assert [one["error"] for one in lines("failures.jsonl")] == [
        "node 'faulty': ZeroDivisionError: integer division or modulo by zero"
    ] * 2
    monkeypatch.setattr(tiny.Faulty, "fail", lambda self, number: {"number": number + 1})
    batch("faulty", "rows.jsonl", code=1)
    assert drawn() == []
    batch("faulty", "rows.jsonl", "--retry-failed")
    assert drawn() == ["0001", "0002"]
    assert not (OUT / "failures.jsonl").exists()
    assert [line["answer"] for line in lines("results.jsonl")] == [{"number": 2}, {"number": 3}]


def test_values_that_a_row_cannot_have_are_listed():
    Path("rows.jsonl").write_text('{"number": 1}\n{"number": "seven"}\n{"number": -3}\n{}\n')
    batch("together", "rows.jsonl", code=2)
    errors = {one["row"]: one["error"] for one in lines("failures.jsonl")}
    assert "number: expected" in errors["0002"]
    assert "got 'seven'" in errors["0002"]
    assert "greater than or equal to 0, got -3" in errors["0003"]
    assert "number" in errors["0004"]
    assert drawn() == ["0001"]


def test_rows_that_can_share_a_batch_do(monkeypatch):
    Path("rows.jsonl").write_text("".join(f'{{"number": {number}}}\n' for number in range(20)))
    batch("together", "rows.jsonl", "--in-flight", "10")
    together = [line["together"]["together"] for line in lines("metrics.jsonl")]
    assert max(together) >= 4
    assert [line["answer"]["doubled"] for line in lines("results.jsonl")] == [2 * n for n in range(20)]


def test_bundle_and_entry_are_drawn_by_the_name_of_the_row():
    Path("rows.jsonl").write_text("".join(f'{{"number": {number}}}\n' for number in range(12)))
    Path("bundles.txt").write_text("# both\npocket\nsd15\n\n")
    Path("entries.txt").write_text("double\nadd\n")
    batch("double", "rows.jsonl", "--bundle", "@bundles.txt")
    first = {line["row"]: line["model"] for line in lines("results.jsonl")}
    assert {*first.values()} == {"pocket", "sd15"}
    shutil.rmtree(OUT)
    Path("rows.jsonl").write_text("".join(f'{{"number": {number}}}\n' for number in range(14)))
    batch("double", "rows.jsonl", "--bundle", "@bundles.txt")
    assert {line["row"]: line["model"] for line in lines("results.jsonl")}.items() >= first.items()
    shutil.rmtree(OUT)
    batch("double", "rows.jsonl", "--entry", "double=@entries.txt")
    answers = {(line["model"], *line["answer"]) for line in lines("results.jsonl")}
    assert answers == {("pocket, double double", "doubled"), ("pocket, double add", "number")}
    shutil.rmtree(OUT)
    batch("double", "rows.jsonl", "--entry", "double=add")
    assert {*lines("results.jsonl")[0]["answer"]} == {"number"}


def test_a_table_may_say_the_bundle():
    Path("rows.csv").write_text("number,bundle\n1,sd15\n2,\n")
    batch("double", "rows.csv")
    assert [line["model"] for line in lines("results.jsonl")] == ["sd15", "pocket"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("paint", "nowhere"), "inputs: expected a folder, a pattern of names"),
        (("paint", "--entry", "paint"), "entry: expected NODE=ENTRY or NODE=@FILE"),
        (("paint", "--entry", "other=film"), "unknown node 'other'"),
        (("paint", "--bundle", "@none.txt"), r"bundle: expected a file with a choice a line, got .*none.txt"),
        (("paint", "--bundle", "huge"), "huge"),
        (("double", "--bundle", "@bundles.txt"), "bigger"),
    ],
)
def test_what_cannot_begin_says_why(arguments, message):
    Path("bundles.txt").write_text("pocket\nbigger\n" * 3)
    Path("rows.jsonl").write_text("".join(f'{{"number": {number}}}\n' for number in range(12)))
    more = ["rows.jsonl"] if arguments[0] == "double" else []
    with pytest.raises(ImagegraphError, match=message):
        batch(*arguments, *more)
    assert not OUT.exists()


def test_a_folder_with_other_things_is_left_alone(photos):
    OUT.mkdir()
    (OUT / "mine.txt").touch()
    with pytest.raises(InvalidInput, match="out: expected a folder that is new or empty, or in which"):
        batch("paint", "photos")
    assert [path.name for path in OUT.iterdir()] == ["mine.txt"]


def test_models_that_cannot_be_loaded_are_the_failure_of_all():
    Path("rows.jsonl").write_text('{"number": 1}\n')
    with pytest.raises(ImagegraphError, match="no weights; pull them"):
        batch("broken", "rows.jsonl")
    assert lines("failures.jsonl") == []


def test_help_knows_the_inputs_of_the_graph():
    assert "--seed" in said("batch", "paint", "--help").out
    with pytest.raises(UnknownName, match="unknown graph or component 'pint'|unknown"):
        batch("pint")


def test_a_full_disk_stops_the_batch_and_the_next_run_goes_on(photos):
    for number in range(60):
        draw(photos / f"more-{number:02}.png", number)
    OUT.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(OUT)]
    if subprocess.run(command, capture_output=True, timeout=20, check=False).returncode:
        pytest.skip("this machine lets us mount nothing")
    try:
        with pytest.raises(NoRoom, match="No space left on device; what is done stays: make room, and"):
            batch("paint", "photos")
        done = [*(OUT / "rows").iterdir()]
        assert 0 < len(done) < 64
        subprocess.run(["mount", "-o", "remount,size=64m", str(OUT)], check=True, timeout=20)
        assert f"{len(done)} of 64 rows are done already" in batch("paint", "photos")
        assert len(lines("results.jsonl")) == 64
        assert not [*OUT.glob(".staged*")]
    finally:
        subprocess.run(["umount", str(OUT)], capture_output=True, timeout=20, check=False)


def test_metrics_tell_of_no_row_that_could_not_be_saved(photos, monkeypatch):
    put = Folder.put

    def full(self: Folder, name: str, write: Callable[[Path], object]) -> None:
        if name == "c":
            raise NoRoom("the disk is full")
        put(self, name, write)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "put", full)
        with pytest.raises(NoRoom):
            batch("paint", "photos", "--in-flight", "1")
    assert drawn() == sorted(path.name for path in OUT.glob("rows/*")) == ["a_red_cone", "b"]
    batch("paint", "photos")
    assert drawn() == ["a_red_cone", "b", "c", "d"]


@pytest.mark.parametrize(("rows", "code"), [(1, 0), (9, 130)])
def test_who_is_stopped_with_the_last_rows_has_all_of_them_done(rows, code, monkeypatch):
    doubled = tiny.Together.predict_batch

    def stopping(self: tiny.Together, *arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)  # so that the signal is heard while these are under way
        return doubled(self, *arguments)

    monkeypatch.setattr(tiny.Together, "predict_batch", stopping)
    Path("rows.jsonl").write_text("".join(f'{{"number": {number}}}\n' for number in range(rows)))
    text = batch("together", "rows.jsonl", "--in-flight", "1", code=code)
    assert "finishing 1 row under way" in text
    assert "out: 1 row in this run, 0 failed" in text
    assert ("stopped before all rows were done" in text) == bool(code)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_is_stopped_finishes_what_is_under_way_and_says_how_to_go_on(number, tmp_path):
    Path("rows.jsonl").write_text("".join(f'{{"number": {2 * number}}}\n' for number in range(30)))
    command = ["batch", "together", f"{tmp_path}/rows.jsonl", "-o", f"{tmp_path}/out", "--in-flight", "2"]
    log = tmp_path / "log"
    process = Forked([*command, "--device", "cpu"], {**os.environ, "PYTHONPATH": str(ROOT)}, log)
    while len([*OUT.glob("rows/*")]) < 2:
        assert process.poll() is None, log.read_text()
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(30) == 128 + number, log.read_text()
    told = log.read_text()
    assert re.search(r"finishing [12] rows? under way; once more drops", told)
    assert f"go on with: imagegraph {' '.join(command)} --device cpu" in told
    done = {line["row"] for line in lines("metrics.jsonl")}
    assert (
        done == {line["row"] for line in lines("results.jsonl")} == {path.name for path in OUT.glob("rows/*")}
    )
    assert 2 <= len(done) < 30
