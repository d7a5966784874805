"""One of several pictures, for nodes that look at one."""

from __future__ import annotations

from typing import Annotated, TypedDict

from pydantic import Field

from imagegraph.component import Component
from imagegraph.errors import InvalidInput
from imagegraph.image import Image


class Chosen(TypedDict):
    """image: the picture chosen."""

    image: Image


class Best(Component):
    """Chooses the best of several pictures, or the one at another place of their order."""

    inline = True

    def predict(
        self,
        pictures: Annotated[list[Image], Field(min_length=1)],
        order: Annotated[
            list[int] | None, Field(description="Indices of the pictures, best first; else as they come")
        ] = None,
        place: Annotated[int, Field(ge=0, description="Which to look at: 0 is the best")] = 0,
    ) -> Chosen:
        """Answers the picture at a place.

        Raises:
            InvalidInput: there is none at that place.
        """
        if place >= len(pictures):
            raise InvalidInput("place", f"0 to {len(pictures) - 1}, the pictures' places", place)
        index = place if order is None else order[place] if place < len(order) else -1
        if not 0 <= index < len(pictures):
            raise InvalidInput("order", f"each of 0 to {len(pictures) - 1} once", order)
        return {"image": pictures[index]}
