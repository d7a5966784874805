"""Whether a folder of weights is whole, as far as that can be seen without loading it.

The hub's own client takes a folder for complete as soon as it is there; a copy, a full disk or a checkout
without Git LFS leave less in it. Hashes are the business of model-init.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

POINTER = b"version https://git-lfs.github.com/spec/"
ZIPPED = {".bin", ".ckpt", ".pt", ".pth"}  # torch's own format; older files are no archives
TEXTS = {"", ".json", ".md", ".py", ".txt", ".yaml", ".yml"}  # beside weights


def faults(folder: Path) -> list[str]:
    """Returns what is wrong, a phrase a file."""
    files = [path for path in sorted(folder.rglob("*")) if not path.is_dir()]
    if not files:
        return ["no files are in it"]
    found = [f"{path.relative_to(folder)} {fault}" for path in files if (fault := _fault(path))]
    return found or [f"{path.relative_to(folder)} is missing" for path in _missing(folder)]


def _fault(path: Path) -> str:
    """Says what is wrong with one file, or nothing."""
    if not path.exists():
        return "is a link to nothing"
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            return "is a pointer of Git LFS"
    whole = True
    if path.suffix == ".safetensors":
        whole = _is_whole_safetensors(path)
    elif path.suffix == ".json":
        whole = _json(path) is not None
    elif path.suffix in ZIPPED:
        with path.open("rb") as file:
            whole = file.read(4) != b"PK\x03\x04" or zipfile.is_zipfile(file)
    return "" if whole else "is cut off"


def _is_whole_safetensors(path: Path) -> bool:
    """Whether a file is as long as its head says.

    Source: the format's description in huggingface/safetensors.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= size - 8:
            return False
        try:
            head = json.loads(file.read(length))
            ends = [one["data_offsets"][1] for name, one in head.items() if name != "__metadata__"]
        except (ValueError, AttributeError, KeyError, TypeError, IndexError):
            return False
    return size == 8 + length + max(ends, default=0)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        return None


def _missing(folder: Path) -> Iterator[Path]:
    """Yields the files and folders that others name, but which are not there."""
    models = [folder]
    index = folder / "model_index.json"
    if index.is_file():
        for part, kind in dict(_json(index)).items():
            if isinstance(kind, list) and any(kind):
                models.append(folder / part)
    for model in models:
        if not model.is_dir():
            yield model
        elif (model / "config.json").is_file():
            shards = {
                model / name
                for path in model.glob("*.index.json")
                for name in _json(path).get("weight_map", {}).values()
            }
            yield from (shard for shard in sorted(shards) if not shard.is_file())
            if all(path.suffix in TEXTS for path in model.iterdir()):
                yield model / "*.safetensors"
