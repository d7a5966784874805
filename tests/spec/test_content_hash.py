"""Hashes of values: equal ones have equal hashes, all others do not."""

import math
from typing import Any

import numpy as np
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagegraph.image import Image
from imagegraph.spec.content_hash import content_hash

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf])
    | st.floats()
    | st.sampled_from(["", "null", "None", "1", "true", "[]", "nan"])
    | st.text(st.characters(exclude_categories=[]), max_size=4)
    | st.sampled_from([b"", b"1", b"null"])
    | st.binary(max_size=4)
    | st.binary(min_size=1, max_size=4).map(Image)
    | st.sampled_from([np.zeros(2, "f4"), np.zeros((2, 1), "f4"), np.zeros(2, "i4"), np.array(1)])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)


def written(value: Any) -> str:
    """Writes a value so that only what is the same in type and content is written alike."""
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}({', '.join(map(written, value))})"
    if isinstance(value, dict):
        return f"dict({', '.join(f'{key!r}: {written(one)}' for key, one in value.items())})"
    if isinstance(value, np.ndarray):
        return f"array({value.dtype}, {value.shape}, {value.tobytes()!r})"
    if isinstance(value, Image):
        return f"image({value.data!r})"
    if isinstance(value, float):
        return "nan" if math.isnan(value) else f"float({value.hex()})"
    return f"{type(value).__name__}({value!r})"


@settings(max_examples=2000, deadline=None)
@given(VALUES, VALUES)
def test_nothing_unequal_has_equal_hashes(one: Any, other: Any) -> None:
    if content_hash(one) == content_hash(other):
        assert written(one) == written(other)
    if written(one) == written(other) and "nan" not in written(one):
        assert content_hash(one) == content_hash(other)


@pytest.mark.parametrize(
    "values",
    [
        [1, True, 1.0, "1", b"1", [1], (1,), np.array(1), np.array([1]), {"1": 1}, Image(b"1")],
        [None, "null", "None", "", [], {}, b"", 0, False, [None], float("nan"), "nan"],
        [["a", "bc"], ["ab", "c"], ["abc"], "abc", ["a", ["bc"]], [["a", "bc"]], {"a": "bc"}],
        [0.0, -0.0, 0, 2**63, -(2**63), 2**64],
        [np.zeros((0, 2), "f4"), np.zeros((2, 0), "f4"), np.zeros(0, "f4"), np.zeros(0, "u1")],
        [np.zeros((2, 3), "f4"), np.zeros((3, 2), "f4"), np.zeros(6, "f4"), np.zeros(6, "f8")],
    ],
)
def test_types_and_shapes_count(values: list[Any]) -> None:
    assert len({content_hash(value) for value in values}) == len(values)


def test_models_count_by_class_and_fields() -> None:
    class One(pydantic.BaseModel):
        strength: float = 1.0

    class Other(One): ...

    assert content_hash(One()) == content_hash(One(strength=1))
    values = [One(), One(strength=2), Other(), {"strength": 1.0}]
    assert len({content_hash(value) for value in values}) == 4


def test_what_has_no_hash_says_so() -> None:
    for value in (object(), {1, 2}, [object()], np.array([object()])):
        with pytest.raises(TypeError, match="no hash"):
            content_hash(value)
