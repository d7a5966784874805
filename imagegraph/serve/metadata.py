"""What V2 says of a model before it is asked."""

from __future__ import annotations

from typing import Any

from imagegraph.ports import RAW, Port
from imagegraph.serve.service import Service


def metadata(service: Service) -> dict[str, Any]:
    """Returns the V2 metadata of the model: its tensors, whose parameters are enough to make a form of.

    What no text is says so there, too: `content_type` and, of pictures, which `pixels` are one. Of an output,
    `prior` says that a request may bring it instead of having it read, and `of` names the lists of pictures
    of each of which it says something.
    """
    interface = service.interface

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

    def output(port: Port) -> dict[str, Any]:
        described = tensor(port)
        of = sorted(pictures for pictures, names in interface.columns.items() if port.name in names)
        told = {"prior": port.name in interface.priors, "of": of}
        described["parameters"] |= {name: value for name, value in told.items() if value}
        return described

    return {
        "name": service.name,
        "versions": [service.version or "1"],
        "platform": "imagegraph",
        "inputs": [tensor(port) for port in interface.inputs.values()],
        "outputs": [output(port) for port in interface.outputs.values()],
    }
