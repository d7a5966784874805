"""Programs of Debian that tests need, installed where they are missing; by the standard library alone."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imagegraph" / "debian"


class Missing(Exception):
    """The machine lacks something; the message says what to do."""


def program(name: str, *packages: str) -> str:
    """Returns the path of a program, which the packages bring if it is not there."""
    found = shutil.which(name)
    if found is None:
        install(list(packages))
        found = shutil.which(name)
    if found is None:
        raise Missing(f"{', '.join(packages)} brought no {name}")
    return found


def install(packages: list[str]) -> None:
    """Installs packages, one caller after the other.

    Raises:
        Missing: they cannot be installed here.
    """
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Missing(f"install these packages (names as Debian has them): {' '.join(packages)}")
    print(f"installing {' '.join(packages)}", file=sys.stderr, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *packages]
    CACHE.mkdir(parents=True, exist_ok=True)
    log = CACHE / "apt.log"
    with (CACHE / "lock").open("w") as lock, log.open("w") as output:
        fcntl.flock(lock, fcntl.LOCK_EX)  # apt itself would fail beside another
        for command in (["apt-get", "update", "-qq"], install):
            if subprocess.run(command, env=environment, stdout=output, stderr=output).returncode:
                raise Missing(f"{' '.join(command)} failed: {log.read_text()[-2000:]}")
