"""Batches whose rows a server answers."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imagegraph.batch import runner
from imagegraph.errors import ImagegraphError, InvalidInput, Unavailable
from imagegraph.run import provenance
from tests.cli.commands import said
from tests.serve.conftest import Server, start

__all__ = ["start"]
OUT = Path("out")


def batch(*arguments: str, code: int = 0) -> str:
    done = said("batch", *arguments, "-o", "out")
    assert done.code == code, done.out + done.err
    return done.out + done.err


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (OUT / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def small(start: Callable[..., Server]) -> Server:
    """A server with room for few requests."""
    return start("--component", "together", "--max-queue", "3")


@pytest.fixture(scope="module")
def paint(start: Callable[..., Server]) -> Server:
    return start("--component", "paint")


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.http_port}"


def test_a_server_draws_the_same_as_this_process(paint, photos):
    batch("paint", "photos", "seed=7", "--prompt-from-name", "--url", url(paint))
    served = {line["row"]: line for line in lines("results.jsonl")}
    picture = OUT / "rows/a_red_cone/picture-01-combined-8.png"
    pixels = provenance.Image(picture.read_bytes()).rgb().tobytes()
    with pytest.raises(
        InvalidInput, match="a picture that was drawn on this machine, got 'one that a server"
    ):
        provenance.read(picture)
    OUT.rename("served")
    batch("paint", "photos", "seed=7", "--prompt-from-name", "--device", "cpu")
    for line in lines("results.jsonl"):
        assert line["answer"] == served[line["row"]]["answer"]
        assert line["pictures"] == served[line["row"]]["pictures"]
    assert provenance.Image(picture.read_bytes()).rgb().tobytes() == pixels
    record = provenance.read_any(Path("served/rows/a_red_cone/picture-01-combined-8.png"))
    assert isinstance(record, provenance.ServedRecord)
    assert record.parameters == {"prompt": "a red cone", "seed": 7}
    assert record.served.startswith("sha256:")


def test_it_is_gone_on_with_and_metrics_have_the_times_of_nodes(paint, photos):
    batch("paint", "photos", "--url", url(paint))
    assert "4 of 4 rows are done already" in batch("paint", "photos", "--url", url(paint))
    metrics = lines("metrics.jsonl")
    assert len(metrics) == 4
    assert all(line["nodes"]["paint"] > 0 and line["cpu_peak_mib"] is None for line in metrics)


def test_rows_wait_as_long_as_a_server_without_room_wants(small):
    """Forty at once are far more than it takes: none is lost, and most are asked for once."""
    Path("rows.jsonl").write_text("".join(f'{{"number": {number}}}\n' for number in range(40)))
    before = _requests(small)
    batch("together", "rows.jsonl", "--url", url(small), "--in-flight", "40")
    assert [line["answer"]["doubled"] for line in lines("results.jsonl")] == [2 * n for n in range(40)]
    asked, refused = (now - then for now, then in zip(_requests(small), before, strict=True))
    assert asked == 40 + refused
    assert 0 < refused < 80


def _requests(server: Server) -> tuple[int, int]:
    """How many requests the server has seen, and how many of these it refused."""
    rows = [row for row in server.http.get("/metrics").text.splitlines() if "requests_total{" in row]
    counts = [(float(row.rpartition(" ")[2]), 'status="200"' in row or 'code="200"' in row) for row in rows]
    return round(sum(count for count, _ in counts)), round(sum(count for count, well in counts if not well))


def test_what_a_server_refuses_is_listed(small):
    Path("rows.jsonl").write_text('{"number": 1}\n{"number": -1}\n')
    batch("together", "rows.jsonl", "--url", url(small), code=2)
    (failure,) = lines("failures.jsonl")
    assert failure["status"] == 400
    assert "greater than or equal to 0, got -1" in failure["error"]


def test_a_server_that_is_paused_is_waited_for(small):
    Path("rows.jsonl").write_text("".join(f'{{"number": {number}}}\n' for number in range(6)))
    os.kill(small.process.pid, signal.SIGSTOP)
    resumed = threading.Timer(1.0, os.kill, (small.process.pid, signal.SIGCONT))
    since = time.monotonic()
    resumed.start()
    batch("together", "rows.jsonl", "--url", url(small))
    assert time.monotonic() - since > 1
    assert len(lines("results.jsonl")) == 6


def test_a_server_that_is_gone_ends_the_batch_and_no_row_has_failed(start, monkeypatch):
    server = start("--component", "together")
    Path("rows.jsonl").write_text("".join(f'{{"number": {number}}}\n' for number in range(60)))
    monkeypatch.setattr(runner, "GIVE_UP_S", 1.0)

    def end() -> None:
        while len([*OUT.glob("rows/*")]) < 3:
            time.sleep(0.01)
        server.process.kill()

    threading.Thread(target=end).start()
    with pytest.raises(ImagegraphError, match="no row was answered for 1 s: cannot reach http"):
        batch("together", "rows.jsonl", "--url", url(server), "--in-flight", "4")
    assert not (OUT / "failures.jsonl").exists()
    assert len([*OUT.glob("rows/*")]) >= 3


def test_nothing_at_the_url_is_said_before_anything_is_written(photos):
    with pytest.raises(Unavailable, match="cannot reach"):
        batch("paint", "photos", "--url", "http://127.0.0.1:1")
    with pytest.raises(InvalidInput, match="bundle: expected none beside --url"):
        batch("paint", "photos", "--url", "http://127.0.0.1:1", "--bundle", "pocket")
    assert not OUT.exists()
