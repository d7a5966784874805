"""Environments of servers that cannot share ours, each made once from its pinned requirements and kept.

python load-tests/environments.py      makes those of all frameworks that components are exported to
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

HERE = Path(__file__).resolve().parent
KEPT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imagegraph" / "frameworks"
PYTHON = Path(sys.executable)
UV = PYTHON.with_name("uv")


def frameworks() -> dict[str, Path]:
    """Returns the requirements of each framework that components are exported to, by its name there."""
    return {path.stem: path for path in sorted((HERE / "frameworks").glob("*.txt"))}


def of_framework(name: str, *, make: bool = True) -> Path | None:
    """Returns the interpreter of a framework's environment, which finds our own packages as well.

    Args:
        make: whether to make it where it is not there yet; else there is none.
    """
    requirements = frameworks()[name]
    if make or (_folder(requirements, _ours()) / "complete").exists():
        return environment(requirements, with_ours=True)
    return None


def environment(requirements: Path, *, with_ours: bool = False) -> Path:
    """Returns the interpreter of the environment of a file of requirements; makes it if they are new.

    Args:
        requirements: pins of everything that shall be installed, what they need included.
        with_ours: whether our own packages shall be found, too, after those of the file: for servers that
            run components, whose libraries are too large to be installed once more for each.
    """
    ours = _ours() if with_ours else ""
    folder = _folder(requirements, ours)
    python, done = folder / "bin" / "python", folder / "complete"
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may make it just now
        if not done.exists():
            print(f"making {folder}", file=sys.stderr)
            subprocess.run([UV, "venv", "--quiet", "--clear", "--python", PYTHON, folder], check=True)
            install = [UV, "pip", "install", "--quiet", "--no-deps", "--python", python]
            subprocess.run([*install, "--requirement", requirements], check=True)
            if ours:
                (_packages(folder) / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
            done.touch()
    return python


def _ours() -> str:
    return sysconfig.get_path("purelib")


def _folder(requirements: Path, ours: str) -> Path:
    # Who finds our packages is no use to another checkout.
    known = hashlib.sha256(requirements.read_bytes() + ours.encode()).hexdigest()[:12]
    return KEPT / f"{requirements.stem}-{known}"


def install_mb(python: Path) -> float:
    """Returns how much was installed into an environment, in MB of 10⁶ bytes, compiled modules left out."""
    packages = _packages(python.parents[1])
    files = (file for file in packages.rglob("*") if file.is_file() and file.suffix != ".pyc")
    return sum(file.stat().st_size for file in files) / 1e6


def closure_mb(requirement: str) -> float:
    """Returns the same of what a requirement of this environment needs, itself included."""
    found: dict[str, metadata.Distribution] = {}

    def visit(requirement: str) -> None:
        wanted = Requirement(requirement)
        one = metadata.distribution(wanted.name)
        known = f"{wanted.name}{sorted(wanted.extras)}"
        if known in found:
            return
        found[known] = one
        for needed in one.requires or []:
            marker = Requirement(needed).marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (*wanted.extras, "")):
                visit(needed)

    visit(requirement)
    files = {file.locate() for one in found.values() for file in one.files or [] if file.suffix != ".pyc"}
    return sum(Path(file).stat().st_size for file in files if Path(file).exists()) / 1e6


def _packages(folder: Path) -> Path:
    (packages,) = folder.glob("lib/python3.*/site-packages")
    return packages


if __name__ == "__main__":
    for name in frameworks():
        print(name, of_framework(name))
