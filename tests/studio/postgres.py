"""A PostgreSQL of this machine, in a folder of its own; Debian's package is installed where it lacks."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests import debian
from tests.serve.conftest import free_port

USER = "postgres"  # the server does not run as root
SETTINGS = (
    "fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=32MB",
    "max_connections=200",
)  # fmt: skip


@contextlib.contextmanager
def running(address: str = "127.0.0.1", clients: str = "") -> Iterator[str]:
    """Yields the URL of a server with an empty database.

    Args:
        address: of this machine, where it listens.
        clients: a network, such as 10.0.0.0/8, from which it lets everybody in, too.

    Raises:
        debian.Missing: it can be neither found nor installed.
    """
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="studio-postgres-") as folder:
        data, port = Path(folder, "data"), free_port()
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        options = " ".join(f"-c {one}" for one in SETTINGS)
        place = f"-p {port} -c listen_addresses={address} -c unix_socket_directories={folder} {options}"
        control = [programs / "pg_ctl", "-D", data, "-w", "-s"]
        _run(programs / "initdb", "-D", data, "-A", "trust", "-U", USER, "-E", "UTF8", "--no-sync")
        if clients:
            with (data / "pg_hba.conf").open("a") as access:
                access.write(f"host all all {clients} trust\n")
        _run(*control, "-l", Path(folder, "log"), "-o", place, "start")
        try:
            yield f"postgresql+psycopg://{USER}@{address}:{port}/postgres"
        finally:
            _run(*control, "-m", "immediate", "stop")


def _programs() -> Path:
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").is_file() and (folder / "pg_ctl").is_file():
            return folder
    debian.install(["postgresql"])
    return _programs()


def _run(*command: object) -> None:
    words = [str(one) for one in command]
    if os.geteuid() == 0:
        words = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", *words]
    # What it starts keeps this output for as long as it runs.
    with tempfile.TemporaryFile("w+") as output:
        ended = subprocess.run(words, cwd="/", stdout=output, stderr=output, timeout=60)
        if ended.returncode:
            output.seek(0)
            raise RuntimeError(f"{words} failed: {output.read()}")
