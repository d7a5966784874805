import json
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from imagegraph import words
from imagegraph.image import Image
from imagegraph.ports import Array, Port, Seed, Unit


class Point(BaseModel):
    x: float = 0


@pytest.mark.parametrize(
    ("annotation", "said", "placeholder"),
    [
        (Image, "photo", "PHOTO"),
        (Image | None, "photo", "PHOTO"),
        (list[Image], "photos", "PHOTO"),
        (str, "text", "TEXT"),
        (Annotated[str, Field(max_length=9)], "text, up to 9 characters", "TEXT"),
        (list[str], "texts", "TEXT"),
        (bool, "yes or no", "YES"),
        (int, "whole number", "NUMBER"),
        (Seed, "whole number, 0 to 9007199254740991", "NUMBER"),
        (Unit, "number, 0 to 1", "NUMBER"),
        (Annotated[float, Field(gt=0, le=2)] | None, "number, above 0, up to 2", "NUMBER"),
        (Annotated[float, Field(ge=1, lt=2)], "number, 1 or more, below 2", "NUMBER"),
        (Annotated[int, Field(ge=8, multiple_of=8)], "whole number, 8 or more, in steps of 8", "NUMBER"),
        (Annotated[int, Field(le=9, json_schema_extra={"unit": "px"})], "whole number, up to 9 px", "NUMBER"),
        (Literal["a", "b"], "choice of a, b", "NAME"),
        (Annotated[list[Literal["a", "b"]], Field(min_length=1)], "some of a, b, 1 or more of them", "NAME"),
        (dict[str, float], "JSON", "JSON"),
        (Point, "JSON", "JSON"),
        (Annotated[NDArray[np.float32], Array("float32", (-1, 4))], "array of float32, any x 4", "JSON"),
    ],
)
def test_what_a_port_takes_is_said_in_words(annotation: Any, said: str, placeholder: str) -> None:
    here = Port("one", annotation, True)
    metadata = {"shape": [*here.shape], "content_type": here.content_type, **here.facts}
    for port in (here, words.Described.read(json.loads(json.dumps(metadata)))):
        assert words.takes(port) == said
        assert words.placeholder(port) == placeholder
        assert words.gives(port) == said.replace("photo", "picture")


@pytest.mark.parametrize(
    ("annotation", "default", "said"),
    [(int, None, ""), (str, "", ""), (int, 0, "0"), (list[str], ["a", "b"], "a, b"), (bool, False, "no")],
)
def test_what_stands_in_is_said(annotation: Any, default: Any, said: str) -> None:
    here = Port("one", annotation, False, default)
    for port in (here, words.Described.read({"shape": [*here.shape], **here.facts})):
        assert words.default(port) == said
    assert words.default(Port("one", annotation, True)) == "required"
