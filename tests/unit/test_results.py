import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
import tiny

from imagegraph import provenance, results
from imagegraph.embedded import Embedded
from imagegraph.image import Image


def picture(width: int = 32, height: int = 16) -> Image:
    return Image.from_array(np.full((height, width, 3), 200, np.uint8))


def save(folder: Path, name: str, values: dict) -> tuple[list[Path], dict]:
    catalogue = tiny.catalogue(folder)
    with Embedded(catalogue.graph(name).root, "pocket", catalogue, "cpu") as embedded:
        answer = asyncio.run(embedded.run(values))
        files = results.save(folder / "out", name, embedded, values, answer, {name: 0.5})
    return files, json.loads((folder / "out" / "results.json").read_text())


def test_pictures_are_written_best_first_with_their_facts(tmp_path):
    files, summary = save(tmp_path, "paint", {"seed": 5, "image": picture()})
    names = [path.name for path in files]
    assert names == [
        "sheet.png",
        "picture-01-combined-6.png",
        "picture-02-depth-5.png",
        "depth.png",
        "results.json",
    ]
    assert [(one["picture"], one["steered_by"], one["seeds"]) for one in summary["pictures"]] == [
        (1, "combined", 6),
        (0, "depth", 5),
    ]
    assert summary["seconds"] == {"paint": 0.5}
    assert summary["parameters"] == {"seed": 5, "prompt": ""}
    record = provenance.read(files[1])
    assert (record.picture, record.parameters, record.about) == (
        1,
        {"seed": 5, "prompt": ""},
        {"seeds": 6, "steered_by": "combined"},
    )
    assert record.sources["image"][0].sha256 == provenance.digest(picture())


def test_pictures_of_the_run_before_are_gone(tmp_path):
    (tmp_path / "results.json").write_text('{"pictures": [{"file": "picture-09-old.png"}]}')
    for name in ("picture-09-old.png", "holiday.png"):
        (tmp_path / name).write_bytes(b"")
    results._forget(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holiday.png", "results.json"]


def test_an_answer_without_pictures_is_a_summary_only(tmp_path):
    files, summary = save(tmp_path, "double", {"number": 2})
    assert [path.name for path in files] == ["results.json"]
    assert summary["answer"] == {"doubled": 4}


@pytest.mark.parametrize(
    ("data", "name"), [(b"\xff\xd8\xff", ".jpg"), (b"RIFF", ".webp"), (b"\x89PNG", ".png")]
)
def test_the_photo_is_kept_as_it_came(tmp_path, data, name):
    [file] = results._sources(tmp_path, "image", [Image(data)])
    assert file.file == f"source-image{name}"
    assert (tmp_path / file.file).read_bytes() == data


@pytest.mark.parametrize("title", ["a red sphere", "", "👩‍🚀 Würfel\nzwei", "x" * 5000])
def test_a_contact_sheet_shows_every_row_under_a_title(title):
    sheet = results.contact_sheet(
        title, [[("one", picture(16, 64)), ("two", picture())], [], [("b", picture())]]
    )
    assert sheet.width == results.GAP + 2 * (results.CELL + results.GAP)
    grey = np.asarray(sheet)[..., 0] == 200
    assert grey.sum() > 3 * results.CELL * results.CELL // 5
