import os
import pty
import re
import subprocess
import termios

from model_init.report import human
from tests.model_init.conftest import DEPTH, Machine
from tests.model_init.hub import Hub


def test_a_log_gets_lines_of_progress(machine: Machine, hub: Hub):
    hub.speed = 1.5e6
    output = machine.pull("--entry=depth", "--every=0.2")
    lines = output.splitlines()
    assert lines[0] == f"{DEPTH} at 5426e4f0f365: not complete yet"
    pattern = r"  [\d.]+ [kM]?B of 1\.7 MB \(\d+ %\), [\d.]+ [kM]?B/s(, \d+ s left)?"
    assert sum(re.fullmatch(pattern, line) is not None for line in lines) >= 3
    assert "\r" not in output


def test_a_terminal_gets_a_bar(machine: Machine, hub: Hub):
    hub.speed = 1.5e6
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    command = machine.command("pull", "--bundle=real", "--entry=depth")
    with subprocess.Popen(command, env=machine.variables, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # how a terminal says that nobody writes any more
                break
        assert process.wait(timeout=60) == 0
    os.close(ours)
    assert re.search(rb"\d+%\|", shown)
    assert b"complete: 1 repositories" in shown


def test_metrics_are_written_for_success_and_failure(machine: Machine, hub: Hub):
    file = machine.home / "metrics.prom"

    def metrics() -> dict[str, float]:
        lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.split() for line in lines)}

    machine.pull("--entry=depth", f"--metrics-file={file}")
    prefix = "imagegraph_model_init_"
    found = metrics()
    assert found[f"{prefix}success"] == 1
    assert found[f"{prefix}fetched_bytes"] == found[f"{prefix}cache_bytes"] == 1703862
    assert 0 < found[f"{prefix}duration_seconds"] < 60
    hub.close()
    machine.pull("--attempts=1", f"--metrics-file={file}", code=6)
    assert metrics()[f"{prefix}success"] == 0
    assert metrics()[f"{prefix}exit_code"] == 6
    # Prometheus itself reads it.
    from prometheus_client.parser import text_string_to_metric_families

    families = list(text_string_to_metric_families(file.read_text()))
    assert {family.type for family in families} == {"gauge"}


def test_sizes_are_said_as_people_do():
    assert [human(size) for size in (0, 999, 1000, 1_234_567, 20e9)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.2 MB",
        "20.0 GB",
    ]
