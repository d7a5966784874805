"""A device that runs out of memory: batches are halved, and a node says when it cannot go on."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serve.conftest import Server, outputs


@pytest.fixture
def free(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.getbasetemp() / "free"
    path.write_text("4")
    return path


@pytest.fixture
def hungry(start: Callable[..., Server], free: Path) -> Server:
    return start("--component", "hungry", HUNGRY_FREE=str(free))


def together(server: Server, count: int) -> list[httpx.Response]:
    """Asks so often at once; one more, before, keeps the worker busy meanwhile."""
    answers: list[httpx.Response] = []

    def ask() -> None:
        answers.append(server.infer(size=1))

    threads = [threading.Thread(target=ask) for _ in range(count + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers


def ready(server: Server) -> tuple[int, Any]:
    answer = server.http.get("/v2/health/ready")
    return answer.status_code, answer.json().get("error")


def until(server: Server, status: int, seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, error = ready(server)
        if found == status:
            return error
        time.sleep(0.02)
    raise AssertionError(f"never {status}: {server.log.read_text()[-2000:]}")


def test_a_device_that_is_full_halves_batches_refuses_and_comes_back(hungry: Server, free: Path) -> None:
    # Batches of more than four do not fit: they are halved, and nobody notices.
    answers = together(hungry, 12)
    assert len(answers) == 13
    assert max(outputs(answer)["together"][0] for answer in answers) in (2, 3, 4)
    assert ready(hungry) == (200, None)

    # One that does not fit by itself: its own 503, and the probe finds the device in order.
    large = hungry.infer(size=5)
    assert (large.status_code, large.headers["retry-after"]) == (503, "1")
    assert "out of memory" in large.json()["error"]
    until(hungry, 200)
    assert outputs(hungry.infer(size=1))["ate"] == [1]

    # Nothing fits any more: not ready, and requests are refused at once, until a probe succeeds.
    free.write_text("0")
    assert hungry.infer(size=1).status_code == 503
    assert until(hungry, 503) == "out of memory: hungry"
    assert hungry.http.get("/v2/health/live").status_code == 200
    refused = hungry.infer(size=1)
    assert (refused.status_code, "out of memory" in refused.json()["error"]) == (503, True)
    end = time.monotonic() + 60
    while "'hungry' is still out of order" not in hungry.log.read_text() and time.monotonic() < end:
        time.sleep(0.05)
    assert ready(hungry)[0] == 503
    free.write_text("4")
    until(hungry, 200, 60)
    assert outputs(hungry.infer(size=2))["ate"] == [2]
    assert hungry.log.read_text().count("'hungry' works again") == 2
