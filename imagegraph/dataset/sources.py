"""Where the pictures of a data set come from: a folder, or a data set of the hub at a commit."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from imagegraph import table_lines
from imagegraph.errors import ImagegraphError, InvalidInput, MissingWeights

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
HUB_FILES = [
    "*.jpg",
    "*.jpeg",
    "*.png",
    "*.webp",
    "*.parquet",
    "*metadata.jsonl",
    "*metadata.csv",
    "README.md",
]
METADATA = ("metadata.csv", "metadata.jsonl")
TEXTS = ("text", "caption", "prompt")  # columns that say what a picture shows
UNKNOWN = "unknown"
_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
_FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Candidate:
    """A picture that may get into the data set.

    Attributes:
        name: as the source calls it.
        data: the encoded picture; nothing where it cannot be read, as `fault` says.
        text: what the source says of it.
    """

    name: str
    data: bytes
    text: str = ""
    fault: str = ""


@dataclass(frozen=True)
class Source:
    """A folder with pictures, or with Parquet files that hold some; can be gone through again.

    Attributes:
        name: of the folder, without those above it; or that of the hub, with the commit.
        licence: as the source states it.
    """

    name: str
    folder: Path
    licence: str

    def __iter__(self) -> Iterator[Candidate]:
        """Yields the pictures in the order of their names, then those that are named and not there.

        Raises:
            InvalidInput: a file of metadata cannot be read.
        """
        texts, missing = _metadata(self.folder)
        for path in sorted(_visible(self.folder)):
            name = path.relative_to(self.folder).as_posix()
            if path.suffix.lower() in ENDINGS:
                yield _of_file(path, name, texts.get(name, ""))
            elif path.suffix.lower() == ".parquet":
                yield from _of_table(path, name)
        for name, why in missing.items():
            yield Candidate(name, b"", fault=why)


def find(asked: str, licence: str | None = None) -> Source:
    """Returns the source that an argument names: a folder, else `owner/name` of the hub, maybe `@revision`.

    Args:
        licence: of its pictures, where the source does not say so or says something else.

    Raises:
        InvalidInput: it is neither, or the hub has no such data set.
        MissingWeights: the hub cannot be reached.
    """
    folder = Path(asked).expanduser()
    if asked and folder.is_dir():
        return Source(folder.resolve().name, folder, licence or _stated_licence(folder))
    named = _HUB_ID.fullmatch(asked)
    if named is None or folder.exists():
        raise InvalidInput("source", "a folder, or a data set of the hub as owner/name", asked)
    snapshot = _download(named["repo"], named["revision"])
    return Source(f"{named['repo']}@{snapshot.name}", snapshot, licence or _stated_licence(snapshot))


def _download(repo: str, revision: str | None) -> Path:
    """Returns the folder with the pictures of a data set of the hub."""
    try:
        from huggingface_hub import errors, snapshot_download
    except ImportError as error:
        raise ImagegraphError("data sets of the hub need its client: install imagegraph[models]") from error
    try:
        return Path(snapshot_download(repo, repo_type="dataset", revision=revision, allow_patterns=HUB_FILES))
    except errors.GatedRepoError as error:
        raise MissingWeights(f"{repo} is gated: accept its terms on its page, and set HF_TOKEN") from error
    except errors.RepositoryNotFoundError as error:
        raise InvalidInput("source", "a folder, or a data set that the hub has", repo) from error
    except (errors.LocalEntryNotFoundError, errors.HfHubHTTPError, OSError) as error:
        said = str(error).strip().splitlines()[0]
        raise MissingWeights(f"the data set {repo} cannot be fetched: {said}") from error


def _visible(folder: Path) -> Iterator[Path]:
    """Yields the files of a folder and of those in it, but for hidden ones."""
    for path in folder.rglob("*"):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _of_file(path: Path, name: str, text: str) -> Candidate:
    try:
        return Candidate(name, path.read_bytes(), text)
    except OSError as error:
        return Candidate(name, b"", text, error.strerror or str(error))


def _of_table(path: Path, name: str) -> Iterator[Candidate]:
    """Yields the pictures of a Parquet file in the form that `datasets` gives them, {bytes, path}."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as table:
            column = _picture_column(table.schema_arrow)
            if column is None:
                return
            text = next((one for one in TEXTS if one in table.schema_arrow.names), None)
            columns = [column, *([text] if text else [])]
            number = 0
            for batch in table.iter_batches(batch_size=16, columns=columns):
                for row in batch.to_pylist():
                    held = row[column] or {}
                    said = row[text] if text and isinstance(row[text], str) else ""
                    fault = "" if held.get("bytes") else "no picture in its row"
                    yield Candidate(f"{name}#{number}", held.get("bytes") or b"", said, fault)
                    number += 1
    except (OSError, pyarrow.ArrowException) as error:
        yield Candidate(name, b"", fault=f"no Parquet file that can be read ({error})")


def _picture_column(schema: Any) -> str | None:
    """Returns the first column whose values are pictures, as `datasets` stores them."""
    from pyarrow import types

    for field in schema:
        if types.is_struct(field.type):
            names = {field.type.field(index).name for index in range(field.type.num_fields)}
            if {"bytes", "path"} <= names:
                return str(field.name)
    return None


def _metadata(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Returns what metadata files say of pictures, and where a picture is named that is not there, by name.

    A file names pictures by their paths from where it lies; of two that name one picture, the nearer counts.

    Raises:
        InvalidInput: a line cannot be read, or names no picture.
    """
    texts: dict[str, str] = {}
    missing: dict[str, str] = {}
    files = [path for path in _visible(folder) if path.name in METADATA]
    for file in sorted(files, key=lambda path: (len(path.parts), path)):
        for number, said in table_lines.read(file, "source"):
            named = said.get("file_name")
            if not isinstance(named, str) or not named:
                raise InvalidInput(f"{file}, line {number}", "a file_name, which names a picture", said)
            path = Path(os.path.normpath(file.parent.relative_to(folder) / named))
            text = next((said[key] for key in TEXTS if said.get(key)), None)
            if not os.path.isfile(folder / path):
                missing[path.as_posix()] = (
                    f"named in {file.relative_to(folder)}, line {number}, but not there"
                )
            elif isinstance(text, str):
                texts[path.as_posix()] = text
    return texts, missing


def _stated_licence(folder: Path) -> str:
    """Returns the licence in the head of a folder's README.md, as cards of the hub have it."""
    with suppress(OSError, ValueError, yaml.YAMLError):
        front = _FRONT.search((folder / "README.md").read_text(encoding="utf-8"))
        said = yaml.safe_load(front[1]) if front else None
        licence = said.get("license") if isinstance(said, dict) else None
        if licence:
            return ", ".join(map(str, licence)) if isinstance(licence, list) else str(licence)
    return UNKNOWN
