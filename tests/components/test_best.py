import numpy as np
import pytest

from components.best import Best
from imagegraph.errors import InvalidInput
from imagegraph.image import Image

PICTURES = [Image.from_array(np.full((16, 16, 3), shade, np.uint8)) for shade in (0, 100, 200)]


def test_the_first_of_the_order_is_chosen_and_any_other_by_its_place() -> None:
    assert Best().predict(PICTURES)["image"] is PICTURES[0]
    assert Best().predict(PICTURES, order=[2, 0, 1])["image"] is PICTURES[2]
    assert Best().predict(PICTURES, order=[2, 0, 1], place=2)["image"] is PICTURES[1]


@pytest.mark.parametrize(
    ("order", "place", "field"),
    [(None, 3, "place"), ([2, 0, 1], 3, "place"), ([0], 1, "order"), ([5, 0, 1], 0, "order")],
)
def test_a_place_without_a_picture_is_refused(order: list[int] | None, place: int, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Best().predict(PICTURES, order=order, place=place)
    assert caught.value.field == field
