"""Parts of a batch that run beside each other in one folder, as the pods of a Job do."""

import json
import os
from pathlib import Path

import pytest

from imagegraph.errors import InvalidInput
from imagegraph.spec.catalogue import ROOT
from tests.batch.conftest import draw
from tests.cli.commands import said
from tests.serve.forked import Forked

OUT = Path("out")


def batch(*arguments: str, out: str = "out", code: int = 0) -> str:
    done = said("batch", "paint", "photos", "-o", out, "--device", "cpu", *arguments)
    assert done.code == code, done.out + done.err
    return done.out + done.err


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (OUT / name).read_text().splitlines()]


def test_parts_beside_each_other_do_what_one_does(photos, tmp_path):
    (photos / "broken.png").write_bytes(b"hello")
    for number in range(9):
        draw(photos / f"more-{number}.png", number)
    batch(out="whole", code=2)
    command = ["batch", "paint", str(tmp_path / "photos"), "-o", str(tmp_path / "out"), "--device", "cpu"]
    parts = [
        Forked(
            [*command, "--shard", f"{n}/3"], {**os.environ, "PYTHONPATH": str(ROOT)}, tmp_path / f"{n}.log"
        )
        for n in range(3)
    ]
    assert [part.wait(60) for part in parts] == [0, 0, 0]
    told = [json.loads((tmp_path / f"{n}.log").read_text().splitlines()[-1]) for n in range(3)]
    assert all(one["ended"] for one in told)
    assert sum(one["done"] for one in told) == 13
    assert sum(one["failed"] for one in told) == 1
    assert sum(one["total"] for one in told) == 14
    for name in ("batch.json", "results.jsonl", "sheet-1.png"):
        assert (OUT / name).read_bytes() == Path("whole", name).read_bytes(), name
    assert [line["row"] for line in lines("failures.jsonl")] == ["broken"]
    assert not [*OUT.glob("failures-*")]
    assert (OUT / "metrics.parquet").exists()


def test_the_last_part_sums_up_and_a_whole_run_goes_on(photos):
    batch("--shard", "1/2")
    assert not (OUT / "results.jsonl").exists()
    assert "2 of 4 rows are done already" in batch()
    assert len(lines("results.jsonl")) == 4
    assert '"ended": true' in batch("--shard", "0/2")


@pytest.mark.parametrize("part", ["2/2", "x/2", "1", "-1/2"])
def test_what_is_no_part_is_refused(part, photos):
    with pytest.raises(InvalidInput, match="shard: expected INDEX/COUNT, counted from 0"):
        batch("--shard", part)


def test_two_batches_in_one_folder_at_once_are_refused(photos, tmp_path):
    from imagegraph.batch.folder import Folder, Shard

    with (
        Folder(OUT),
        pytest.raises(InvalidInput, match="out: expected a folder that no other batch works in"),
    ):
        batch()
    with Folder(OUT, Shard(1, 2)):
        batch("--shard", "0/2")
