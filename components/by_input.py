"""A router by what the request brings."""

from __future__ import annotations

from imagegraph.component import Router
from imagegraph.image import Image


class ByInput(Router):
    """Chooses the first child for a prompt alone, the second when there is a photo."""

    inline = True

    def route(self, image: Image | None = None) -> int:
        """Answers the index of the child."""
        return 0 if image is None else 1
