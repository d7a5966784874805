import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from imagegraph.image import Image
from imagegraph.run import provenance, save
from imagegraph.run.embedded import Embedded
from imagegraph.spec.catalogue import ROOT, Catalogue
from imagegraph.spec.graph import Node
from tests import tiny


def picture(width: int = 32, height: int = 16) -> Image:
    return Image.from_array(np.full((height, width, 3), 200, np.uint8))


def saved(folder: Path, name: str, values: dict) -> tuple[list[Path], dict]:
    catalogue = tiny.catalogue(folder)
    with Embedded(catalogue.graph(name).root, "pocket", catalogue, "cpu") as embedded:
        answer = asyncio.run(embedded.run(values))
        (folder / "out").mkdir()
        files = save.save(folder / "out", name, embedded, values, answer, {name: 0.5})
    return files, json.loads((folder / "out" / "results.json").read_text())


def test_pictures_are_written_best_first_with_their_facts(tmp_path):
    files, summary = saved(tmp_path, "paint", {"seed": 5, "image": picture()})
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
        {"seeds": 6, "steered_by": "combined", "numbers": 1.5},
    )
    assert record.sources["image"][0].sha256 == provenance.digest(picture())


def test_lists_of_pictures_of_any_name_are_written_with_what_their_entry_says_of_each(tmp_path):
    photo = picture()
    files, summary = saved(tmp_path, "film", {"image": photo, "number": 2**60})
    assert [path.name for path in files] == [
        "sheet.png",
        "frame-01-the-first-1.png",
        "frame-02-zweites-Bild-2.png",
        "frame-03-三-2.png",
        "image.png",
        "results.json",
    ]
    first = {"file": "frame-01-the-first-1.png", "port": "frames", "picture": 0}
    assert summary["pictures"][0] == {**first, "titles": "the first", "sharpness": 0.5, "shots": 1}
    assert summary["pictures"][1]["sharpness"] is None
    assert summary["answer"] == {
        "words": ["two", "only"],
        "points": [[0, 1], [1, 0]],
        "facts": {"large": 2**70, "bytes": "_w==", "many": [1], "none": None, "one": 0.5},
    }
    # What came in stays as it came; what a component made of it under the same name is written, too.
    assert (tmp_path / "out" / "source-image.png").read_bytes() == photo.data
    assert np.asarray(Image(files[4].read_bytes()).rgb()).max() == 55
    record = provenance.read(files[2])
    assert (record.port, record.picture, record.about["titles"]) == ("frames", 1, "../zweites: Bild")
    assert record.nodes["film"].settings == {"side": 32}
    frame = Image(files[1].read_bytes()).map()
    assert np.array_equal(np.round(frame * 65535).ravel(), np.arange(32 * 32)), "16 bits stay 16 bits"


def test_an_answer_without_pictures_is_a_summary_only(tmp_path):
    files, summary = saved(tmp_path, "double", {"number": 2})
    assert [path.name for path in files] == ["results.json"]
    assert summary["answer"] == {"doubled": 4}


@pytest.mark.parametrize(
    ("data", "name"), [(b"\xff\xd8\xff", ".jpg"), (b"RIFF", ".webp"), (b"\x89PNG", ".png")]
)
def test_the_photo_is_kept_as_it_came(tmp_path, data, name):
    [file] = save._sources(tmp_path, "image", [Image(data)])
    assert file.file == f"source-image{name}"
    assert (tmp_path / file.file).read_bytes() == data


def test_a_large_array_is_a_file_of_its_own(tmp_path):
    catalogue = Catalogue.read()
    photo = Image((ROOT / "pocket/examples/scene.png").read_bytes())
    with Embedded(Node(name="embed-picture"), "pocket", catalogue, "cpu") as embedded:
        answer = asyncio.run(embedded.run({"image": photo}))
        save.save(tmp_path, "embed-picture", embedded, {"image": photo}, answer, {})
    summary = json.loads((tmp_path / "results.json").read_text())
    assert "picture_embedding" not in summary["answer"]
    assert "picture_embedding.npy" in summary["files"]
    np.testing.assert_array_equal(
        np.load(tmp_path / "picture_embedding.npy"), answer.values["picture_embedding"]
    )


def test_a_sheet_shows_whole_scores_or_none():
    about = {"steered_by": "depth", "clip_prompt": 0.84, "clip_image": -0.14, "fidelity": 0.85}
    assert save._sentence(1, ["depth"], about) == "1. depth\nprompt 0.84  image -0.14  fidelity 0.85"
    assert save._sentence(2, [], about | {"sharpness_of_all": 0.5}) == (
        "2. \nprompt 0.84  image -0.14  fidelity 0.85"
    )
