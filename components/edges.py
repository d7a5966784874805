"""Edges by Canny's detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

import numpy as np
from pydantic import Field

from components.fidelity import edges_fidelity, stretched
from imagegraph.component import Reader, Weights
from imagegraph.image import Image, working_size

Threshold = Annotated[int, Field(ge=0, le=1000, description="Gradient, in grey levels a pixel")]


class EdgesPrior(TypedDict):
    """edges: white lines on black."""

    edges: Image


class Edges(Reader):
    """Finds edges, as controlnet-aux does for the Canny ControlNets, without its imports.

    Source: Canny 1986; controlnet_aux.CannyDetector.
    """

    def __init__(self, size: int) -> None:
        """Edges are sought, and answered, at a shorter side of about `size` px."""
        self._size = size

    def load(self, weights: Weights) -> None:
        """Imports the detector; it has no weights."""
        import cv2

        self._canny = cv2.Canny

    def predict(self, image: Image, canny_low: Threshold = 100, canny_high: Threshold = 200) -> EdgesPrior:
        """Answers the edges of a picture; lines begin above `canny_high`, go on above `canny_low`."""
        picture = image.rgb()
        small = picture.resize(working_size(*picture.size, self._size))
        edges = self._canny(np.asarray(small), canny_low, canny_high)
        return {"edges": Image.from_array(np.repeat(edges[..., None], 3, axis=2))}

    def fidelity(self, control: Mapping[str, Any], again: Mapping[str, Any]) -> float:
        """Returns the F1 score of the edges."""
        return edges_fidelity(stretched(control["edges"], again["edges"].size), again["edges"].map())
