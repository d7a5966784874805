"""Batches whose rows a server answers."""

import http.server
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from imagegraph.batch import runner
from imagegraph.batch.served import ServedPlatform
from imagegraph.errors import ImagegraphError, InvalidInput, Unavailable, UnknownName
from imagegraph.run import provenance
from imagegraph.spec.catalogue import ROOT
from tests.cli.commands import said
from tests.serve.conftest import Server, start
from tests.serve.forked import Forked

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
    assert all(line["host"] == {} for line in metrics)  # this machine computed nothing
    assert not [name for name in pq.read_schema(OUT / "metrics.parquet").names if name.startswith("host")]


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


def test_a_batch_that_is_stopped_while_its_server_is_away_has_failed_no_row(start, tmp_path):
    server = start("--component", "together")
    Path("rows.jsonl").write_text("".join(f'{{"number": {number}}}\n' for number in range(60)))
    command = ["batch", "together", f"{tmp_path}/rows.jsonl", "-o", f"{tmp_path}/out", "--in-flight", "4"]
    log = tmp_path / "log"
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = Forked([*command, "--url", url(server)], variables, log)
    while len([*OUT.glob("rows/*")]) < 3:
        assert process.poll() is None, log.read_text()
        time.sleep(0.01)
    server.process.kill()
    time.sleep(0.5)  # those under way are refused
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 128 + signal.SIGINT, log.read_text()
    assert not (OUT / "failures.jsonl").exists()
    assert "0 failed" in log.read_text()
    assert "stopped before all rows were done" in log.read_text()


ARRAYS = """
base: none
entries:
  everything: {component: tests.serve.serving:Everything, summary: Reads all kinds, bundles: {pocket: {}}}
"""


def test_arrays_are_given_as_options_or_in_tables(start):
    server = start("--component", "everything")
    Path("catalogue.yaml").write_text(ARRAYS)
    batch("everything", "--points", "[[1, 1], [20, 20]]", "number=2", "--url", url(server))
    (line,) = lines("results.jsonl")
    assert line["answer"] == {"read": 7 + 1}
    assert line["parameters"] == {"number": 2, "points": [[1.0, 1.0], [20.0, 20.0]]}
    with pytest.raises(InvalidInput, match=r"points: expected an array of shape \[-1, 2\], not \[2\]"):
        batch("everything", "points=[1, 2]", "number=2", "--url", url(server), "--overwrite")
    Path("rows.csv").write_text('points,number\n"[[1, 2]]",1\n,1\n"[1]",1\n')
    batch("everything", "rows.csv", "--url", url(server), "--overwrite", code=2)
    answers = {line["row"]: line["answer"]["read"] for line in lines("results.jsonl")}
    assert answers == {"0001": 8, "0002": 7}
    (failure,) = lines("failures.jsonl")
    assert failure["row"] == "0003"
    assert "points: expected an array of shape" in failure["error"]


def test_an_input_that_only_the_graph_of_that_name_here_has_is_refused(paint):
    Path("catalogue.yaml").write_text(ARRAYS.replace("everything", "paint"))
    with pytest.raises(UnknownName, match=r"unknown input 'ratio'.*Available: .*prompt"):
        batch("paint", "--ratio", "0.5", "--url", url(paint))


def test_a_graph_that_the_server_does_not_have_is_refused(paint, photos):
    with pytest.raises(UnknownName, match=r"unknown graph of http://\S+ 'film'\. Available: paint"):
        batch("film", "photos", "--url", url(paint))
    assert not OUT.exists()


def test_a_server_that_does_not_tell_what_it_has_is_asked_all_the_same():
    """As those behind Seldon's executor or KServe's router."""

    class Silent(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/v2/models/film" else 404)
            self.end_headers()
            tensor = {"name": "number", "datatype": "INT64", "shape": [1], "parameters": {}}
            self.wfile.write(json.dumps({"inputs": [tensor], "outputs": []}).encode())

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Silent) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            assert [*ServedPlatform(f"http://127.0.0.1:{server.server_port}", "film").interface.inputs] == [
                "number"
            ]
        finally:
            server.shutdown()


def test_what_is_no_url_says_what_is_one(photos):
    with pytest.raises(InvalidInput, match=r"url: expected http://… or https://…, got '127.0.0.1:8080'"):
        batch("paint", "photos", "--url", "127.0.0.1:8080")


def test_nothing_at_the_url_is_said_before_anything_is_written(photos):
    with pytest.raises(Unavailable, match="cannot reach"):
        batch("paint", "photos", "--url", "http://127.0.0.1:1")
    with pytest.raises(InvalidInput, match="bundle: expected none beside --url"):
        batch("paint", "photos", "--url", "http://127.0.0.1:1", "--bundle", "pocket")
    assert not OUT.exists()
