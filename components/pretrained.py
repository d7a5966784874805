"""Loading of transformers models for inference, the same way for every component."""

from __future__ import annotations

from typing import Any

from imagegraph.component import Weights


def pretrained(kind: Any, weights: Weights, role: str = "model") -> Any:
    """Loads a model for inference: float16 on a GPU, float32 elsewhere.

    Args:
        kind: a class with `from_pretrained`, such as `AutoModelForDepthEstimation`.
        role: which of the entry's weights.
    """
    import torch

    # CPUs compute half precision slowly or not at all, whatever the files hold.
    dtype = torch.float16 if weights.device.startswith("cuda") else torch.float32
    return kind.from_pretrained(weights[role], dtype=dtype).to(weights.device).eval()
