import numpy as np
import pytest

from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from imagegraph.message import Message, Tensor, merge, same

PICTURE = np.zeros((16, 16, 3), np.uint8)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1, True),
        (1, True, False),
        (1, 1.0, False),
        ("a", "a", True),
        ([1, 2], [1, 2], True),
        ([1], [True], False),
        ([1], [1.0], False),
        ([1], [1, 2], False),
        ({"a": [0]}, {"a": [False]}, False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"b": 1}, False),
        (None, "null", False),
        (np.array([1, 2]), np.array([1, 2]), True),
        (np.array([1, 2]), np.array([1.0, 2.0]), False),
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), True),
        (np.array([1, 2]), np.array([[1, 2]]), False),
        (Image.from_array(PICTURE), Image.from_array(PICTURE), True),
        (Image.from_array(PICTURE), Image.from_array(PICTURE + 1), False),
        (Tensor("BYTES", (1,), [b"a"]), Tensor("BYTES", (1,), [b"a"]), True),
        (Tensor("BYTES", (1,), [b"a"]), Tensor("BYTES", (1,), [b"b"]), False),
        (Tensor("FP32", (1,), np.array([np.nan])), Tensor("FP32", (1,), np.array([np.nan])), True),
        (Tensor("FP32", (1,), np.array([1.0])), Tensor("FP64", (1,), np.array([1.0])), False),
        (Tensor("INT64", (2, 1), np.arange(2)), Tensor("INT64", (1, 2), np.arange(2)), False),
    ],
)
def test_values_are_compared_by_type_shape_and_content(one, other, equal):
    assert same(one, other) is equal


def test_merging_unites_by_name_and_lets_equal_values_pass():
    answers = [Message({"a": 1, "b": 2}), Message({"b": 2, "c": 3})]
    assert merge(answers) == {"a": 1, "b": 2, "c": 3}


def test_two_values_of_one_name_name_both_nodes():
    answers = [Message({"depth": 1}, origin="one"), Message({}, origin="two"), Message({"depth": 2})]
    with pytest.raises(InvalidInput, match=r"depth: .*'one' and '#2', got '1 and 2'"):
        merge(answers)


def test_an_answer_keeps_the_id_of_its_request():
    answer = Message({"a": 1}, id="7", parameters={"p": 1}).with_values({"b": 2}, "node")
    assert (answer.values, answer.id, answer.origin, answer.parameters) == ({"b": 2}, "7", "node", {"p": 1})
