import copy
import pickle

import numpy as np
import pytest

from imagegraph import errors
from imagegraph.errors import (
    Expired,
    ImagegraphError,
    InputTooLarge,
    InvalidInput,
    Unavailable,
    UnknownName,
    as_raised,
    forget_frames,
    shorten,
)

KINDS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ImagegraphError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_docstring_lists_every_error_with_its_status(kind):
    [line] = [line for line in errors.__doc__.splitlines() if f" {kind.__name__} " in line]
    assert str(kind.status) in line
    assert ("retryable" in line) == kind.retryable


def test_a_message_names_the_node_once_it_is_known():
    error = InvalidInput("steps", "at least 1", 0)
    assert str(error) == "steps: expected at least 1, got 0"
    error.node = "generate"
    assert str(error) == "node 'generate': steps: expected at least 1, got 0"


def test_an_unknown_name_lists_the_known_and_guesses():
    message = str(UnknownName("graph", "reimagin", ["draw", "reimagine"]))
    assert "Did you mean 'reimagine'?" in message
    assert "Available: draw, reimagine" in message
    assert str(UnknownName("graph", "x", [])) == "unknown graph 'x'"


@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_copies_and_pickles_keep_message_node_and_fields(again):
    error = InvalidInput("steps", "at least 1", 0)
    error.node = "generate"
    other = again(error)
    assert other is not error
    assert (str(other), other.field, other.node) == (str(error), "steps", "generate")


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, list(range(10**6)), nested(100_000), {"a": "b" * 10**5}, np.zeros((100, 100)), b"x" * 9999],
    ids=["text", "list", "deep", "mapping", "array", "bytes"],
)
def test_any_value_is_shortened_to_one_short_line(value):
    assert len(shorten(value)) < 120
    assert "\n" not in shorten(value)


def test_short_values_stay_as_they_are_and_long_text_tells_its_length():
    assert shorten([1, "a"]) == "[1, 'a']"
    assert shorten(b"abc") == "3 bytes"
    assert shorten("x" * 10_000).endswith("(10000 characters)")


def test_an_unknown_name_is_not_repeated_at_length():
    assert len(str(UnknownName("input", "x" * 1_000_000, ["image"]))) < 200


def test_an_error_at_its_end_forgets_its_way_and_that_of_its_causes():
    def fail():
        try:
            raise KeyError("first")
        except KeyError as cause:
            raise ValueError("second") from cause

    with pytest.raises(ValueError, match="second") as caught:
        fail()
    error = caught.value
    error.__cause__.__context__ = error  # a circle
    forget_frames(error)
    assert error.__traceback__ is error.__cause__.__traceback__ is None


@pytest.mark.parametrize(
    "raised",
    [
        InvalidInput("steps", "a number, got by hand", "x, got y"),
        InputTooLarge("image", "at most 7 pixels", "9x9"),
        UnknownName("input", "stepz", ["steps"]),
        Expired("the result is not kept any more"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("node", [None, "draw"])
def test_a_servers_refusal_is_the_error_that_was_raised_there(raised, node):
    error = copy.copy(raised)
    error.node = node
    said = ImagegraphError(str(error))
    said.status = error.status
    again = as_raised(said)
    assert (type(again), str(again), again.node) == (type(error), str(error), node)
    assert getattr(again, "field", None) == getattr(error, "field", None)
    assert str(copy.copy(again)) == str(error)


def test_other_refusals_stay_what_they_are():
    said = Unavailable("loading")
    assert as_raised(said) is said
