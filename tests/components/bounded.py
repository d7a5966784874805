"""Where masks of a box may be."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def bounded(box: Sequence[float], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Returns the pixels of a picture that are within a box, or nearly."""
    left, top, right, bottom = box
    stray = 0.05 * max(right - left, bottom - top)
    x, y = np.arange(size[0]) + 0.5, np.arange(size[1])[:, None] + 0.5
    across, down = (left - stray < x) & (x < right + stray), (top - stray < y) & (y < bottom + stray)
    return across & down
