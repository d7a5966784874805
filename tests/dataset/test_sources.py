"""Sources: folders, image folders with texts, and data sets of the hub in Parquet."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from imagegraph.dataset import sources
from imagegraph.errors import InvalidInput
from tests.model_init.hub import Hub

COMMIT = "c0ffee00" * 5
CARD = "---\nlicense: cc-by-4.0\ntags: [x]\n---\n# Scenes\n"


def test_a_folder_gives_all_its_pictures_and_those_in_folders_but_no_hidden_ones(photos):
    (photos / ".hidden").mkdir()
    (photos / ".hidden" / "a.png").write_bytes(b"x")
    (photos / "notes.txt").write_text("x")
    found = list(sources.find(str(photos)))
    assert len(found) == 24
    assert [one.name for one in found] == sorted(one.name for one in found)
    assert found[0].data == (photos / found[0].name).read_bytes()


def test_texts_come_from_the_metadata_of_an_image_folder(photos):
    line = {"file_name": "scene_00.png", "text": "a red cube"}
    (photos / "metadata.jsonl").write_text(json.dumps(line) + "\n")
    (photos / "more" / "metadata.csv").write_text('file_name,text\nscene_01.jpg,"a cone, blue"\n')
    texts = {one.name: one.text for one in sources.find(str(photos))}
    assert texts["scene_00.png"] == "a red cube"
    assert texts["more/scene_01.jpg"] == "a cone, blue"
    assert texts["scene_02.webp"] == ""


def test_metadata_name_pictures_from_where_they_lie_and_the_nearer_ones_count(photos):
    (photos / "metadata.csv").write_text(
        "file_name,text\nmore/scene_01.jpg,from above\n./more/scene_03.png,also\n"
    )
    near = [
        {"file_name": "scene_01.jpg", "caption": "from beside"},
        {"file_name": "../scene_00.png", "text": "up"},
    ]
    (photos / "more" / "metadata.jsonl").write_text("\n\n".join(map(json.dumps, near)))
    texts = {one.name: one.text for one in sources.find(str(photos)) if one.text}
    assert texts == {
        "more/scene_01.jpg": "from beside",
        "more/scene_03.png": "also",
        "scene_00.png": "up",
    }


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        (
            "metadata.jsonl",
            '{"file_name": "scene_00.png"}\n{"file_name": \n',
            "line 2: expected a JSON object",
        ),
        ("metadata.jsonl", '["scene_00.png"]\n', "line 1: expected a JSON object, got"),
        ("metadata.jsonl", '\n{"text": "a cone"}\n', "line 2: expected a file_name"),
        (
            "more/metadata.csv",
            "file_name,text\nscene_01.jpg,a cone, blue\n",
            "line 2: expected as many values",
        ),
        ("more/metadata.csv", "file,text\nscene_01.jpg,a cone\n", "line 2: expected a file_name"),
        ("more/metadata.csv", 'file_name,text\nscene_01.jpg,"a\n', "line 2: expected a CSV file"),
    ],
)
def test_metadata_that_cannot_be_read_are_named_with_their_line(photos, file, text, said):
    (photos / file).write_text(text)
    with pytest.raises(InvalidInput) as caught:
        list(sources.find(str(photos)))
    assert f"{file}, {said}" in str(caught.value)


def test_metadata_that_are_no_text_are_named(photos):
    (photos / "metadata.jsonl").write_bytes(b"\xff")
    with pytest.raises(InvalidInput, match=r"metadata.jsonl: expected text in UTF-8"):
        list(sources.find(str(photos)))


def test_a_picture_that_is_named_and_not_there_is_told(photos):
    (photos / "more" / "metadata.jsonl").write_text('{"file_name": "gone.png", "text": "a cube"}\n')
    (*there, gone) = sources.find(str(photos))
    assert len(there) == 24
    assert (gone.name, gone.fault) == (
        "more/gone.png",
        "named in more/metadata.jsonl, line 1, but not there",
    )


def test_a_licence_is_read_from_the_card(photos):
    assert sources.find(str(photos)).licence == "unknown"
    (photos / "README.md").write_text(CARD)
    assert sources.find(str(photos)).licence == "cc-by-4.0"
    assert sources.find(str(photos), "mine").licence == "mine"


def test_a_picture_that_cannot_be_opened_is_listed(photos):
    (photos / "gone.png").symlink_to("nowhere.png")
    (photos / "private.png").mkdir()  # not a file: no picture
    names = [one.name for one in sources.find(str(photos))]
    assert "private.png" not in names


@pytest.mark.parametrize("asked", ["nowhere", "a/b/c", ""])
def test_what_is_neither_a_folder_nor_a_name_of_the_hub_is_refused(asked):
    with pytest.raises(InvalidInput, match=r"source: expected a folder, or a data set of the hub"):
        sources.find(asked)


def test_a_file_is_no_source(photos, monkeypatch):
    monkeypatch.chdir(photos)
    with pytest.raises(InvalidInput, match=r"source: expected a folder"):
        sources.find("more/scene_01.jpg")


def rows(scenes) -> list[dict]:
    found = []
    for index, scene in enumerate(scenes[:5]):
        buffer = io.BytesIO()
        scene.save(buffer, "PNG")
        found.append({"image": {"bytes": buffer.getvalue(), "path": None}, "text": f"scene {index}"})
    return [*found, {"image": {"bytes": None, "path": "elsewhere.png"}, "text": "no picture"}]


def table(scenes) -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows(scenes)), buffer, row_group_size=2)
    return buffer.getvalue()


@pytest.fixture
def hub(scenes) -> Iterator[Hub]:
    hub = Hub()
    files = {"README.md": CARD.encode(), "data/train.parquet": table(scenes), "weights.bin": b"x" * 100}
    hub.add("somebody/scenes", COMMIT, files)
    yield hub
    hub.close()


ASK = """
import sys
from imagegraph.dataset import sources
from imagegraph.errors import ImagegraphError
try:
    source = sources.find(sys.argv[1])
    print(source.name, source.licence)
    for one in source:
        print(one.name, len(one.data) > 0, one.text, one.fault, sep="|")
except ImagegraphError as error:
    print(type(error).__name__, error)
"""


def ask(hub: Hub, asked: str, cache: Path) -> list[str]:
    """Asks in a process of its own: the hub's client reads its address when it is imported."""
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", ASK, asked]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout.splitlines()


def test_a_data_set_of_the_hub_is_fetched_at_its_commit_and_its_parquet_read(hub, tmp_path):
    said = ask(hub, "somebody/scenes", tmp_path)
    assert said[0] == f"somebody/scenes@{COMMIT} cc-by-4.0"
    assert said[1:6] == [f"data/train.parquet#{index}|True|scene {index}|" for index in range(5)]
    assert said[6] == "data/train.parquet#5|False|no picture|no picture in its row"
    assert not hub.asked("weights.bin"), "nothing but pictures is fetched"


def test_a_data_set_that_the_hub_does_not_have_is_refused(hub, tmp_path):
    (said,) = ask(hub, "somebody/else", tmp_path)
    assert said.startswith("InvalidInput source: expected a folder, or a data set that the hub has")


def test_a_gated_data_set_says_what_to_do(hub, tmp_path):
    hub.repos["somebody/scenes"].gated = True
    (said,) = ask(hub, "somebody/scenes", tmp_path)
    assert said == ("MissingWeights somebody/scenes is gated: accept its terms on its page, and set HF_TOKEN")


def test_a_commit_that_is_not_there_is_named(hub, tmp_path):
    (said,) = ask(hub, f"somebody/scenes@{'0' * 40}", tmp_path)
    assert said.startswith("MissingWeights the data set somebody/scenes cannot be fetched: ")


def test_folders_above_a_source_are_nobodys_business(photos):
    assert sources.find(str(photos)).name == "photos"


def test_a_parquet_file_that_is_cut_off_is_one_failure(tmp_path, scenes):
    (tmp_path / "a.parquet").write_bytes(table(scenes)[:-20])
    (one,) = sources.find(str(tmp_path))
    assert "no Parquet file that can be read" in one.fault
