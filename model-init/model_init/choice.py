"""Which files of a repository `from_pretrained` reads: one format, one variant, no duplicates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

PIPELINE = "model_index.json"
SHARD = re.compile(r"-\d{5}-of-\d{5}$")
STEMS = ("model", "pytorch_model", "diffusion_pytorch_model")
FORMATS = ("safetensors", "bin")  # the best first
TEXTS = {".json", ".txt", ".model", ".jinja", ".tiktoken"}


def needed(paths: Iterable[str], pipeline: Mapping[str, Any] | None) -> list[str]:
    """Returns the files of a repository that loading it reads.

    Args:
        paths: all files of the repository.
        pipeline: what `model_index.json` says, if there is one: only the folders of its components
            are read, and nothing beside them (such as single-file checkpoints of the same weights).
    """
    folders: dict[str, list[PurePosixPath]] = {}
    for path in map(PurePosixPath, paths):
        folders.setdefault(str(path.parent), []).append(path)
    if pipeline is not None:
        parts = [name for name, made_by in pipeline.items() if isinstance(made_by, list) and any(made_by)]
        files = [path for name in parts for path in _loaded(folders.get(name, []))]
        return sorted([PIPELINE, *files])
    root = _loaded(folders.get(".", []))
    if any(path.endswith(FORMATS) for path in root):
        return sorted(root)
    return sorted(path for files in folders.values() for path in _loaded(files))


def _loaded(files: list[PurePosixPath]) -> list[str]:
    """Of the files in one folder, those that are read: weights in the best format, and all texts."""
    texts = [path for path in files if path.suffix in TEXTS and not path.name.startswith(".")]
    return [*_weights(files), *(str(path) for path in texts if ".index." not in path.name)]


def _weights(files: list[PurePosixPath]) -> list[str]:
    for ending in FORMATS:
        found = {path.name.removesuffix(f".{ending}"): path for path in files if path.suffix == f".{ending}"}
        # Names such as model.fp16 or diffusion_pytorch_model.non_ema are variants: read only when asked for.
        plain = {name: path for name, path in found.items() if SHARD.sub("", name) in STEMS}
        # A whole file beside its own shards holds the same.
        whole = {name for name in plain if name in STEMS}
        shards = {SHARD.sub("", name) for name in plain} - whole
        if plain:
            kept = [path for name, path in plain.items() if name in whole or SHARD.sub("", name) in shards]
            indexes = {f"{stem}.{ending}.index.json" for stem in shards}
            return [str(path) for path in [*kept, *(path for path in files if path.name in indexes)]]
        if found and ending == "safetensors":  # adapters have names of their own
            return [str(path) for path in found.values()]
    return []
