"""Weights that a platform keeps for us in an object store, brought here before they are loaded."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from imagegraph.errors import MissingWeights
from imagegraph.spec.weights import cache_folder, file_size, stays_inside

log = logging.getLogger("imagegraph.spec.bucket")

# Of a repository in the cache; blobs are what the snapshots hold, once more. Manifests vouch for the rest.
PARTS = ("refs", "snapshots", "manifests")


def bring(url: str) -> None:
    """Copies a cache that model-init has filled, at any URL that fsspec reads, into this machine's.

    Files that are here in the right size are not copied again.

    Raises:
        MissingWeights: there is no such cache, or it cannot be read, or this machine's cannot be written,
            or a name in it leads out of the cache.
    """
    import fsspec

    folder = cache_folder()
    start = time.monotonic()
    try:
        store, root = fsspec.core.url_to_fs(url)
        repositories = _repositories(store.find(root, detail=True), root)
        if not repositories:
            raise MissingWeights(
                f"{url} holds no weights: expected folders models--…, as model-init pulls them"
            )
        for number, (name, files) in enumerate(sorted(repositories.items()), 1):
            wanted = [file for file in files if file_size(folder / file.below) != file.size]
            log.info("bringing %s, %d of %d, %d files", name, number, len(repositories), len(wanted))
            for kind in PARTS:
                _copy(store, [file for file in wanted if file.below.parts[1] == kind], folder)
    except MissingWeights:
        raise
    except Exception as error:  # each store has errors of its own
        raise MissingWeights(f"cannot bring {url} to {folder}: {type(error).__name__}: {error}") from error
    log.info("%s is here after %.1f s", url, time.monotonic() - start)


class _File(NamedTuple):
    path: str
    below: PurePosixPath  # the cache
    size: int


def _repositories(found: Mapping[str, Mapping[str, Any]], root: str) -> dict[str, list[_File]]:
    """Returns the files that belong to a cache, by the folder of their repository."""
    repositories: dict[str, list[_File]] = {}
    for path, about in found.items():
        below = PurePosixPath(path).relative_to(root)
        if len(below.parts) > 2 and below.parts[0].startswith("models--") and below.parts[1] in PARTS:
            if not stays_inside(path.removeprefix(root).removeprefix("/")):
                raise MissingWeights(f"{path} leads out of the cache: nothing of it was brought")
            repositories.setdefault(below.parts[0], []).append(_File(path, below, about["size"]))
    return repositories


def _copy(store: Any, files: Sequence[_File], folder: Path) -> None:
    """Brings files beside their places and then renames them, so that none is there in part."""
    places = [folder / file.below for file in files]
    fresh = [place.with_name(f".{place.name}.new") for place in places]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
    store.get([file.path for file in files], [str(one) for one in fresh])
    for one, place in zip(fresh, places, strict=True):
        os.replace(one, place)
