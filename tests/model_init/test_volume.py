"""Volumes that are full, read-only or without links: real file systems where the machine lets us mount."""

import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.model_init.conftest import DEPTH, Machine
from tests.model_init.hub import Hub, folder

MODEL = "model.safetensors"
Mount = Callable[..., None]


@pytest.fixture
def mount(machine: Machine) -> Iterator[Mount]:
    """Mounts a small file system where the cache is; again with other options."""
    machine.cache.mkdir()

    def call(*options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(machine.cache)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        if done.returncode:
            pytest.skip(f"this machine lets us mount nothing: {done.stderr.strip()}")

    yield call
    subprocess.run(["umount", str(machine.cache)], capture_output=True, timeout=20)


def test_too_small_a_volume_is_said_before_anything_is_fetched(machine: Machine, hub: Hub, mount: Mount):
    mount("size=6m")
    output = machine.pull(code=4)
    assert "error 4: 11.7 MB must be fetched, but" in output
    assert "has 6.3 MB free; enlarge the volume or run `model-init gc --delete`" in output
    assert not hub.asked("cdn")
    machine.pull("--entry=depth")  # this fits


def test_a_volume_that_fills_meanwhile_is_said_and_the_next_run_goes_on(
    machine: Machine, hub: Hub, mount: Mount
):
    mount("size=6m")
    hub.speed = 500e3
    data = hub.repos[DEPTH].files[MODEL]
    with machine.start("pull", "--bundle=real", "--entry=depth") as process:
        while hub.sent[f"{DEPTH}/{MODEL}"] < 300_000:
            time.sleep(0.02)
        other = machine.cache / "other"
        with pytest.raises(OSError, match="No space"):
            other.write_bytes(bytes(6 * 2**20))
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 4, output
    assert f"error 4: {machine.cache}" in output
    assert "is full; enlarge it or run `model-init gc --delete`, then pull again" in output
    other.unlink()
    hub.speed = None
    hub.sent.clear()
    machine.pull("--entry=depth")
    assert 0 < hub.sent[f"{DEPTH}/{MODEL}"] < len(data)
    machine.run("verify", "--bundle=real", "--entry=depth", "--deep")


def test_a_read_only_volume_is_enough_for_what_is_there(machine: Machine, hub: Hub, mount: Mount):
    mount("size=20m")
    machine.pull("--entry=depth")
    subprocess.run(["mount", "-o", "remount,ro", str(machine.cache)], check=True, timeout=20)
    machine.pull("--entry=depth")
    machine.pull("--entry=depth", "--deep")
    output = machine.pull(code=7)
    assert f"error 7: {machine.cache} is mounted read-only, but files must be fetched; mount it" in output
    assert "error 7" in machine.run(
        "gc", "--delete", code=7, IMAGEGRAPH_CATALOGUE=str(named_by_nobody(machine))
    )


def named_by_nobody(machine: Machine) -> Path:
    path = machine.home / "other.yaml"
    path.write_text("base: none\nentries: {}\n")
    return path


REFUSE = """
import os, pathlib, sys
def refuse(*_, **__): raise OSError({number}, os.strerror({number}))
{name} = refuse
from model_init.cli import main
main(sys.argv[1:])
"""


def test_another_users_volume_is_said(machine: Machine):
    """Root may write everywhere, so the refusal is played."""
    machine.prelude = REFUSE.format(number=errno.EACCES, name="pathlib.Path.mkdir")
    output = machine.pull("--entry=depth", code=7)
    assert f"error 7: {machine.cache} does not let this user write, but files must be fetched" in output


def test_a_volume_without_links_holds_copies(machine: Machine, hub: Hub):
    machine.prelude = REFUSE.format(number=errno.EOPNOTSUPP, name="os.symlink")
    machine.pull("--entry=depth")
    place = machine.snapshot(DEPTH) / MODEL
    assert not place.is_symlink()
    assert folder(machine.snapshot(DEPTH)).items() <= hub.repos[DEPTH].files.items()
    os.truncate(place, 100)
    hub.sent.clear()
    machine.pull("--entry=depth")
    assert place.read_bytes() == hub.repos[DEPTH].files[MODEL]
    assert hub.sent[f"{DEPTH}/{MODEL}"] == 0
