"""What V2 says of a model before it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagegraph.ports import RAW, Port
from imagegraph.serve.service import Service


def metadata(service: Service) -> dict[str, Any]:
    """Returns the V2 metadata of the model: its tensors, whose parameters are enough to make a form of.

    What no text is says so there, too: `content_type` and, of pictures, which `pixels` are one.
    """

    def tensor(port: Port) -> dict[str, Any]:
        facts = dict(port.facts)
        if port.content_type:
            facts["content_type"] = port.content_type
        if port.holds_images:
            facts["pixels"] = RAW
        return {
            "name": port.name,
            "datatype": port.datatype,
            "shape": list(port.shape),
            "parameters": facts,
        }

    def tensors(ports: Mapping[str, Port]) -> list[dict[str, Any]]:
        return [tensor(port) for port in ports.values()]

    return {
        "name": service.name,
        "versions": [service.version or "1"],
        "platform": "imagegraph",
        "inputs": tensors(service.interface.inputs),
        "outputs": tensors(service.interface.outputs),
    }
