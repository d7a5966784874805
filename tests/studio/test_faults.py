"""Errors as clients read them: the field, what was expected and what came, in our own words."""

import json
import time
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.studio.serving import Studio

JSON = {"Content-Type": "application/json"}
NOBODY = "0" * 24


def told(answer: Any) -> list[tuple[str, str, str]]:
    """Returns the faults of a refusal."""
    assert answer.status_code in (400, 404, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return [(one["field"], one["expected"], one["received"]) for one in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("path", "body", "fault"),
    [
        ("generate", {}, ("prompt", "a value", "nothing")),
        ("generate", {"prompt": ""}, ("prompt", "a length of at least 1", "''")),
        ("generate", {"prompt": []}, ("prompt", "a length of at least 1", "[]")),
        ("generate", {"prompt": 5}, ("prompt", "text", "5")),
        ("generate", {"prompt": {"a": 1}}, ("prompt", "text", "{'a': 1}")),
        ("generate", {"prompt": ["a", " "]}, ("prompt.1", "text that is not blank", "' '")),
        ("boards", {"name": "x", "colour": 1}, ("colour", "no such field", "1")),
        ("boards", {"name": " "}, ("name", "text that is not blank", "' '")),
        ("boards", {"name": "x" * 201}, ("name", "a length of at most 200", repr("x" * 201))),
        ("boards", [], ("body", "an object", "[]")),
        ("session", {"token": 1}, ("token", "text", "1")),
        ("pictures/changes", {"ids": [NOBODY], "stars": 9}, ("stars", "at most 5", "9")),
        ("pictures/changes", {"ids": ["x"]}, ("ids.0", "text that matches ^[0-9a-f]{24}$", "'x'")),
    ],
)
def test_a_fault_names_the_field_in_our_words(
    studio: Studio, path: str, body: Any, fault: tuple[str, str, str]
) -> None:
    ((field, expected, received),) = told(studio.post(f"/api/{path}", json=body))
    assert (field, expected) == fault[:2]
    assert received.startswith(fault[2][:30])


@pytest.mark.parametrize(
    "body", ["{", "[" * 100_000, "9" * 5000, b"\xff"], ids=["cut", "deep", "long", "bytes"]
)
def test_what_is_no_json_is_named_so_by_every_route(studio: Studio, body: str | bytes) -> None:
    for path in ("boards", "graphs/painter/jobs", "comparisons/next", "generate"):
        ((field, expected, received),) = told(studio.post(f"/api/{path}", content=body, headers=JSON))
        assert (field, expected) == ("body", "JSON"), path
        assert received not in ("{}", "nothing")


def test_a_file_is_asked_for_as_a_file(studio: Studio) -> None:
    ((field, expected, _),) = told(studio.post("/api/pictures", data={"files": "x"}))
    assert (field, expected) == ("files.0", "a file")


def test_what_there_is_not_is_told_without_an_empty_list(studio: Studio) -> None:
    for path in (f"pictures/{NOBODY}", f"jobs/{NOBODY}", f"comparisons/{NOBODY}", f"contents/{NOBODY}"):
        assert studio.get(f"/api/{path}").json()["detail"].endswith(f"'{NOBODY}'")
    assert "Available: " in studio.get("/api/graphs/nothing").json()["detail"]
    arms = {"graph": "painter", "a": {"bundle": "none"}, "b": {}}
    refused = studio.post("/api/comparisons/next", json=arms)
    assert (refused.status_code, refused.json()["detail"][:20]) == (404, "the gallery has no p")


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"]
)
def test_any_time_can_be_asked_for(studio: Studio, at: str) -> None:
    assert studio.get("/api/pictures", params={"since": at, "until": at}).json()["total"] == 0


def test_a_time_without_a_zone_is_in_utc_wherever_the_server_is(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = datetime.fromisoformat(studio.run("painter", {})["pictures"][0]["created_at"])
    later = (made + timedelta(minutes=1)).replace(tzinfo=None).isoformat()
    try:
        with monkeypatch.context() as there:
            there.setenv("TZ", "Asia/Tokyo")
            time.tzset()
            assert studio.get("/api/pictures", params={"until": later}).json()["total"] >= 1
    finally:
        time.tzset()


@pytest.mark.parametrize(
    "number", ["9" * 4400, "9" * 19, "many", "-1"], ids=["long", "large", "word", "less"]
)
def test_an_event_that_is_none_is_refused(studio: Studio, number: str) -> None:
    url = f"/api/jobs/{studio.run('painter', {})['id']}/events"
    ((field, *_),) = told(studio.get(url, headers={"Last-Event-ID": number}))
    assert field == "Last-Event-ID"


@pytest.mark.parametrize(
    "value",
    ["9" * 30, "-" + "9" * 30, "[" * 300 + "]" * 300, '{"x":' * 300 + "1" + "}" * 300, "NaN", "Infinity"],
    ids=["large", "small", "lists", "objects", "nan", "infinity"],
)
def test_values_that_not_every_reader_of_json_takes_are_refused(studio: Studio, value: str) -> None:
    inputs = f'{{"inputs": {{"seed": {value}}}}}'
    for path, body, field in (
        ("graphs/painter/jobs", inputs, "seed"),
        ("comparisons/next", f'{{"a": {inputs}, "b": {{}}}}', "a.inputs"),
        ("comparisons/next", f'{{"a": {{}}, "b": {{"prior": "x"}}, {inputs[1:]}', "inputs"),
    ):
        ((named, *_),) = told(studio.post(f"/api/{path}", content=body, headers=JSON))
        assert named == field


def test_a_file_for_what_is_no_picture_is_refused_by_its_name(studio: Studio) -> None:
    for name in ("prompt", "steps"):
        files = [(name, ("p.txt", b"a red cone")), (name, (None, "more"))]
        for some in (files[:1], files):
            ((field, expected, _),) = told(studio.post("/api/graphs/painter/jobs", files=some))
            assert (field, expected) == (name, "no file, as it is no picture")


def test_a_form_may_name_a_stored_picture(studio: Studio) -> None:
    example = studio.example()["id"]
    form = {"image": (None, json.dumps({"picture": example}))}
    job = studio.post("/api/graphs/paint/jobs", params={"wait": 30}, files=form).json()
    assert (job["state"], job["inputs"]["image"]) == ("done", {"picture": example})


@pytest.mark.parametrize("stars", [True, "3", 3.5])
def test_stars_are_whole_numbers_and_nothing_that_looks_like_them(studio: Studio, stars: object) -> None:
    id = studio.example()["id"]
    for answer in (
        studio.put(f"/api/pictures/{id}/rating", json={"stars": stars}),
        studio.post("/api/pictures/changes", json={"ids": [id], "stars": stars}),
    ):
        assert [one[:2] for one in told(answer)] == [("stars", "a whole number")]


@pytest.mark.parametrize("path", ["/api/pictures", "/api/pictures.zip"])
def test_a_board_that_there_is_not_is_no_empty_one(studio: Studio, path: str) -> None:
    answer = studio.get(path, params={"board": NOBODY})
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("unknown board")
