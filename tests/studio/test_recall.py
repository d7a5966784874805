"""A picture that is taken elsewhere draws itself again: by `imagegraph replay`, and dropped onto a page."""

import contextlib
from pathlib import Path
from typing import Any

import pytest

from imagegraph.cli.app import command_line
from tests.studio.serving import SCENE, Studio, catalogue, running, settings


@pytest.fixture(scope="module")
def drawn(studio: Studio) -> dict[str, Any]:
    """A picture that was drawn from a photo."""
    inputs = {"image": {"picture": studio.example()["id"]}, "seed": 12, "prompt": "far away"}
    job = studio.run("paint", inputs)
    assert job["state"] == "done", job["error"]
    return next(one for one in job["pictures"] if one["kind"] == "generated")


def test_a_file_opens_with_replay_and_is_drawn_bit_equal(
    studio: Studio, drawn: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(studio.get(drawn["url"]).content)
    record = studio.get(f"/api/pictures/{drawn['id']}").json()["provenance"]
    (source,) = record["sources"]["image"]
    (tmp_path / source["file"]).write_bytes(studio.get(f"/api/contents/{source['sha256']}").content)
    with contextlib.suppress(SystemExit):
        command_line(["replay", str(file), "--catalogue", str(catalogue(tmp_path)), "--device", "cpu"])
    told = capsys.readouterr()
    assert "bit-equal" in told.out, told.err
    assert (tmp_path / "picture-replayed.png").is_file()


def test_a_file_dropped_onto_another_studio_brings_its_settings_and_draws_the_same(
    studio: Studio, drawn: dict[str, Any], tmp_path: Path
) -> None:
    file = studio.get(drawn["url"]).content
    with running(settings(tmp_path)) as other:
        url = "/api/pictures"
        (dropped,) = other.post(url, files={"files": ("drop.png", file)}).raise_for_status().json()
        assert [dropped[one] for one in ("prompt", "seed", "prior")] == ["far away", 13, "combined"]
        recall = dropped["recall"]
        assert recall["graph"] == "paint"
        # The photo is known there, too: it is the example that every studio has.
        assert recall["inputs"]["image"] == {"picture": other.example()["id"]}
        job = other.run("paint", recall["inputs"])
        again = next(one for one in job["pictures"] if one["prior"] == drawn["prior"])
        assert again["hash"] == drawn["hash"]
        # Where a photo is not known, the rest is recalled; once somebody brings it, so is the photo.
        photo = SCENE.read_bytes() + b"another one"
        theirs = studio.post(url, files={"files": photo}).json()[0]["id"]
        drawn_there = studio.run("paint", {"image": {"picture": theirs}, "seed": 3})["pictures"][0]
        file = studio.get(drawn_there["url"]).content
        (dropped,) = other.post(url, files={"files": ("drop.png", file)}).json()
        assert "image" not in dropped["recall"]["inputs"]
        (brought,) = other.post(url, files={"files": photo}).json()
        recall = other.get(f"{url}/{dropped['id']}").json()["recall"]
        assert recall["inputs"]["image"] == {"picture": brought["id"]}
