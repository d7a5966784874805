"""Jobs: how they begin, what is told of them, how they end."""

import json
from typing import Any

import httpx
import pytest

from tests.studio.painter import paint
from tests.studio.serving import Studio, wait_for


def events(studio: Studio, job: str, after: int | None = None) -> list[tuple[str, str, dict[str, Any]]]:
    """Returns what is told of a job until it ends: number, kind and data."""
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    found = []
    with studio.stream("GET", f"/api/jobs/{job}/events", headers=headers) as answer:
        number = kind = ""
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                number = value
            elif name == "event":
                kind = value
            elif name == "data":
                found.append((number, kind, json.loads(value)))
                number = ""
    return found


def test_a_job_answers_its_pictures_the_best_first_with_scores(studio: Studio) -> None:
    job = studio.run("painter", {"prompt": "a red cone", "seed": 5, "variants": 3})
    assert (job["state"], job["seed"], job["error"]) == ("done", 5, None)
    assert [one["seed"] for one in job["pictures"]] == [5, 6, 7]
    assert job["scores"] == {"clip_prompt": [1.0, 0.5, pytest.approx(1 / 3)]}
    first = job["pictures"][0]
    assert (first["graph"], first["node"], first["prompt"]) == ("painter", "painter", "a red cone")
    assert httpx.get(studio.base_url.join(first["url"])).content.startswith(b"\x89PNG")
    assert job["outputs"]["pictures"][0]["picture"] == first["id"]


def test_without_waiting_it_is_accepted_and_found_later(studio: Studio) -> None:
    answer = studio.post("/api/graphs/painter/jobs", json={"inputs": {"step_s": 0.05}})
    assert answer.status_code == 202
    assert studio.get(answer.headers["location"], params={"wait": 30}).json()["state"] == "done"


def test_events_tell_everything_in_order_and_again_from_where_somebody_left(studio: Studio) -> None:
    answer = studio.post("/api/graphs/painter/jobs", json={"inputs": {"step_s": 0.25, "steps": 3}})
    told = events(studio, answer.json()["id"])
    kinds = [kind for number, kind, _ in told if number]
    assert kinds[:2] == ["queued", "started"]
    assert [one for one in kinds if one.startswith("node")] == [
        "node-started", "node-progress", "node-progress", "node-progress", "node-finished",
    ]  # fmt: skip
    preview = next(data for _, kind, data in told if kind == "picture-preview")
    assert preview["preview"].startswith("data:image/webp;base64,")
    assert kinds[-1] == "done"
    numbers = [int(number) for number, _, _ in told if number]
    assert numbers == sorted(set(numbers))
    later = events(studio, answer.json()["id"], after=numbers[1])
    assert later[0][0] > str(numbers[1])
    assert later[-1][1:] == told[-1][1:]


def test_cancelling_stops_the_work(studio: Studio) -> None:
    id = studio.post("/api/graphs/painter/jobs", json={"inputs": {"step_s": 0.1, "steps": 600}}).json()["id"]
    wait_for(lambda: [one["state"] for one in studio.get(f"/api/jobs/{id}").json()["nodes"]] == ["running"])
    assert studio.delete(f"/api/jobs/{id}").status_code == 202
    job = wait_for(lambda: (one := studio.get(f"/api/jobs/{id}").json())["state"] == "cancelled" and one)
    assert job["pictures"] == []
    assert [node["state"] for node in job["nodes"]] == ["cancelled"]


def test_those_that_wait_say_how_many_are_before_them(studio: Studio) -> None:
    slow = {"inputs": {"step_s": 0.1, "steps": 600}}
    ids = [studio.post("/api/graphs/painter/jobs", json=slow).json()["id"] for _ in range(4)]
    places = wait_for(
        lambda: (
            (found := [studio.get(f"/api/jobs/{one}").json()["position"] for one in ids])[2:] == [0, 1]
            and found
        )
    )
    assert places[:2] == [None, None]
    for one in reversed(ids):
        studio.delete(f"/api/jobs/{one}")
    assert wait_for(lambda: all(studio.get(f"/api/jobs/{one}").json()["state"] == "cancelled" for one in ids))


def test_a_wrong_input_is_refused_by_its_name_before_anything_runs(studio: Studio) -> None:
    for inputs, field in [({"steps": 0}, "steps"), ({"variants": "many"}, "variants")]:
        answer = studio.post("/api/graphs/painter/jobs", json={"inputs": inputs})
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        (fault,) = answer.json()["errors"]
        assert fault["field"] == field
        assert fault["expected"]
        assert fault["received"]
    assert studio.post("/api/graphs/painter/jobs", json={"inputs": {"nothing": 1}}).status_code == 404
    assert studio.post("/api/graphs/nothing/jobs", json={"inputs": {}}).status_code == 404


def test_the_same_key_is_the_same_job(studio: Studio) -> None:
    headers = {"Idempotency-Key": "one"}
    body = {"inputs": {"prompt": "once"}}
    first, again = (
        studio.post("/api/graphs/painter/jobs", json=body, headers=headers).json() for _ in range(2)
    )
    assert first["id"] == again["id"]
    other = studio.post("/api/graphs/painter/jobs", json={"inputs": {"prompt": "twice"}}, headers=headers)
    assert other.status_code == 409


def test_the_same_key_is_answered_again_though_the_photo_is_deleted_meanwhile(studio: Studio) -> None:
    (photo,) = studio.post("/api/pictures", files={"files": paint(7).data}).json()
    headers, body = {"Idempotency-Key": "gone"}, {"inputs": {"image": {"picture": photo["id"]}}}
    first = studio.post("/api/graphs/paint/jobs", json=body, headers=headers)
    assert studio.get(f"/api/jobs/{first.json()['id']}", params={"wait": 30}).json()["state"] == "done"
    assert studio.delete(f"/api/pictures/{photo['id']}").status_code == 204
    again = studio.post("/api/graphs/paint/jobs", json=body, headers=headers)
    assert (again.status_code, again.json()) == (202, first.json())
    assert studio.post("/api/graphs/paint/jobs", json=body).status_code == 404


def test_the_best_is_one_of_the_pictures_that_were_drawn(studio: Studio) -> None:
    job = studio.run("paint", {"image": {"picture": studio.example()["id"]}})
    for one in job["pictures"]:
        answer = studio.put(f"/api/jobs/{job['id']}/best", json={"picture": one["id"]})
        assert answer.status_code == (200 if one["kind"] == "generated" else 400)
    assert {"generated"} < {one["kind"] for one in job["pictures"]}


def test_a_graph_that_fails_says_where_and_why(studio: Studio) -> None:
    job = studio.run("faulty", {"number": 1})
    assert job["state"] == "failed"
    assert job["error"]["status"] == 500
    assert job["error"]["node"] == "faulty"
