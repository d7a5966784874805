"""imagegraph: one graph of image models, written once, run embedded, plain, on Seldon or on KServe.

    import imagegraph

    reimagine = imagegraph.load("reimagine")
    answer = reimagine("photo.jpg", prompt="a red cone")

What is named here is imported when it is first asked for.
"""

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imagegraph import errors as errors
    from imagegraph.answer import Answer as Answer
    from imagegraph.client import AsyncClient as AsyncClient
    from imagegraph.client import Client as Client
    from imagegraph.image import Image as Image
    from imagegraph.library.graph import Graph as Graph
    from imagegraph.library.load import load as load
    from imagegraph.library.stream import Event as Event

__version__ = "0.1.0"

_HOMES = {
    "Answer": "imagegraph.answer",
    "AsyncClient": "imagegraph.client",
    "Client": "imagegraph.client",
    "Event": "imagegraph.library.stream",
    "Graph": "imagegraph.library.graph",
    "Image": "imagegraph.image",
    "load": "imagegraph.library.load",
}
__all__ = ["Answer", "AsyncClient", "Client", "Event", "Graph", "Image", "__version__", "errors", "load"]

# Who uses the library says where its log goes; without that, it goes nowhere.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("imagegraph.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'imagegraph' has no attribute '{name}'")
    found = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
