"""Pictures: lists, files, uploads, what is said of them, deletion that can be undone."""

import io
from typing import Any

import pytest
from PIL import Image as Pillow

from imagegraph.run.provenance import KEY
from studio.store.gallery import MOST_TOTALS
from tests.studio.serving import SCENE, Studio


@pytest.fixture(scope="module")
def drawn(studio: Studio) -> list[dict[str, Any]]:
    """Six pictures: of two prompts, three seeds each."""
    jobs = [
        studio.run("painter", {"prompt": prompt, "seed": seed, "variants": 3})
        for prompt, seed in (("a red cone", 10), ("ein grüner Würfel", 20))
    ]
    return [one for job in jobs for one in job["pictures"]]


def listed(studio: Studio, **filters: Any) -> list[str]:
    """Returns the ids of the pictures that a filter finds."""
    answer = studio.get("/api/pictures", params=filters)
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["items"]]


def test_pages_hold_every_picture_once_the_newest_first(studio: Studio, drawn: list[dict[str, Any]]) -> None:
    found: list[str] = []
    cursor = None
    while True:
        page = studio.get(
            "/api/pictures", params={"limit": 2, "cursor": cursor} if cursor else {"limit": 2}
        ).json()
        found += [one["id"] for one in page["items"]]
        assert page["total"] == 6
        if (cursor := page["next"]) is None:
            break
    assert found == [one["id"] for one in reversed(drawn)]


def test_any_row_is_reached_at_once_and_new_pictures_move_none(
    studio: Studio, drawn: list[dict[str, Any]]
) -> None:
    first = studio.get("/api/pictures", params={"limit": 1}).json()
    late = studio.run("painter", {"seed": 99})["pictures"][0]
    there = {"offset": 4, "limit": 1, "as_of": first["as_of"]}
    page = studio.get("/api/pictures", params=there).json()
    assert page["total"] == 6
    assert page["items"][0]["id"] == drawn[1]["id"]
    assert studio.delete(f"/api/pictures/{late['id']}").status_code == 204


def test_an_old_list_is_counted_though_many_newer_ones_are_remembered(studio: Studio) -> None:
    def counted(newest: int) -> int:
        answer = studio.get("/api/pictures", params={"limit": 1, "as_of": newest})
        assert answer.status_code == 200, answer.text
        return int(answer.json()["total"])

    oldest = counted(1)
    for newest in range(10_000, 10_001 + MOST_TOTALS):
        assert counted(newest) >= 6
    assert counted(1) == oldest


@pytest.mark.parametrize(
    ("filters", "places"),
    [
        ({"q": "red"}, [2, 1, 0]),
        ({"q": "gruner WÜRF"}, [5, 4, 3]),
        ({"q": "painter cone"}, [2, 1, 0]),
        ({"q": "blue"}, []),
        ({"q": "'; drop table pictures"}, []),
        ({"graph": "painter", "version": "pocket", "q": "red"}, [2, 1, 0]),
        ({"graph": "other"}, []),
        ({"prior": "depth"}, []),
        ({"owner": "nobody"}, []),
        ({"since": "2001-01-01T00:00:00Z", "until": "2002-01-01T00:00:00Z"}, []),
        ({"kind": ["upload"]}, []),
    ],
)
def test_filters(
    studio: Studio, drawn: list[dict[str, Any]], filters: dict[str, Any], places: list[int]
) -> None:
    assert listed(studio, **filters) == [drawn[place]["id"] for place in places]


def test_stars_notes_and_boards_are_found_again(studio: Studio, drawn: list[dict[str, Any]]) -> None:
    one, other = drawn[0]["id"], drawn[1]["id"]
    assert studio.put(f"/api/pictures/{one}/rating", json={"stars": 4}).json()["stars"] == 4
    assert studio.patch(f"/api/pictures/{other}", json={"starred": True, "note": "for Ann"}).json()["starred"]
    assert listed(studio, stars=4) == [one]
    assert listed(studio, stars=5) == []
    assert listed(studio, starred=True) == [other]
    assert listed(studio, q="ann") == [other]
    board = studio.post("/api/boards", json={"name": "Cones"}).json()
    studio.put(f"/api/boards/{board['id']}/pictures", json={"ids": [one, other]})
    assert listed(studio, board=board["id"]) == [other, one]
    (shown,) = studio.get("/api/boards").json()
    assert (shown["count"], shown["cover"]["id"]) == (2, other)
    assert studio.get(f"/api/pictures/{one}").json()["boards"] == [board["id"]]
    removed = studio.request("DELETE", f"/api/boards/{board['id']}/pictures", json={"ids": [one]}).json()
    assert removed["count"] == 1
    assert studio.post("/api/boards", json={"name": "Cones"}).status_code == 409
    assert studio.delete(f"/api/boards/{board['id']}").status_code == 204
    assert studio.put(f"/api/pictures/{one}/rating", json={"stars": None}).json()["stars"] is None


def test_many_are_changed_at_once(studio: Studio, drawn: list[dict[str, Any]]) -> None:
    ids = [one["id"] for one in drawn[:3]]
    changes = {"ids": [*ids, "0" * 24], "stars": 2, "starred": True, "deleted": True}
    assert studio.post("/api/pictures/changes", json=changes).json() == {"changed": 3, "missing": ["0" * 24]}
    assert len(listed(studio)) == 3
    undo = {"ids": ids, "deleted": False, "stars": 0, "starred": False}
    studio.post("/api/pictures/changes", json=undo)
    assert len(listed(studio)) == 6
    assert listed(studio, stars=1) == []


def test_what_is_deleted_is_gone_and_can_be_restored(studio: Studio, drawn: list[dict[str, Any]]) -> None:
    url = f"/api/pictures/{drawn[5]['id']}"
    assert studio.delete(url).status_code == 204
    assert studio.get(url).status_code == 404
    assert studio.get(f"{url}/file").status_code == 404
    bytes_of_it = f"/api/contents/{drawn[5]['hash']}"
    assert studio.get(bytes_of_it).status_code == 404, "by their hash, too"
    assert studio.get(bytes_of_it, params={"size": 64}).status_code == 404
    assert len(listed(studio)) == 5
    assert studio.post(f"{url}/restore").status_code == 200
    assert studio.get(bytes_of_it).status_code == 200
    assert len(listed(studio)) == 6


def test_what_a_node_wrote_is_there_though_no_picture_has_it(studio: Studio) -> None:
    job = studio.run("painter", {"prompt": "twice", "seed": 500})
    again = studio.run("painter", {"prompt": "twice", "seed": 500})
    url = job["outputs"]["pictures"][0]["url"]
    for one in (job, again):
        assert studio.get(url).status_code == 200, "another picture has the same bytes"
        assert studio.delete(f"/api/pictures/{one['pictures'][0]['id']}").status_code == 204
    assert studio.get(url).status_code == 404


def test_a_file_carries_what_drew_it_and_is_recalled_when_it_comes_back(
    studio: Studio, drawn: list[dict[str, Any]]
) -> None:
    url = drawn[1]["url"]
    answer = studio.get(url, params={"download": True})
    assert answer.headers["cache-control"].endswith("immutable")
    assert answer.headers["content-disposition"].startswith('attachment; filename="painter-')
    with Pillow.open(io.BytesIO(answer.content)) as picture:
        assert picture.getpixel((0, 0)) == (11, 0, 0)
        assert KEY in picture.text  # type: ignore[attr-defined]
    (back,) = studio.post("/api/pictures", files={"files": ("x.png", answer.content)}).json()
    assert (back["kind"], back["prompt"], back["seed"]) == ("upload", "a red cone", 11)
    assert back["recall"]["graph"] == "painter"
    assert back["recall"]["inputs"]["prompt"] == "a red cone"
    assert studio.run("painter", back["recall"]["inputs"])["state"] == "done"


def test_an_upload_is_an_input_by_its_id_and_is_kept_once(studio: Studio) -> None:
    ids = {
        studio.post("/api/pictures", files={"files": ("scene.png", SCENE.read_bytes())}).json()[0]["id"]
        for _ in range(2)
    }
    assert len(ids) == 1
    (id,) = ids
    job = studio.run("paint", {"image": {"picture": id}})
    assert job["inputs"] == {"image": {"picture": id}}
    assert job["pictures"][0]["width"] == studio.get(f"/api/pictures/{id}").json()["width"]


def test_a_photo_comes_along_as_a_file_or_as_base64(studio: Studio) -> None:
    answer = studio.post(
        "/api/graphs/paint/jobs",
        params={"wait": 30},
        data={"seed": "3"},
        files={"image": ("scene.png", SCENE.read_bytes())},
    )
    assert (answer.json()["state"], answer.json()["seed"]) == ("done", 3)
    priors = [one for one in answer.json()["pictures"] if one["port"] == "depth"]
    assert priors[0]["kind"] in ("prior", "mask")


@pytest.mark.parametrize("size", [64, 256])
def test_thumbnails_are_small(studio: Studio, size: int) -> None:
    url = f"/api/pictures/{studio.example()['id']}/thumbnail"
    answer = studio.get(url, params={"size": size})
    with Pillow.open(io.BytesIO(answer.content)) as picture:
        assert max(picture.size) <= size
    assert studio.get(url, params={"size": 255}).status_code == 400


@pytest.mark.parametrize("what", ["file", "thumbnail", "thumbnail?size=64", "content", "content?size=64"])
def test_what_somebody_has_is_not_sent_again(studio: Studio, what: str) -> None:
    example = studio.example()
    url = f"/api/pictures/{example['id']}/{what}"
    if what.startswith("content"):
        url = f"/api/contents/{example['hash']}{what.removeprefix('content')}"
    whole, head = studio.get(url), studio.head(url)
    tag = whole.headers["etag"]
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-type", "content-length", "cache-control"):
        assert head.headers[name] == whole.headers[name]
    for told in (tag, f"W/{tag}", f'"other", W/{tag}', "*"):
        for method in ("GET", "HEAD"):
            again = studio.request(method, url, headers={"If-None-Match": told})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    for told in ('"other"', tag.strip('"'), ""):
        assert studio.get(url, headers={"If-None-Match": told}).status_code == 200
    assert "HEAD" in studio.delete(url).headers["allow"]
