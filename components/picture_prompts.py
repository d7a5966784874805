"""Points and boxes that ask for parts of a picture, an object each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from components.regions import MOST_REGIONS, check_boxes
from imagegraph.errors import InvalidInput
from imagegraph.ports import Array

MOST_POINTS = 64  # of one object
ABSENT = -1  # the label of a point that is none, where another object has more
PADDING = -10  # the same in SAM's own words

Points = Annotated[NDArray[np.float32], Array("float32", (-1, -1, 2))]
Labels = Annotated[NDArray[np.int64], Array("int64", (-1, -1))]


@dataclass(frozen=True)
class PicturePrompts:
    """What is asked of one picture, an object a row.

    Attributes:
        points: float32 [objects, points, 2] in px, or None.
        labels: int64 [objects, points], 1, 0 or SAM's own padding; None with the points.
        boxes: float32 [objects, 4] in px, or None.
    """

    points: NDArray[np.float32] | None
    labels: NDArray[np.int64] | None
    boxes: NDArray[np.float32] | None

    def __len__(self) -> int:
        one = self.points if self.boxes is None else self.boxes
        assert one is not None
        return len(one)


def read_prompts(points: Any, labels: Any, boxes: Any, size: tuple[int, int]) -> PicturePrompts | None:
    """Returns the prompts of a request; None where it has none.

    Args:
        size: width and height of the picture in px.

    Raises:
        InvalidInput: they are not within the picture, too many, or do not fit each other.
    """
    if points is None and labels is not None:
        raise InvalidInput("points", "points, for labels", "nothing")
    if points is None and boxes is None:
        return None
    for name, given in (("points", points), ("boxes", boxes)):
        if given is not None and not len(given):
            raise InvalidInput(name, "at least one object (or none of them for all of the picture)", "[]")
    if boxes is not None:
        check_boxes(boxes, size)
    if points is not None:
        labels = _check_points(points, labels, size)
        if boxes is not None and len(boxes) != len(points):
            raise InvalidInput("boxes", f"{len(points)} boxes, one an object with points", len(boxes))
        if boxes is None and not (labels >= 0).any(axis=1).all():
            index = int((labels >= 0).any(axis=1).argmin())
            raise InvalidInput(f"labels[{index}]", "at least one point", labels[index].tolist())
        labels = np.where(labels == ABSENT, PADDING, labels)
    return PicturePrompts(points, labels, boxes)


def _check_points(points: Any, labels: Any, size: tuple[int, int]) -> Any:
    """Returns the labels of points, after a look at both."""
    width, height = size
    if len(points) > MOST_REGIONS:
        raise InvalidInput("points", f"at most {MOST_REGIONS} objects", len(points))
    if points.shape[1] > MOST_POINTS:
        raise InvalidInput("points", f"at most {MOST_POINTS} points of an object", points.shape[1])
    if labels is None:
        labels = np.ones(points.shape[:2], np.int64)
    if labels.shape != points.shape[:2]:
        raise InvalidInput("labels", f"shape {list(points.shape[:2])}, as points", list(labels.shape))
    for index in np.argwhere((labels < ABSENT) | (labels > 1)).tolist():
        raise InvalidInput("labels[{}][{}]".format(*index), "1, 0 or -1", int(labels[tuple(index)]))
    for index in np.argwhere(labels != ABSENT).tolist():
        x, y = points[tuple(index)].tolist()
        if not (0 <= x <= width and 0 <= y <= height):  # so that NaN is refused, too
            expected = f"x within 0..{width} and y within 0..{height}"
            raise InvalidInput("points[{}][{}]".format(*index), expected, [x, y])
    return labels
