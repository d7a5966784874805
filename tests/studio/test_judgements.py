"""Blind comparisons, their tally, and judgements as files for training."""

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as parquet
import pytest
from PIL import Image as Pillow
from scipy import stats

from studio.store import exports
from studio.store.tally import Tally
from tests.studio.serving import Studio, wait_for

COLUMNS = {
    "are_different", "best_image_uid", "caption", "created_at", "has_label", "image_0_uid", "image_0_url",
    "image_1_uid", "image_1_url", "jpg_0", "jpg_1", "label_0", "label_1", "model_0", "model_1", "ranking_id",
    "user_id", "num_example_per_prompt",
}  # fmt: skip


@pytest.mark.parametrize(("a", "b"), [(0, 0), (1, 0), (0, 3), (7, 7), (30, 12), (3, 200)])
def test_the_tally_is_that_of_scipy(a: int, b: int) -> None:
    tally = Tally(a, b)
    if a + b == 0:
        assert (tally.interval, tally.p_value) == ((0, 1), 1)
        return
    test = stats.binomtest(a, a + b)
    interval = test.proportion_ci(method="wilson")
    assert tally.interval == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert tally.p_value == pytest.approx(test.pvalue, rel=1e-9)


def test_a_pair_is_drawn_shown_blind_and_revealed_by_the_choice(studio: Studio) -> None:
    arms = {"a": {"inputs": {"tint": 1}}, "b": {"inputs": {"tint": 2}}}
    asked = {**arms, "graph": "painter", "inputs": {"prompt": "a red cone", "seed": 7}, "wait": 30}
    seen: set[str] = set()
    for _ in range(3):
        pair = studio.post("/api/comparisons/next", json=asked).json()
        assert (pair["state"], pair["prompt"]) == ("ready", "a red cone")
        assert set(pair["left"]) == {"url", "thumbnail", "width", "height"}
        assert studio.get(pair["left"]["url"]).headers["content-type"] == "image/png"
        choice = {"id": pair["id"], "choice": "left"}
        answer = studio.post("/api/comparisons", json=choice).json()
        seen.add(answer["left_arm"])
        again = studio.post("/api/comparisons", json=choice)
        assert again.status_code == 200
        assert studio.post("/api/comparisons", json={**choice, "choice": "tie"}).status_code == 409
    tally = answer["tally"]
    assert tally["wins"]["a"] + tally["wins"]["b"] == 3
    expected = Tally(tally["wins"]["a"], tally["wins"]["b"])
    assert tally["p_value"] == expected.p_value
    swapped = {**asked, "a": arms["b"], "b": arms["a"]}
    pair = studio.post("/api/comparisons/next", json=swapped).json()
    answer = studio.post("/api/comparisons", json={"id": pair["id"], "choice": "both-bad"}).json()
    assert answer["tally"]["both_bad"] == 1
    assert answer["tally"]["wins"] == tally["wins"], "arms have one tally, whichever is named first"
    assert studio.get("/api/comparisons").json() == [answer["tally"]]


def test_nothing_is_told_of_a_deleted_picture_but_its_comparison_counts(studio: Studio) -> None:
    asked = {"graph": "painter", "inputs": {"prompt": "deleted", "seed": 950}, "wait": 30}
    arms = {"a": {"inputs": {"tint": 3}}, "b": {"inputs": {"tint": 4}}}
    choice = {
        "id": studio.post("/api/comparisons/next", json={**asked, **arms}).json()["id"],
        "choice": "left",
    }
    first = studio.post("/api/comparisons", json=choice).json()
    assert studio.delete(f"/api/pictures/{first['left']['id']}").status_code == 204
    assert studio.post("/api/comparisons", json=choice).json() == {**first, "left": None}


def test_the_same_key_is_the_same_pair(studio: Studio) -> None:
    asked = {"graph": "painter", "a": {"inputs": {"tint": 3}}, "b": {"inputs": {"tint": 4}}}
    drawn = {**asked, "inputs": {"prompt": "once", "seed": 70}, "wait": 30}

    def next_of(body: dict[str, Any], key: str) -> Any:
        return studio.post("/api/comparisons/next", json=body, headers={"Idempotency-Key": key})

    first = next_of(drawn, "pair").json()
    jobs = studio.get("/api/jobs").json()["total"]
    assert first["state"] == "ready"
    assert next_of(drawn, "pair").json() == first
    assert studio.get("/api/jobs").json()["total"] == jobs, "nothing is drawn again"
    assert next_of({**drawn, "graph": "paint"}, "pair").status_code == 409
    assert next_of(drawn, "other").json()["id"] != first["id"]
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(lambda _: next_of({**drawn, "wait": 0}, "at-once").json(), range(4)))
    assert len({one["id"] for one in at_once}) == 1
    wait_for(lambda: studio.get(f"/api/comparisons/{at_once[0]['id']}").json()["state"] == "ready")


def test_stored_pictures_are_paired_by_prompt_photo_and_seed(studio: Studio) -> None:
    job = studio.run("paint", {"prompt": "paired", "image": {"picture": studio.example()["id"]}})
    assert {one["prior"] for one in job["pictures"] if one["kind"] == "generated"} == {"depth", "combined"}
    arms = studio.get("/api/comparisons/arms").json()
    assert {"depth", "combined"} <= set(arms["priors"])
    asked = {"graph": "paint", "a": {"prior": "depth"}, "b": {"prior": "combined"}}
    # Their seeds differ, so they are no pair: nothing but the arm may tell them apart.
    assert studio.post("/api/comparisons/next", json=asked).status_code == 404
    same = {"graph": "paint", "a": {"prior": "depth"}, "b": {"prior": "depth"}}
    assert studio.post("/api/comparisons/next", json=same).status_code == 400


def tints(studio: Studio, pair: dict[str, Any]) -> dict[str, Any]:
    """Answers a pair; returns with which tint and steps each arm's picture was drawn."""
    said = studio.post("/api/comparisons", json={"id": pair["id"], "choice": "tie"}).json()
    drawn = [studio.get(f"/api/jobs/{said[side]['job']}").json()["inputs"] for side in ("left", "right")]
    arms = [said["left_arm"], {"a": "b", "b": "a"}[said["left_arm"]]]
    shown = {arm: (one.get("tint", 0), one.get("steps", 2)) for arm, one in zip(arms, drawn, strict=True)}
    tally = said["tally"]
    return {str(tally[arm]["inputs"].get("tint", "unsaid")): one for arm, one in shown.items()}


def test_stored_pairs_are_of_their_arms_and_differ_in_nothing_else(studio: Studio) -> None:
    for inputs in ({"tint": 11, "steps": 3}, {"tint": 12, "steps": 4}, {"tint": 12}, {}):
        studio.run("painter", {"prompt": "of their arms", "seed": 5, **inputs})

    def ask(a: Any, b: Any) -> Any:
        asked = {"graph": "painter", "a": {"inputs": a}, "b": {"inputs": b}}
        return studio.post("/api/comparisons/next", json=asked)

    assert ask({"tint": 12}, {"tint": 7}).status_code == 404, "no picture has this tint"
    assert ask({"tint": 11}, {"tint": 12}).status_code == 404, "they differ in steps, too"
    found = ask({"tint": 11, "steps": 3}, {"tint": 12, "steps": 4})
    assert tints(studio, found.json()) == {"11": (11, 3), "12": (12, 4)}
    unsaid = ask({}, {"tint": 12})
    assert tints(studio, unsaid.json()) == {"unsaid": (0, 2), "12": (12, 2)}
    assert ask({"tint": 12}, {}).status_code == 404, "there is one such pair, and it was compared"


@pytest.mark.parametrize("mine", [{"prompt": "a blue cube"}, {"seed": 8}, {"image": {"picture": "0" * 24}}])
def test_an_arm_has_no_prompt_photo_or_seed_of_its_own(studio: Studio, mine: dict[str, Any]) -> None:
    (name,) = mine
    for inputs in ({"prompt": "x", "seed": 1}, None):
        asked = {"graph": "paint", "a": {"inputs": mine}, "b": {}, "inputs": inputs}
        refused = studio.post("/api/comparisons/next", json=asked)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, f"a.inputs.{name}")


def test_where_one_arm_is_refused_the_other_is_not_drawn(studio: Studio) -> None:
    before = studio.get("/api/jobs").json()["total"]
    slow, wrong = {"step_s": 0.1, "steps": 1000}, {"tint": 101}
    for a, b in 5 * ((slow, wrong), (wrong, slow)):
        asked = {"graph": "painter", "a": {"inputs": a}, "b": {"inputs": b}, "inputs": {"prompt": "half"}}
        assert studio.post("/api/comparisons/next", json=asked).status_code == 400
    jobs = studio.get("/api/jobs").json()
    for one in jobs["items"][: jobs["total"] - before]:
        assert studio.get(f"/api/jobs/{one['id']}", params={"wait": 20}).json()["state"] == "cancelled"
    assert studio.run("painter", {"prompt": "whole"})["state"] == "done"


def test_preferences_have_the_columns_that_training_scripts_read(studio: Studio) -> None:
    job = studio.run("painter", {"prompt": "the best of three", "variants": 3})
    best = job["pictures"][1]["id"]
    assert studio.put(f"/api/jobs/{job['id']}/best", json={"picture": best}).json()["best"] == best
    table = parquet.read_table(io.BytesIO(studio.get("/api/exports/preferences.parquet").content))
    assert set(table.column_names) == COLUMNS
    rows = table.to_pylist()
    ours = [one for one in rows if one["caption"] == "the best of three"]
    assert len(ours) == 2
    for row in ours:
        assert (row["image_0_uid"], row["label_0"], row["label_1"]) == (best, 1.0, 0.0)
        assert row["best_image_uid"] == best
        for name in ("jpg_0", "jpg_1"):
            with Pillow.open(io.BytesIO(row[name])) as picture:
                assert picture.format == "JPEG"
    labels = {(one["label_0"], one["has_label"]) for one in rows if one["caption"] == "a red cone"}
    assert (0.5, False) in labels, "both bad is no preference"
    lines = studio.get("/api/exports/preferences.jsonl").text.splitlines()
    assert [json.loads(one)["image_0_uid"] for one in lines] == [one["image_0_uid"] for one in rows]


def test_ratings_are_pictures_with_words_and_stars(studio: Studio) -> None:
    picture = studio.run("painter", {"prompt": "rated", "seed": 77})["pictures"][0]
    studio.put(f"/api/pictures/{picture['id']}/rating", json={"stars": 5})
    table = parquet.read_table(io.BytesIO(studio.get("/api/exports/ratings.parquet").content))
    (row,) = [one for one in table.to_pylist() if one["text"] == "rated"]
    assert row["stars"] == 5
    image = row["image"]["bytes"]
    assert image.startswith(b"\x89PNG")
    (line,) = [one for one in studio.get("/api/exports/ratings.jsonl").text.splitlines() if "rated" in one]
    facts: dict[str, Any] = json.loads(line)
    assert base64.b64decode(facts["image"]) == image


def test_an_upload_is_none_of_our_models_whatever_it_says_of_itself(studio: Studio) -> None:
    file = studio.get(studio.run("painter", {"prompt": "posing", "seed": 90})["pictures"][0]["url"]).content
    (posing,) = studio.post("/api/pictures", files={"files": file}).json()
    assert (posing["graph"], posing["version"]) == ("painter", "pocket"), "it is recalled"
    studio.put(f"/api/pictures/{posing['id']}/rating", json={"stars": 1})
    rows = map(json.loads, studio.get("/api/exports/ratings.jsonl").text.splitlines())
    assert [one["model"] for one in rows if one["image_uid"] == posing["id"]] == [""]


def test_no_deleted_picture_is_exported(studio: Studio) -> None:
    asked = {"graph": "painter", "inputs": {"prompt": "gone", "seed": 900}, "wait": 30}
    arms = {"a": {"inputs": {"tint": 1}}, "b": {"inputs": {"tint": 2}}}
    pair = studio.post("/api/comparisons/next", json={**asked, **arms}).json()
    shown = studio.post("/api/comparisons", json={"id": pair["id"], "choice": "left"}).json()
    job = studio.run("painter", {"prompt": "gone", "seed": 910, "variants": 2})
    first, second = (one["id"] for one in job["pictures"])
    studio.put(f"/api/jobs/{job['id']}/best", json={"picture": first})
    studio.put(f"/api/pictures/{second}/rating", json={"stars": 2})

    def exported() -> tuple[int, int]:
        preferences, ratings = (
            studio.get(f"/api/exports/{name}.jsonl").text for name in ("preferences", "ratings")
        )
        return preferences.count('"caption": "gone"'), ratings.count('"text": "gone"')

    assert exported() == (2, 1)
    for id in (shown["left"]["id"], first, second):
        assert studio.delete(f"/api/pictures/{id}").status_code == 204
    assert exported() == (0, 0)


def test_datasets_reads_judgements_as_they_are(studio: Studio, tmp_path: Path) -> None:
    pictures = studio.run("painter", {"prompt": "read by others", "variants": 3})["pictures"]
    studio.put(f"/api/jobs/{pictures[0]['job']}/best", json={"picture": pictures[0]["id"]})
    studio.put(f"/api/pictures/{pictures[0]['id']}/rating", json={"stars": 4})

    def read(name: str) -> Any:
        path = tmp_path / f"{name}.parquet"
        path.write_bytes(studio.get(f"/api/exports/{name}.parquet").content)
        return datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))

    preferences, ratings = read("preferences"), read("ratings")
    assert preferences.num_rows >= 2
    assert {"jpg_0", "jpg_1", "label_0", "caption"} <= set(preferences.column_names)
    assert isinstance(preferences[0]["jpg_0"], bytes), "as Pick-a-Pic has them"
    assert ratings[0]["image"].size == (32, 32)
    assert isinstance(ratings[0]["stars"], int)


@pytest.mark.parametrize("count", [1, exports.ROWS, exports.ROWS + 1])
def test_datasets_reads_ratings_that_fill_their_last_batch_or_not(count: int, tmp_path: Path) -> None:
    file = io.BytesIO()
    Pillow.new("RGB", (3, 2)).save(file, "PNG")
    row = {"image": file.getvalue(), "text": "a red cone", "stars": 5, "user_id": 1}
    row |= {"image_uid": "one", "model": "", "created_at": datetime.now(UTC)}
    exports.write_parquet(tmp_path / "ratings.parquet", exports.RATINGS, iter([row] * count))
    loaded = datasets.Dataset.from_parquet(str(tmp_path / "ratings.parquet"), cache_dir=str(tmp_path))
    assert len(loaded) == count
    assert loaded[count - 1]["image"].size == (3, 2)
