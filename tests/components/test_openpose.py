"""Bodies are drawn as those that the ControlNets of controlnet-aux were trained on."""

import numpy as np
from controlnet_aux.open_pose.body import Keypoint
from controlnet_aux.open_pose.util import draw_bodypose

from components.openpose import draw_body


def test_bodies_are_equal_to_controlnet_auxs() -> None:
    random = np.random.default_rng(0)
    for height, width in [(512, 512), (512, 768), (300, 200)]:
        ours, theirs = (np.zeros((height, width, 3), np.uint8) for _ in range(2))
        for _ in range(20):
            # Some points are not seen, and some lie outside of the picture.
            seen = [None if one[2] < 0.2 else (one[0], one[1]) for one in random.uniform(-0.1, 1.1, (18, 3))]
            draw_body(ours, seen)
            draw_bodypose(theirs, [one and Keypoint(*one) for one in seen])
            assert np.array_equal(ours, theirs)
        assert ours.any()
