"""Several at once, and processes that die: of the same code, started from a process that has imported it."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from model_init import lease
from model_init.errors import Busy
from model_init.lease import hold
from model_init.store import Repository, check
from tests.model_init.conftest import BASE, COMMITS, DEPTH, NET, Machine
from tests.model_init.hub import Hub, folder

MODEL = "model.safetensors"
KILLS = 52
STOP = threading.Event()


class Starter:
    """Starts pulls without waiting for imports."""

    def __init__(self, machine: Machine) -> None:
        command = [sys.executable, str(Path(__file__).with_name("starting.py")), "pull", "--bundle=real"]
        self._process = subprocess.Popen(
            [*command, "--wait=0.1"],
            cwd=machine.home,
            env=machine.variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, question: str) -> str:
        self._process.stdin.write(f"{question}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.communicate(timeout=20)


@pytest.mark.parametrize("count", [2, 8])
def test_of_several_at_once_one_fetches_and_the_others_wait(machine: Machine, hub: Hub, count: int):
    hub.speed = 10e6
    processes = [machine.start("pull", "--bundle=real") for _ in range(count)]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count, outputs
    for name in (DEPTH, BASE, NET):
        for path, data in folder(machine.snapshot(name)).items():
            # Each of them reads what a pipeline consists of, to know which files it needs.
            if path != "model_index.json":
                assert hub.sent[f"{name}/{path}"] == len(data), path
    machine.run("verify", "--bundle=real", "--deep")


def test_a_killed_process_loses_nothing_at_any_moment(machine: Machine, hub: Hub):
    """Kills pulls at random bytes; what is visible is always right, and the end is a verified cache."""
    chance = random.Random(2)
    hub.speed = 20e6
    snapshots = [(Repository(machine.cache, name), commit) for name, commit in COMMITS.items()]
    starter = Starter(machine)
    kills = midway = 0
    while kills < KILLS:
        before, enough = hub.sent.total(), chance.random() ** 2 * 7e6
        process = int(starter.ask("start"))
        while (code := starter.ask("poll")) == "None" and hub.sent.total() - before < enough:
            time.sleep(0.002)
        if code == "None":
            time.sleep(chance.uniform(0, 0.05))
            os.kill(process, signal.SIGKILL)
            while (code := starter.ask("poll")) == "None":
                time.sleep(0.002)
        assert code in ("0", "-9"), (machine.home / "output").read_text()
        kills += code == "-9"
        midway += code == "-9" and hub.sent.total() - before > 100_000
        for (repository, revision), seen in zip(snapshots, check(snapshots, deep=True), strict=True):
            assert not seen.broken
            if repository.snapshot(revision).exists():  # whole and right, even if its manifest lacks
                visible = folder(repository.snapshot(revision))
                assert any(path.endswith(".safetensors") for path in visible)
                assert visible.items() <= hub.repos[repository.name].files.items()
        if all(seen.complete for seen in check(snapshots, deep=False)):
            damage(machine.cache, chance)
    starter.close()
    assert midway > KILLS // 2
    hub.speed = None
    machine.pull()
    machine.run("verify", "--bundle=real", "--deep")


def damage(cache: Path, chance: random.Random) -> None:
    """Removes something of a complete cache, so that there is work again: all, a repository, some blobs."""
    found = sorted(cache.glob("models--*"))
    for repository in chance.choice([found, found, [chance.choice(found)]]):
        if chance.random() < 0.7:
            shutil.rmtree(repository)
        else:
            for manifest in repository.glob("manifests/*"):
                manifest.unlink()
            shutil.rmtree(repository / "snapshots")
            for blob in (repository / "blobs").iterdir():
                if chance.random() < 0.5:
                    blob.write_bytes(blob.read_bytes()[:-7])


def test_a_stopped_process_frees_its_lock_and_the_next_goes_on(machine: Machine, hub: Hub):
    hub.speed = 500e3
    with machine.start("pull", "--bundle=real", "--entry=depth") as process:
        while hub.sent[f"{DEPTH}/{MODEL}"] < 200_000:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 143, output
    assert "told to stop" in machine.message.read_text()
    assert not list(machine.cache.glob(".locks/*/*.lock"))
    hub.speed = None
    machine.pull("--entry=depth")
    assert hub.sent[f"{DEPTH}/{MODEL}"] < len(hub.repos[DEPTH].files[MODEL]) + 200_000


HOLD = """
import sys, threading
from pathlib import Path
from model_init import lease
from model_init.store import Repository
lease.LEASE_S, lease.HEARTBEAT_S = 2.0, 0.2
with lease.hold(Repository(Path(sys.argv[1]), "a/b"), 5, threading.Event(), print):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("elsewhere", [False, True], ids=["the same machine", "another pod"])
def test_the_lock_of_a_dead_holder_is_taken_over(tmp_path: Path, monkeypatch, elsewhere: bool):
    monkeypatch.setattr(lease, "LEASE_S", 2.0)
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.2)
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    if elsewhere:
        unshare = ["unshare", "--pid", "--fork", "--kill-child"]
        if subprocess.run([*unshare, "true"], capture_output=True, timeout=20).returncode:
            pytest.skip("this machine lets us make no process namespace")
        command = [*unshare, *command]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        said: list[str] = []
        with pytest.raises(Busy, match="held by somebody else"):
            hold(Repository(tmp_path, "a/b"), 1, STOP, said.append).__enter__()
        assert said == ["a/b: somebody else pulls it; waiting"]
        holder.kill()
        holder.stdout.read()  # Until it is dead: were its stdin closed before, it would let go of the lock.
    begin = time.monotonic()
    with hold(Repository(tmp_path, "a/b"), 30, STOP, said.append):
        waited = time.monotonic() - begin
    # On the same machine its death is seen; of another pod only its silence.
    assert waited > 1 if elsewhere else waited < 1.5


def test_gc_waits_for_a_dead_holder_elsewhere_and_not_for_one_that_lives(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(lease, "LEASE_S", 2.0)
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.2)
    monkeypatch.setattr("filelock._lease.owner_is_stale", lambda *_: False)  # as seen from another machine
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        begin = time.monotonic()
        with pytest.raises(Busy, match="held by somebody else"):
            hold(Repository(tmp_path, "a/b"), 60, STOP, print, only_of_dead=True).__enter__()
        assert time.monotonic() - begin < 30, "its touches show that it lives"
        holder.kill()
        holder.stdout.read()
    with hold(Repository(tmp_path, "a/b"), 60, STOP, print, only_of_dead=True):
        pass


def test_a_lock_that_names_nobody_holds_nobody_up_for_ever(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(lease, "LEASE_S", 0.4)
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.1)
    for left in ("", "12345\nanother-machine\n"):
        repository = Repository(tmp_path, "a/b")
        repository.lock.parent.mkdir(parents=True, exist_ok=True)
        repository.lock.write_text(left)
        with hold(repository, 60, STOP, print):
            pass


def test_a_lock_that_is_held_for_too_long_is_said(machine: Machine):
    with hold(Repository(machine.cache, DEPTH), 5, STOP, print):
        output = machine.pull("--entry=depth", "--lock-timeout=1", code=9)
    assert "somebody else pulls it; waiting" in output
    assert f"error 9: {machine.cache}/.locks/" in output
