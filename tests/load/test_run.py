"""Scenarios against real servers by the command line: what they end with, what they write, what they plan."""

import contextlib
import csv
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from imagegraph.spec.catalogue import ROOT
from imagegraph.spec.graph import Node
from tests.serve.conftest import Server
from tests.serve.test_manifest import manifest, predictor
from tests.studio.serving import running, settings

Run = Callable[..., tuple[int, dict[str, Any]]]
BRIEF = {"arrivals": "constant", "phases": [{"rate": 20, "seconds": 1}], "requests": [{"way": "binary"}]}
NUMBER = ("--input", "number=1")
LOAD = (sys.executable, str(ROOT / "load-tests" / "load.py"))


def host(server: Server) -> str:
    return f"http://127.0.0.1:{server.http_port}"


def answers(server: Server) -> int:
    page = server.http.get("/metrics").text
    counts = re.findall(r'^imagegraph_requests_total{code="200".* ([0-9.]+)$', page, re.MULTILINE)
    return int(sum(map(float, counts)))


@pytest.fixture(scope="module")
def double(start: Callable[..., Server]) -> Server:
    return start("--component", "double")


def test_what_is_kept_ends_with_0_and_writes_a_table_rows_and_a_page(
    run: Run, double: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ways = [{"way": way} for way in ("binary", "json", "grpc", "stream")]
    warm = {"rate": 10, "seconds": 1, "counts": False}
    scenario = {**BRIEF, "phases": [warm, *BRIEF["phases"]], "requests": ways, "thresholds": {"errors": 0}}
    where = ("--host", host(double), "--grpc", f"127.0.0.1:{double.grpc_port}")
    code, result = run(scenario, *where, *NUMBER)
    said = capsys.readouterr().out
    assert code == 0, said
    assert result["passed"]
    assert (result["total"]["requests"], result["total"]["answered"]) == (20, 20)
    assert sum(one["requests"] for one in result["ways"].values()) == 20
    assert [step["requests"] for step in result["steps"]] == [10, 20]
    assert "10 to" not in said
    assert "kept" in said
    with (tmp_path / "out" / "requests.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["number"]) for row in rows] == list(range(30))
    assert all(float(row["latency_s"]) >= float(row["ended_s"]) - float(row["sent_s"]) - 1e-5 for row in rows)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "All thresholds were kept." in page
    assert "src=" not in page
    assert "href=" not in page


def test_what_is_broken_ends_with_1_and_is_said(
    run: Run, double: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    code, result = run({**BRIEF, "thresholds": {"p50_seconds": 1e-6}}, "--host", host(double), *NUMBER)
    assert code == 1
    assert [check["passed"] for check in result["checks"]] == [True, False]
    assert "broken" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "nowhere"], "--host: expected [GRAPH=]URL such as http://localhost:8080, got 'nowhere'"),
        (["--host", "http://127.0.0.1:9"], "cannot reach http://127.0.0.1:9/v2/health/ready"),
        (["--host", "HOST"], "--input number: expected a value: the graph needs one"),
        (["--host", "HOST", "--input", "numbr=1"], "--input: expected a name of number, got 'numbr'"),
        (["--host", "HOST", *NUMBER, "--kill-command", "true"], "expected none: this scenario kills nothing"),
        (["--host", "HOST", *NUMBER, "--photo", "no.jpg"], "--photo: expected a picture that can be read"),
        (["--host", "HOST", *NUMBER, "--photo", "README.md"], "--photo: expected a"),
        (["--host", "HOST", *NUMBER, "--metrics", "x"], "--metrics: expected [NAME=]URL such as http"),
        (["--host", "HOST", "--input", "number={"], "--input number: expected a value as YAML has it"),
        (["--host", "dobule=HOST"], "Did you mean 'double'? Available: double"),
    ],
)
def test_what_cannot_be_done_ends_with_2_and_says_what_was_expected(
    run: Run, double: Server, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    code, result = run(BRIEF, *(one.replace("HOST", host(double)) for one in arguments))
    assert (code, result) == (2, {})
    assert said in capsys.readouterr().err


@pytest.fixture(scope="module")
def split(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> tuple[Server, Path]:
    """A release of two versions, and its manifest."""
    stable = predictor(Node(name="double"), {}, name="stable", traffic=80)
    canary = predictor(Node(name="add"), {}, name="canary", traffic=20)
    path = manifest(tmp_path_factory.mktemp("split") / "m.yaml", stable, canary)
    return start("--manifest", str(path)), path


SPLIT = {**BRIEF, "phases": [{"rate": 150, "seconds": 2}], "split": True, "thresholds": {"lost": 0}}


def test_each_version_must_answer_its_part_of_the_traffic(run: Run, split: tuple[Server, Path]) -> None:
    server, path = split
    ways = [{"way": way} for way in ("binary", "json", "stream")]
    code, result = run({**SPLIT, "requests": ways}, "--host", host(server), *NUMBER, "--manifest", str(path))
    assert code == 0, result["checks"]
    assert sum(result["versions"].values()) == 300
    assert 20 < result["versions"]["canary"] < 120


def test_another_split_than_that_is_seen(run: Run, split: tuple[Server, Path]) -> None:
    server, _ = split
    code, result = run(SPLIT, "--host", host(server), *NUMBER, "--traffic", "stable=50,canary=50")
    assert code == 1
    broken = {check["name"] for check in result["checks"] if not check["passed"]}
    assert broken == {"answers of version 'canary'", "answers of version 'stable'"}


def test_a_server_that_names_no_version_has_not_answered_by_any(run: Run, double: Server) -> None:
    code, result = run(SPLIT, "--host", host(double), *NUMBER, "--traffic", "stable=80,canary=20")
    assert code == 1
    assert "answers that name no version" in {
        check["name"] for check in result["checks"] if not check["passed"]
    }


def test_several_graphs_are_asked_in_turn_and_each_one_s_metrics_are_read(
    run: Run, double: Server, split: tuple[Server, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [name] = split[0].http.get("/v2/models").json()["models"]
    hosts = ("--host", f"double={host(double)}", "--host", f"{name}={host(split[0])}")
    code, result = run({**BRIEF, "phases": [{"rate": 20, "seconds": 2}]}, *hosts, *NUMBER)
    assert code == 0, result
    seen = [(one["graph"], one["url"], one["answered"]) for one in result["hosts"]]
    assert seen == [("double", host(double), 20), (name, host(split[0]), 20)]
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert ["double", "20"] in rows
    assert [name, "20"] in rows
    assert "By graph" in (tmp_path / "out" / "report.html").read_text()
    with (tmp_path / "out" / "requests.csv").open() as file:
        assert [row["graph"] for row in csv.DictReader(file)] == ["double", name] * 20
    assert result["unread_metrics"] == {}
    assert sum(result["versions"].values()) == 40
    assert sum(count for name, count in result["versions"].items() if name) == 20, "every second one"


def test_a_studio_is_asked_for_its_gallery_and_for_jobs(run: Run, tmp_path: Path) -> None:
    ways = [{"way": "gallery", "share": 4}, {"way": "job"}]
    scenario = {**BRIEF, "requests": ways, "thresholds": {"errors": 0, "refused": 0}}
    with running(settings(tmp_path / "studio")) as studio:
        code, result = run(scenario, "--host", f"double={str(studio.base_url).rstrip('/')}", *NUMBER)
        jobs = studio.get("/api/jobs").json()
    assert code == 0, result
    assert {name: one["answered"] for name, one in result["ways"].items()} == {
        "gallery": 20 - jobs["total"], "job": jobs["total"],
    }  # fmt: skip
    assert jobs["total"] > 0
    assert {job["state"] for job in jobs["items"]} == {"done"}


KILL = {
    **BRIEF,
    "phases": [{"rate": 30, "seconds": 2}],
    "kill": {"at_seconds": 0.5},
    "thresholds": {"lost": 0},
}


def test_what_is_killed_without_another_loses_requests_and_breaks_the_threshold(
    run: Run, start: Callable[..., Server]
) -> None:
    server = start("--component", "double")
    kill = f"kill -{signal.SIGKILL.value} {server.process.pid}"
    code, result = run(KILL, "--host", host(server), *NUMBER, "--kill-command", kill)
    assert code == 1
    lost = next(check for check in result["checks"] if check["name"] == "lost requests")
    assert not lost["passed"]
    assert 0 < result["total"]["answered"] < 60
    assert result["total"]["lost"] == 60 - result["total"]["answered"]


def test_a_server_that_dies_in_a_ramp_breaks_it_and_is_no_capacity(
    run: Run, start: Callable[..., Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = start("--component", "double")
    ramp = yaml.safe_load((ROOT / "load-tests" / "release" / "scenarios" / "ramp.yaml").read_text())
    ramp["phases"] = [{"rate": 5, "to": 15, "steps": 3, "seconds": 9}]
    kill = f"kill -{signal.SIGKILL.value} {server.process.pid}"
    arguments = ("--host", host(server), *NUMBER, "--kill-command", kill)
    code, result = run({**ramp, "kill": {"at_seconds": 4}}, *arguments)
    assert code == 1
    assert [check["name"] for check in result["checks"] if not check["passed"]] == ["errors"]
    assert result["total"]["p95_s"] is None, "who got no answer has waited longer than all times"
    done = subprocess.run(
        [*LOAD, "plan", str(tmp_path / "out" / "result.json"), "--rate", "50", "--within", "2"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "were lost" in done.stdout
    assert "nothing that servers show" not in done.stdout
    [words] = done.stderr.splitlines()
    assert f"127.0.0.1:{server.http_port} showed no metrics any more" in words


def test_a_pod_is_killed_by_kubectl_and_the_others_lose_nothing(
    run: Run, double: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "kubectl.log"
    script = tmp_path / "bin" / "kubectl"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\necho "$@" >> {log}\ntest "$1" = delete || echo pod/one\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    code, result = run(KILL, "--host", host(double), *NUMBER, "--kill-selector", "imagegraph/node=depth")
    assert code == 0, result
    found, deleted = log.read_text().splitlines()
    assert found.startswith("get pods --selector imagegraph/node=depth ")
    assert deleted == "delete pod/one --now --wait=false"


@pytest.mark.parametrize(
    ("command", "said", "requests"),
    [("echo no such pod; exit 3", "ended with 3: no such pod", 15), ("sleep 60", "had not ended", 60)],
)
def test_what_cannot_be_killed_ends_the_run_with_what_was_measured(
    run: Run, double: Server, capsys: pytest.CaptureFixture[str], command: str, said: str, requests: int
) -> None:
    code, result = run(KILL, "--host", host(double), *NUMBER, "--kill-command", command)
    assert code == 2
    assert said in result["cut_short"]
    assert said in capsys.readouterr().err
    assert requests - 3 <= result["total"]["answered"] <= requests + 3
    broken = [check["name"] for check in result["checks"] if not check["passed"]]
    assert broken == ["ran to its end", "something was killed"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_reports_what_was_measured_as_cut_short(
    double: Server, tmp_path: Path, number: signal.Signals
) -> None:
    scenario, out = tmp_path / "long.yaml", tmp_path / "out"
    warm = {"rate": 20, "seconds": 1, "counts": False}
    phases = [warm, {"rate": 20, "seconds": 100}, {"rate": 1, "seconds": 9}]
    asked = {**BRIEF, "summary": "Long", "phases": phases, "thresholds": {"errors": 0}}
    scenario.write_text(json.dumps(asked))
    before = answers(double)
    process = subprocess.Popen(
        [*LOAD, "run", str(scenario), "--host", host(double), "--out", str(out), *NUMBER],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    while answers(double) < before + 60:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    result = json.loads((out / "result.json").read_text())
    assert f"Cut short {result['cut_short']}" in " ".join(said.split())
    assert result["cut_short"].endswith(number.name)
    assert len(result["steps"]) == 2, "what was not reached is in no figures"
    assert result["total"]["per_s"] == pytest.approx(20, rel=0.3)
    assert "It was cut short" in (out / "report.html").read_text()


def test_a_ramp_gives_a_plan_of_what_limits(
    run: Run, start: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    import load

    # One request at a time, of 0.1 s: nowhere more than ten a second.
    server = start("--component", "asleep", "--max-queue", "5")
    phases = [{"rate": 2, "to": 30, "steps": 3, "seconds": 9}]
    ramp = {**BRIEF, "phases": phases, "thresholds": {"lost": 0, "retry_after": 1}}
    code, result = run(
        ramp, "--host", host(server), "--input", "seconds=0.1", "--metrics", f"node={host(server)}/metrics"
    )
    assert code == 0, result["checks"]
    assert result["unread_metrics"] == {}
    capsys.readouterr()
    file = tmp_path / "out" / "result.json"
    monkeypatch.setattr(
        sys, "argv", ["load.py", "plan", str(file), "--rate", "100", "--within", "2", "--cores", "64"]
    )
    with pytest.raises(SystemExit) as end:
        load.main()
    said = capsys.readouterr().out
    assert end.value.code == 0, said
    assert "What limits: its model of node" in said
    knee = float(said.split("2 s: ")[1].split()[0])
    assert 0 < knee < 10.5
    row = next(line for line in said.splitlines() if line.split()[:4] == ["node", "its", "model", "1"])
    assert int(row.split()[-2]) >= 100 / 10.5 / 0.7


def test_a_graph_in_one_process_is_planned_by_its_cpus(
    run: Run, start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start("--graph", "sum")
    phases = [{"rate": 10, "to": 30, "steps": 3, "seconds": 9}]
    arguments = ("--host", host(server), *NUMBER, "--metrics", f"sum={host(server)}/metrics")
    code, result = run({**BRIEF, "phases": phases}, *arguments)
    assert code == 0, result
    assert {step["use"]["sum"]["nodes"] for step in result["steps"]} == {4}
    file = tmp_path / "out" / "result.json"
    for step in result["steps"]:
        step["use"]["sum"]["computing"] = 2.9  # as of models that need time, each with a thread of its own
    file.write_text(json.dumps(result))
    by_cores = [
        subprocess.run(
            [*LOAD, "plan", str(file), "--rate", "50", "--within", "2", "--cores", cores],
            capture_output=True, text=True, check=True,
        ).stdout.splitlines()[-2].split()
        for cores in ("1", "4")
    ]  # fmt: skip
    busy = [int(next(one for one in row if one.endswith("%")).rstrip("%")) for row in by_cores]
    assert busy[0] == pytest.approx(4 * busy[1], abs=4)
    assert busy[0] <= 100


def test_the_page_says_what_was_broken_and_nothing_that_a_server_said_becomes_part_of_it(
    run: Run, double: Server, tmp_path: Path
) -> None:
    words = "</script><script>alert(1)</script>"
    code, _ = run(BRIEF, "--host", host(double), "--input", f"number='{words}'")
    page = (tmp_path / "out" / "report.html").read_text()
    assert code == 0, "errors are no lost requests"
    assert "<script>alert" not in page
    assert page.count("</script>") == 1
    json.loads(page.split('id="result">')[1].split("</script>")[0])


@contextlib.contextmanager
def answering(body: bytes, **by_path: bytes) -> Iterator[str]:
    """A server that answers everything with 200 and these bytes, or those of the path's last part."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            said = by_path.get(self.path.rpartition("/")[2], body)
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("way", ["binary", "gallery"])
@pytest.mark.parametrize("body", [b"<html>hello</html>", b"{}", b'{"models": []}', b"[]", b"null", b'["x"]'])
def test_a_server_of_something_else_is_refused_with_its_address(
    run: Run, capsys: pytest.CaptureFixture[str], way: str, body: bytes
) -> None:
    with answering(body) as url:
        code, result = run({**BRIEF, "requests": [{"way": way}]}, "--host", url)
    assert (code, result) == (2, {})
    kind = "a graph's server" if way == "binary" else "a studio"
    [words] = capsys.readouterr().err.splitlines()
    assert words.startswith(f"error: --host {url}: expected {kind}") or "unknown graph" in words


def test_a_scenario_of_a_studio_does_not_ask_a_graph(
    run: Run, double: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = run({**BRIEF, "requests": [{"way": "gallery"}]}, "--host", host(double))
    assert code == 2
    assert f"--host {host(double)}: expected a studio" in capsys.readouterr().err


def test_a_server_that_loads_is_waited_for_or_refused(
    run: Run, start: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    server = start("--component", "later", wait=False)
    while True:
        with contextlib.suppress(httpx.TransportError):
            if server.http.get("/v2/models").status_code == 200:
                break
        time.sleep(0.05)
    code, _ = run(BRIEF, "--host", host(server), *NUMBER)
    assert code == 2
    assert f"{host(server)} is not ready: " in capsys.readouterr().err
    code, result = run(BRIEF, "--host", host(server), *NUMBER, "--wait", "60")
    assert code == 0, result
    assert result["total"]["answered"] == 20


def test_grpc_is_looked_for_before_the_first_request(
    run: Run, double: Server, split: tuple[Server, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {**BRIEF, "requests": [{"way": "grpc"}]}
    code, result = run(asked, "--host", host(double), *NUMBER, "--grpc", "127.0.0.1:9")
    assert (code, result) == (2, {})
    said = capsys.readouterr().err
    assert "cannot reach gRPC at 127.0.0.1:9: " in said
    assert f"--grpc host:port says where that of {host(double)} is" in said


def test_the_grpc_of_another_graph_is_refused(
    run: Run, double: Server, start: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    other = start("--component", "greet")
    asked = {**BRIEF, "requests": [{"way": "grpc"}]}
    code, result = run(asked, "--host", host(double), *NUMBER, "--grpc", f"127.0.0.1:{other.grpc_port}")
    assert (code, result) == (2, {})
    assert f"--grpc host:port: expected the gRPC of {host(double)}" in capsys.readouterr().err


def test_a_page_of_metrics_needs_no_name(run: Run, double: Server) -> None:
    code, result = run(BRIEF, "--host", host(double), *NUMBER, "--metrics", f"{host(double)}/metrics?x=1")
    assert code == 0
    assert result["unread_metrics"] == {}
    [step] = result["steps"]
    assert step["use"].keys() <= {f"127.0.0.1:{double.http_port}"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["nope.json"],
            "RESULT: expected the result.json of a run, got 'nope.json (No such file or directory)'",
        ),
        (["README.md"], "RESULT: expected the result.json of a run, got 'README.md'"),
        (
            ["README.md", "--replicas", "a=b"],
            "--replicas: expected NAME=N with N pods, at least 1, got 'a=b'",
        ),
    ],
)
def test_what_cannot_be_planned_ends_with_2_and_one_line(arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [*LOAD, "plan", *arguments, "--rate", "1", "--within", "1"], capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (2, f"error: {said}\n")


@pytest.mark.parametrize("way", ["binary", "json", "stream"])
@pytest.mark.parametrize("body", [b"<html>hello</html>", b"{}", b'{"outputs": [{}]}'])
def test_a_200_that_is_no_answer_is_an_error_of_that_status(
    run: Run, double: Server, tmp_path: Path, way: str, body: bytes
) -> None:
    about = double.http.get("/v2/models/double").content
    with answering(body, models=b'{"models": ["double"]}', double=about) as url:
        code, result = run(
            {**BRIEF, "requests": [{"way": way}], "thresholds": {"errors": 0}}, "--host", url, *NUMBER
        )
    assert code == 1
    [failure] = result["failures"]
    assert (failure["status"], failure["requests"]) == (200, 20)
    assert failure["words"].startswith("answered ")
    with (tmp_path / "out" / "requests.csv").open() as file:
        assert {row["status"] for row in csv.DictReader(file)} == {"200"}


@pytest.mark.parametrize("way", ["gallery", "job"])
def test_a_200_that_is_nothing_of_a_studio_is_an_error_of_that_status(run: Run, way: str) -> None:
    graphs, graph = b'[{"name": "one", "takes": ["image"]}]', b'{"inputs": []}'
    asked = {**BRIEF, "requests": [{"way": way}], "thresholds": {"errors": 0}}
    with answering(b"<html>hello</html>", graphs=graphs, one=graph) as url:
        code, result = run(asked, "--host", url)
    assert code == 1
    [failure] = result["failures"]
    assert failure["status"] == 200
    assert failure["words"].startswith("answered what is no ")
