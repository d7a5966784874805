"""What the soak compares, and a short one; `make soak` takes twenty minutes."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import soak

from tests import tiny


def sample(
    at_s: float, memory: int = 100_000_000, files: int = 20, threads: int = 5, disk: int = 0
) -> soak.Sample:
    return soak.Sample(at_s, memory, files, threads, disk)


@pytest.mark.parametrize(
    ("more", "flat"),
    [
        ({"memory": 101_900_000}, True),
        ({"memory": 102_100_000}, False),
        ({"files": 22}, True),
        ({"files": 23}, False),
        ({"threads": 8}, False),
        ({"disk": 5000}, False),
        ({"memory": 50_000_000}, True),
    ],
)
def test_what_has_grown_is_seen(more: dict[str, int], flat: bool) -> None:
    assert soak.grown([sample(0)] * 10 + [sample(1, **more)] * 10).flat is flat
    one_moment = [sample(0)] * 19 + [sample(1, **more)]
    assert soak.grown(one_moment).flat, "one moment is no growth"


def test_a_process_that_leaks_is_seen_and_one_that_ends_is_said(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    code = "import time\nkept = []\nwhile True: kept.append(bytearray(200_000)); time.sleep(0.01)"
    with subprocess.Popen([sys.executable, "-c", code]) as popen:
        leaks = soak.Process("leaks", popen, tmp_path)
        for at in range(30):
            leaks.look(at)
            popen.poll()
            soak.time.sleep(0.05)
        popen.kill()
        popen.wait()
        with pytest.raises(RuntimeError, match="leaks has ended"):
            leaks.look(31)
    assert not soak.grown(leaks.samples).flat


def test_no_process_grows(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.yaml"
    path.write_text(tiny.CATALOGUE)
    work = soak.Work("sum", path, rate=8, given={"number": 3})
    found = asyncio.run(soak.soak(work, seconds=12, attempts=4))
    assert found.flat, soak.report(found, 12 / 60)
    assert min(found.answered.values()) > 0
