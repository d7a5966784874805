"""A server is killed in the middle of its work: nothing acknowledged is lost, no job is done twice."""

import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.studio.conftest import NewDatabase
from tests.studio.serving import Process, settings, wait_for

RATINGS, JOBS = 200, 20


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Any:
    return settings(tmp_path_factory.mktemp("killed"), database=new_database(), lease_s=2)


def start(known: Any, log: Path) -> Process:
    return Process(known, PAINTER_LOG=str(log), STUDIO_LEASE_S="2", STUDIO_JOBS_AT_ONCE="3")


def done(server: Process, id: str) -> Any:
    """Returns a job once it is done."""
    url = f"/api/jobs/{id}"
    return wait_for(lambda: (one := server.client.get(url).json())["state"] == "done" and one, 60)


def test_what_was_acknowledged_is_there_after_a_kill(known: Any, tmp_path: Path) -> None:
    log = tmp_path / "began"
    log.touch()
    server = start(known, log)
    picture = server.client.run("painter", {"seed": 1})["pictures"][0]["id"]
    acknowledged: list[tuple[str, int]] = []
    accepted: list[str] = []
    enough = threading.Event()

    def rate() -> None:
        with httpx.Client(base_url=server.client.base_url, timeout=30) as client:
            for place in range(RATINGS):
                stars = 1 + place % 5
                try:
                    answer = client.put(f"/api/pictures/{picture}/rating", json={"stars": stars})
                    board = client.post("/api/boards", json={"name": f"board {place}"})
                except httpx.HTTPError:
                    return
                if (answer.status_code, board.status_code) == (200, 201):
                    acknowledged.append((board.json()["id"], stars))
                if place == RATINGS // 2:
                    enough.set()

    def begin() -> None:
        with httpx.Client(base_url=server.client.base_url, timeout=30) as client:
            for place in range(JOBS):
                inputs = {"prompt": f"job {place}", "seed": place, "step_s": 0.1, "steps": 3}
                try:
                    answer = client.post("/api/graphs/painter/jobs", json={"inputs": inputs})
                except httpx.HTTPError:
                    return
                if answer.status_code == 202:
                    accepted.append(answer.json()["id"])

    threads = [threading.Thread(target=one) for one in (rate, begin)]
    for one in threads:
        one.start()
    assert enough.wait(60)
    server.kill()
    for one in threads:
        one.join()
    assert len(acknowledged) >= RATINGS // 2
    assert accepted

    server = start(known, log)
    try:
        boards = {one["id"] for one in server.client.get("/api/boards").json()}
        assert boards >= {board for board, _ in acknowledged}
        stars = server.client.get(f"/api/pictures/{picture}").json()["stars"]
        last = acknowledged[-1][1]
        assert stars in (last, last % 5 + 1)  # the one on its way when it was killed may have come, too
        for id in accepted:
            job = done(server, id)
            assert len(job["pictures"]) == 1
            assert httpx.get(server.client.base_url.join(job["pictures"][0]["url"])).status_code == 200
        pictures = server.client.get("/api/pictures", params={"limit": 100}).json()
        jobs = Counter(one["job"] for one in pictures["items"])
        assert set(jobs.values()) == {1}
        assert jobs.keys() >= set(accepted)
    finally:
        server.stop()


def test_a_job_of_a_killed_server_goes_on_and_its_watcher_misses_nothing(known: Any, tmp_path: Path) -> None:
    log = tmp_path / "began"
    log.touch()
    server = start(known, log)
    inputs = {"prompt": "long", "step_s": 0.2, "steps": 15}
    id = server.client.post("/api/graphs/painter/jobs", json={"inputs": inputs}).json()["id"]
    wait_for(lambda: log.read_text())
    seen = 0
    with server.client.stream("GET", f"/api/jobs/{id}/events") as answer:
        for line in answer.iter_lines():
            if line.startswith("id: "):
                seen = int(line[4:])
            if line == "event: node-progress":
                break
    server.kill()
    server = start(known, log)
    try:
        kinds: list[str] = []
        numbers: list[int] = []
        with server.client.stream(
            "GET", f"/api/jobs/{id}/events", headers={"Last-Event-ID": str(seen)}
        ) as answer:
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    kinds.append(line[7:])
                if line.startswith("id: "):
                    numbers.append(int(line[4:]))
        assert "started" in kinds
        assert kinds[-1] == "done"
        assert numbers[0] > seen
        assert log.read_text().splitlines() == ["long", "long"]
        assert len(server.client.get(f"/api/jobs/{id}").json()["pictures"]) == 1
    finally:
        server.stop()


def test_two_servers_share_the_work_and_one_takes_over_from_the_other(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    if not (database := new_database()):
        pytest.skip("SQLite is one server's; several share PostgreSQL")
    log = tmp_path / "began"
    log.touch()
    known = settings(tmp_path, database=database)
    servers = [start(known, log) for _ in range(2)]
    ids = [
        servers[0].client.post(
            "/api/graphs/painter/jobs", json={"inputs": {"prompt": f"{place}", "step_s": 0.1, "steps": 10}}
        ).json()["id"]
        for place in range(8)
    ]  # fmt: skip
    wait_for(lambda: len(log.read_text().split()) >= 5)
    servers[0].kill()
    try:
        for id in ids:
            job = wait_for(
                lambda id=id: (
                    (one := servers[1].client.get(f"/api/jobs/{id}").json())["state"] == "done" and one
                )
            )
            assert len(job["pictures"]) == 1
        began = Counter(log.read_text().split())
        assert sum(began.values()) <= len(ids) + 3, "only what the killed one had in hand ran again"
    finally:
        servers[1].stop()


def test_a_server_that_is_told_to_end_hands_its_jobs_back_at_once(known: Any, tmp_path: Path) -> None:
    log = tmp_path / "began"
    log.touch()
    server = start(known, log)
    inputs = {"prompt": "again", "step_s": 0.1, "steps": 100}
    id = server.client.post("/api/graphs/painter/jobs", json={"inputs": inputs}).json()["id"]
    wait_for(lambda: log.read_text())
    server.stop()
    assert server.process.poll() in (0, 143, -signal.SIGTERM)
    server = start(known, log)
    try:
        wait_for(lambda: len(log.read_text().split()) == 2)
        assert server.client.get(f"/api/jobs/{id}").json()["state"] == "running"
        server.client.delete(f"/api/jobs/{id}")
    finally:
        server.stop()


def test_a_second_server_on_the_same_folder_is_refused_in_words(tmp_path: Path) -> None:
    server = start(settings(tmp_path), tmp_path / "began")
    try:
        words = ["-m", "imagegraph.cli", "studio", "--port", "0", "--data", str(tmp_path / "data")]
        second = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60)
        assert second.returncode == 2
        assert "STUDIO_DATA: expected a folder that no other studio has open" in second.stderr
        assert "Traceback" not in second.stderr
    finally:
        server.stop()
