"""A batch that is killed again and again ends as one that nobody has disturbed, byte by byte."""

import hashlib
import os
import random
import signal
import time
from pathlib import Path

from imagegraph.spec.catalogue import ROOT
from tests.batch.conftest import draw
from tests.serve.forked import Forked

ROWS, KILLS = 200, 10
TIMES = ("metrics.jsonl", "metrics.parquet", "metrics.png")


def started(folder: Path, out: str) -> Forked:
    command = ["batch", "paint", str(folder / "photos"), "--prompt-from-name", "-o", str(folder / out)]
    command += ["--in-flight", "8", "--device", "cpu"]
    return Forked(command, {**os.environ, "PYTHONPATH": str(ROOT)}, folder / f"{out}.log")


def done(folder: Path) -> int:
    return len([*folder.glob("rows/*")])


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in TIMES]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_killed_at_ten_random_moments_it_ends_byte_equal(tmp_path: Path):
    Path("photos").mkdir()
    for number in range(ROWS):
        draw(Path("photos", f"picture_{number:03}.png"), number)
    Path("photos/broken.png").write_bytes(b"hello")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert started(tmp_path, "whole").wait(120) == 2  # of the broken one
    chance, kills = random.Random(), 0
    for wanted in sorted(chance.sample(range(ROWS - 10), KILLS)):
        process = started(tmp_path, "killed")
        while done(killed) < wanted and process.poll() is None:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.03))
        process.kill()
        kills += process.wait(30) == -signal.SIGKILL
    assert kills >= KILLS - 1  # the last moment may come after the end
    assert started(tmp_path, "killed").wait(120) == 2
    assert contents(killed) == contents(whole)
    assert done(whole) == ROWS
