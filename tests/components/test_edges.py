"""Edges are those that the ControlNets of controlnet-aux were trained on."""

import numpy as np
import pytest
from controlnet_aux import CannyDetector

from components.edges import Edges
from imagegraph.image import Image, working_size
from imagegraph.spec.catalogue import ROOT


@pytest.mark.parametrize("name", ["scene.png", "photo.jpg"])
@pytest.mark.parametrize("size", [128, 512])
@pytest.mark.parametrize("thresholds", [(100, 200), (20, 50)])
def test_edges_are_equal_to_controlnet_auxs(name: str, size: int, thresholds: tuple[int, int]) -> None:
    photo = Image((ROOT / "pocket" / "examples" / name).read_bytes())
    edges = Edges(size)
    edges.load({})
    found = np.asarray(edges.predict(photo, *thresholds)["edges"].rgb())
    small = photo.rgb().resize(working_size(*photo.size, size))
    side = min(small.size)
    expected = CannyDetector()(np.asarray(small), *thresholds, detect_resolution=side, image_resolution=side)
    assert np.array_equal(found, expected)
    assert found.any()
