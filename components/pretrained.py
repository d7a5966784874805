"""Loading of models for inference, the same way for every component and once for all that are alike."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from imagegraph.component import Weights

_LOADED: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()


def pretrained(kind: Any, weights: Weights, role: str = "model") -> Any:
    """Loads a model for inference: float16 on a GPU, float32 elsewhere.

    Args:
        kind: a class with `from_pretrained`, such as `AutoModelForDepthEstimation`.
        role: which of the entry's weights.
    """
    import torch

    # CPUs compute half precision slowly or not at all, whatever the files hold.
    dtype = torch.float16 if weights.device.startswith("cuda") else torch.float32

    def load() -> Any:
        return kind.from_pretrained(weights[role], dtype=dtype).to(weights.device).eval()

    return shared(load, weights[role], kind, weights.device)


def shared(load: Callable[[], Any], folder: Path, *about: Hashable) -> Any:
    """Returns what another component of this process has loaded from the same files, or loads it.

    It must not be changed after it is loaded: it computes for all who share it, at the same time. Nobody
    loads at the same time: components are loaded one after the other.

    Args:
        load: makes an object of the files.
        about: all else that it is made of.
    """
    files = [(str(path), path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
    key = (folder, about, *((name, stat.st_mtime_ns, stat.st_size) for name, stat in files))
    found = _LOADED.get(key)
    if found is None:
        found = _LOADED[key] = load()
    return found
