"""Where weights come from, and where they are on this machine: the project, or a cache that was pulled."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field

from imagegraph.errors import MissingWeights
from imagegraph.spec import snapshot
from imagegraph.spec.strict_yaml import Strict

ROOT = Path(__file__).resolve().parents[2]
REVISION = re.compile(r"[0-9a-f]{40}")


class Source(Strict):
    """A repository of the hub at a commit, a folder, or a folder of an object store at a content hash.

    Attributes:
        kind: what it is for its component: part of the model itself (`base`, `vae`), or one of any number
            that steer it (`control`) or change it (`adapter`).
        files: of a repository, the paths that are taken; what `from_pretrained` reads when None.
    """

    repo: Annotated[str | None, Field(pattern=r"^[\w.-]+/[\w.-]+$")] = None
    path: str | None = None
    url: Annotated[str | None, Field(pattern=r"^[a-z][a-z0-9+.-]*://.")] = None
    revision: Annotated[str | None, Field(pattern=r"^[0-9a-f]{40}$")] = None
    kind: Literal["base", "vae", "control", "adapter"] = "base"
    files: Annotated[tuple[str, ...] | None, Field(min_length=1)] = None

    @pydantic.model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(one is not None for one in (self.repo, self.path, self.url)) != 1:
            raise ValueError("needs one of 'repo', 'path' and 'url'")
        if self.repo and not self.revision:
            raise ValueError(f"'{self.repo}' is not pinned: needs 'revision', a commit of 40 hex digits")
        if self.url and not self.revision:
            raise ValueError(f"'{self.url}' is not pinned: needs 'revision', as `model-init hash` prints it")
        if self.path and self.revision:
            raise ValueError("'revision' belongs to 'repo' and 'url'")
        if self.files and not self.repo:
            raise ValueError("'files' belongs to 'repo'")
        return self

    def __str__(self) -> str:
        return str(self.repo or self.path or self.url)

    @property
    def repository(self) -> str:
        """The name under which a cache keeps the weights: that of the hub, or one made of the address."""
        if self.repo:
            return self.repo
        slug = re.sub(r"[^\w]+", "-", str(self)).strip("-").lower()
        # Different addresses may read the same without their punctuation.
        return f"imagegraph/{slug}-{hashlib.sha256(str(self).encode()).hexdigest()[:8]}"

    @property
    def project_folder(self) -> Path | None:
        """The folder that `path` names, if this machine has it."""
        folder = ROOT / self.path if self.path else None
        return folder if folder and folder.is_dir() else None

    @property
    def version(self) -> str:
        """The commit, or a hash of the folder's files.

        Raises:
            MissingWeights: the weights are neither in the project nor in the cache.
        """
        if self.revision:
            return self.revision
        if folder := self.project_folder:
            return folder_version(folder)
        main = cached(self.repository) / "refs" / "main"
        if not main.is_file():
            raise MissingWeights(f"weights of {self} are not on this machine")
        version = main.read_text().strip()
        if not REVISION.fullmatch(version):  # it names a folder
            raise MissingWeights(f"weights of {self} are not on this machine: {main} names no revision")
        return version

    def folder(self) -> Path:
        """Returns the folder that holds the weights on this machine.

        Raises:
            MissingWeights: they are not here, or not all.
        """
        if folder := self.project_folder:
            return self._whole(folder)
        home = cached(self.repository)
        folder = home / "snapshots" / self.version
        manifest = Manifest.read(home, self.version)
        if manifest is not None:
            broken = manifest.missing(folder)
            if broken:
                raise MissingWeights(f"weights of {self} are incomplete in {home}: {', '.join(broken)}")
            return folder
        if self.repo and (found := _downloaded(self.repo, self.version)):
            return self._whole(found)
        raise MissingWeights(f"weights of {self} are not on this machine: nothing at {folder}")

    def _whole(self, folder: Path) -> Path:
        if found := snapshot.faults(folder):
            raise MissingWeights(f"weights of {self} are incomplete in {folder}: {', '.join(found)}")
        return folder


def _downloaded(repo: str, revision: str) -> Path | None:
    """The folder of a repository that the hub's own client has put into the cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(repo, revision=revision, cache_dir=cache_folder(), local_files_only=True)
        )
    except LocalEntryNotFoundError:
        return None


class File(Strict):
    """A file of a snapshot as it was when its hash was last right."""

    size: int
    mtime_ns: int
    digest: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64}|git:[0-9a-f]{40})$")]


class Manifest(Strict):
    """What a snapshot holds; written last, so that a snapshot with a manifest was complete and right.

    Attributes:
        files: by path in the snapshot.
        verified: when all hashes were last computed, in UTC.
    """

    source: str
    files: Mapping[str, File]
    verified: str

    @staticmethod
    def path(home: Path, revision: str) -> Path:
        """Returns the manifest's place in a repository's folder of the cache."""
        return home / "manifests" / f"{revision}.json"

    @classmethod
    def read(cls, home: Path, revision: str) -> Manifest | None:
        """Reads a manifest; None if there is none, or none that can be read."""
        try:
            return cls.model_validate_json(cls.path(home, revision).read_bytes())
        except (FileNotFoundError, pydantic.ValidationError):
            return None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    def missing(self, snapshot: Path) -> list[str]:
        """Returns the paths at which no file of the right size is."""
        return [path for path, file in self.files.items() if file_size(snapshot / path) != file.size]


def stays_inside(path: str) -> bool:
    """Whether a path that somebody else has named stays below the folder that it is meant for."""
    return "\0" not in path and not {"", ".", ".."}.intersection(path.split("/"))


def file_size(path: Path) -> int | None:
    """Returns the size of a file, links followed; None if there is no such file."""
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None


def cache_folder() -> Path:
    """Returns the folder of the Hugging Face cache, by the hub's own variables."""
    home = os.environ.get("XDG_CACHE_HOME", "~/.cache") + "/huggingface"
    folder = os.environ.get("HF_HUB_CACHE") or os.environ.get("HF_HOME", home) + "/hub"
    return Path(os.path.expandvars(folder)).expanduser()


def cached(repository: str) -> Path:
    """Returns the folder of a repository in the cache."""
    return cache_folder() / repository_folder(repository)


def repository_folder(repository: str) -> str:
    """Returns the name of a repository's folder in a Hugging Face cache."""
    return "--".join(["models", *repository.split("/")])


@lru_cache
def folder_version(folder: Path) -> str:
    """Returns a hash of a folder's files, names and contents."""
    digests = {}
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                digests[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").digest()
    return content_version(digests)


def content_version(digests: Mapping[str, bytes]) -> str:
    """Returns one hash of the sha256 digests of a folder's files, by their paths."""
    total = hashlib.sha256()
    for path in sorted(digests, key=lambda path: PurePosixPath(path).parts):
        total.update(path.encode())
        total.update(digests[path])
    return total.hexdigest()[:40]
