"""What V2 says of a model before it is asked."""

from __future__ import annotations

from typing import Any

from imagegraph.serve.service import Service


def metadata(service: Service) -> dict[str, Any]:
    """Returns the V2 metadata of the model: its tensors, whose parameters are enough to make a form of."""
    known = {
        "name": service.name,
        "versions": [service.version or "1"],
        "platform": "imagegraph",
        **service.interface.describe(),
    }
    # Beside what V2 has: between which versions of the graph a client may choose by X-Predictor.
    return known | ({"predictors": service.predictors} if len(service.predictors) > 1 else {})
