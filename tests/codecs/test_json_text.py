import pytest

from imagegraph.codecs import json_text
from imagegraph.errors import InputTooLarge, InvalidInput


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"[[],[],[],[]]", "at most 4 lists and objects, got '5'"),
        (b'{"a":{"b":{"c":[{}]}}}', "at most 4 lists and objects, got '5'"),
        (b"[" * 500 + b"]" * 500, "at most 4 lists and objects, got '500'"),
        (b"[" + b"1," * 17 + b"1]", "at most 16 values, got '17'"),
        ("{" + ",".join(f'"é{one}":null' for one in range(18)) + "}", "at most 16 values, got '17'"),
    ],
)
def test_json_of_too_many_objects_is_refused_before_it_is_parsed(text, expected):
    with pytest.raises(InputTooLarge, match=f"where: expected JSON of {expected}"):
        json_text.parse(text, "where", 4)


@pytest.mark.parametrize("text", [b"[[],[],[]]", '{"a": [1, 2], "b": {"c": [4]}}', b'["' + b"x" * 99 + b'"]'])
def test_json_within_its_bounds_is_read(text):
    assert json_text.parse(text, "where", 4)


def test_what_is_no_json_says_where_it_stands():
    with pytest.raises(InvalidInput, match="where: expected JSON"):
        json_text.parse(b"[[],[],[]", "where", 4)


def test_a_picture_as_nested_numbers_is_within_the_bounds_of_a_body():
    body = b"[" + b",".join([b"[" + b",".join([b"[1,2,3]"] * 1024) + b"]"] * 1024) + b"]"
    assert len(json_text.parse(body, "body")) == 1024
