"""What V2 says of a model before it is asked."""

from __future__ import annotations

from typing import Any

from imagegraph.serve.service import Service


def metadata(service: Service) -> dict[str, Any]:
    """Returns the V2 metadata of the model: its tensors, whose parameters are enough to make a form of."""
    return {
        "name": service.name,
        "versions": [service.version or "1"],
        "platform": "imagegraph",
        **service.interface.describe(),
    }
