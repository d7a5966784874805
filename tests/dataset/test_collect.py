"""The whole way, by the command, to a folder that `datasets` loads."""

import errno
import json
import shutil
from collections import Counter
from pathlib import Path

import datasets
import pytest
import yaml
from PIL import Image as Pillow

from imagegraph.dataset import collect, sources
from imagegraph.dataset.collect import Wanted
from imagegraph.dataset.splits import Splits
from imagegraph.errors import ImagegraphError, InvalidInput
from tests.cli.commands import run


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for path in folder.glob("*/metadata.jsonl") for line in path.open()]


def test_datasets_loads_what_is_written_split_by_split(photos, tmp_path):
    said = run("dataset", str(photos), "-o", str(tmp_path / "data"), "--size", "64", "--validation", "0.3")
    assert "kept          24" in said
    loaded = datasets.load_dataset(str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "validation"}
    assert loaded["train"].num_rows + loaded["validation"].num_rows == 24
    assert 1 <= loaded["validation"].num_rows <= 14
    first = loaded["train"][0]
    assert first["image"].size == (64, 64)
    assert first["image"].mode == "RGB"
    assert {"source", "sha256", "licence", "width", "height"} <= set(first)


def test_datasets_loads_splits_of_which_only_one_knows_a_copyright_and_texts(photos, tmp_path, scenes):
    exif = Pillow.Exif()
    exif[0x8298] = "Ann Example"
    scenes[0].save(photos / "scene_00.png", exif=exif)
    (photos / "metadata.jsonl").write_text('{"file_name": "scene_00.png", "text": "a red cube"}\n')
    data = tmp_path / "data"
    run("dataset", str(photos), "-o", str(data), "--size", "64", "--validation", "0.3")
    assert len([*data.glob("*/metadata.jsonl")]) == 2
    loaded = datasets.load_dataset(str(data), cache_dir=str(tmp_path / "cache"))
    rows = [row for split in loaded.values() for row in split]
    assert sorted({(row["copyright"], row["text"]) for row in rows}) == [
        ("", ""),
        ("Ann Example", "a red cube"),
    ]
    card = (data / "README.md").read_text()
    assert "A text says what is shown on 1 picture." in card
    assert "Who has the copyright is known of 1 picture:" in card


def test_names_of_files_are_captions_where_that_is_wanted(photos, tmp_path):
    shutil.copy(photos / "scene_00.png", photos / "a_red_cube.png")
    (photos / "scene_00.png").unlink()
    (photos / "metadata.jsonl").write_text('{"file_name": "scene_02.webp", "text": "what its source says"}\n')
    run("dataset", str(photos), "-o", str(tmp_path / "data"), "--captions", "names")
    texts = {Path(line["source"]).name: line["text"] for line in lines(tmp_path / "data")}
    assert texts["a_red_cube.png"] == "a red cube"
    assert texts["scene_02.webp"] == "what its source says"


def test_a_model_says_what_pictures_show(tmp_path, scenes):
    folder = tmp_path / "few"
    folder.mkdir()
    for index in range(2):
        scenes[index].save(folder / f"{index}.png")
    run("dataset", str(folder), "-o", str(tmp_path / "data"), "--captions", "model", "--device", "cpu")
    texts = [line["text"] for line in lines(tmp_path / "data")]
    assert len(texts) == 2
    assert all(text.startswith("a") for text in texts)


def test_broken_pictures_and_copies_are_left_out_and_named_on_the_card(photos, tmp_path):
    (photos / "broken.png").write_bytes((photos / "scene_00.png").read_bytes()[:999])
    with Pillow.open(photos / "scene_06.png") as picture:
        picture.convert("RGB").resize((128, 128)).save(photos / "small.jpg", quality=70)
    (photos / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")
    said = run("dataset", str(photos), "-o", str(tmp_path / "data"))
    assert [line.split() for line in said.splitlines()[1:5]] == [
        ["found", "26"], ["copies", "1"], ["broken", "1"], ["kept", "24"],
    ]  # fmt: skip
    card = (tmp_path / "data" / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert head["license"] == "cc0-1.0"
    assert "# 24 pictures" in card
    assert "| cc0-1.0 | 24 |" in card
    assert "`small.jpg`: a copy of scene_06.png" in card
    assert "`broken.png`: " in card
    counts = Counter(path.parent.name for path in (tmp_path / "data").glob("*/*.[pj]*g"))
    assert all(f"| {split} | {count} |" in card for split, count in counts.items())


def test_pictures_stay_in_their_split_whatever_is_added(photos, tmp_path):
    run("dataset", str(photos / "more"), "-o", str(tmp_path / "one"), "--validation", "0.4")
    run("dataset", str(photos), "-o", str(tmp_path / "other"), "--validation", "0.4")

    def places(name: str) -> set[str]:
        return {path.relative_to(tmp_path / name).as_posix() for path in (tmp_path / name).glob("*/scene*")}

    assert len(places("one")) == 12
    assert places("one") < places("other")


def test_two_files_of_one_name_are_two_pictures(tmp_path, scenes):
    for index, place in enumerate(("a", "b")):
        (tmp_path / "in" / place).mkdir(parents=True)
        scenes[index].save(tmp_path / "in" / place / "same.png")
    run("dataset", str(tmp_path / "in"), "-o", str(tmp_path / "data"))
    assert len({line["file_name"] for line in lines(tmp_path / "data")}) == 2


def test_nothing_of_what_a_file_says_beside_its_picture_is_kept(tmp_path, scenes):
    exif = Pillow.Exif()
    exif[0x8298], exif[0x0112] = "Ann Example", 6
    exif.get_ifd(0x8825)[1] = "N"  # where it was taken
    (tmp_path / "in").mkdir()
    scenes[0].crop((0, 0, 256, 200)).save(tmp_path / "in" / "a.jpg", exif=exif)
    run("dataset", str(tmp_path / "in"), "-o", str(tmp_path / "data"), "--size", "100", "--validation", "0")
    (line,) = lines(tmp_path / "data")
    assert line["copyright"] == "Ann Example"
    with Pillow.open(tmp_path / "data" / "train" / line["file_name"]) as picture:
        assert picture.size == (100, 128) == (line["width"], line["height"])
        assert not picture.getexif()


def test_a_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match=r"source: expected a folder with pictures .*empty, without any"):
        run("dataset", str(tmp_path / "empty"), "-o", str(tmp_path / "data"))
    assert not (tmp_path / "data").exists()


def test_a_folder_with_broken_pictures_alone_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"no picture")
    with pytest.raises(InvalidInput, match=r"source: expected a picture that can be read, got .*a.png"):
        run("dataset", str(tmp_path / "in"), "-o", str(tmp_path / "data"))


def test_a_folder_with_something_in_it_is_not_written_to(photos, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").write_text("x")
    with pytest.raises(InvalidInput, match=r"out: expected a folder that is new or empty"):
        run("dataset", str(photos), "-o", str(tmp_path / "data"))


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ((1.0, 0), "validation"),
        ((-0.1, 0), "validation"),
        ((0, 2), "test"),
        ((0.5, 0.5), "validation and test"),
    ],
)
def test_splits_leave_something_for_training(parts, field):
    with pytest.raises(InvalidInput) as caught:
        Splits(*parts)
    assert caught.value.field == field


def test_where_the_disk_is_full_nothing_half_is_left(photos, tmp_path, monkeypatch):
    written = Path.write_bytes
    calls = iter(range(100))

    def write_bytes(path: Path, data: bytes) -> int:
        if next(calls) == 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(path, data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(ImagegraphError, match=r"cannot write results to .*data: No space left on device"):
        run("dataset", str(photos), "-o", str(tmp_path / "data"))
    assert not (tmp_path / "data").exists()


def test_a_package_that_lacks_is_named_before_any_work(photos, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImagegraphError, match=r"install imagegraph\[report\]"):
        collect.look([sources.find(str(photos))], lambda *one: None)


def test_progress_counts_all_pictures(photos, tmp_path):
    told = []
    found = [sources.find(str(photos))]
    collected = collect.look(found, lambda *one: told.append(one))
    (tmp_path / "data").mkdir()
    collect.write(tmp_path / "data", found, collected, Wanted(64), None, lambda *one: told.append(one))
    assert told[0] == ("looking", 24, None)
    assert told[-1] == ("writing", 24, 24)
