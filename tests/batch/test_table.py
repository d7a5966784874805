import json
from pathlib import Path

import pytest

from imagegraph.batch import table
from imagegraph.cli.inputs import taken
from imagegraph.errors import InvalidInput, UnknownName
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.interface import Interface
from tests.batch.conftest import draw


def ports(entry: str = "paint"):
    known = Catalogue.read([Path("catalogue.yaml")])
    return taken(Interface.of_entry(entry, "pocket", known))


def names(*sources: str, recursive: bool = False) -> list[str]:
    return [row.name for row in table.read(sources, ports(), recursive)]


def test_a_folder_is_a_row_for_each_picture_with_its_folders_if_asked(photos):
    Path(photos, "notes.txt").touch()
    Path(photos, ".hidden.png").touch()
    assert names("photos") == ["a_red_cone", "b", "c", "d"]
    assert names("photos", recursive=True) == ["a_red_cone", "b", "c", "d", "more--a_red_cone"]
    assert names("photos/**/*.png") == ["a_red_cone", "b", "c", "d", "more--a_red_cone"]
    assert names("photos/[bc].png", "photos/more") == ["b", "c", "a_red_cone"]


def test_file_names_are_prompts_where_the_table_has_none(photos):
    rows = table.with_prompts(table.read(["photos"], ports()), ports())
    assert [row.values["prompt"] for row in rows] == ["a red cone", "b", "c", "d"]
    Path("own.csv").write_text("image,prompt\nphotos/b.png,a cube\nphotos/c.png,\n")
    rows = table.with_prompts(table.read(["own.csv"], ports()), ports())
    assert [row.values["prompt"] for row in rows] == ["a cube", "c"]
    with pytest.raises(UnknownName, match="unknown input 'prompt'"):
        table.with_prompts(rows, ports("film"))


def test_csv_and_jsonl_mean_the_same(photos):
    Path("table.csv").write_text(
        'name,image,seed,prompt,bundle\nfirst,photos/b.png,7,"a, b",pocket\n,photos/c.png,,,\n', "utf-8-sig"
    )
    lines = [
        {"name": "first", "image": "photos/b.png", "seed": 7, "prompt": "a, b", "bundle": "pocket"},
        {"image": "photos/c.png"},
    ]
    Path("table.jsonl").write_text("\n\n".join(map(json.dumps, lines)))
    rows = table.read(["table.csv"], ports())
    assert rows == table.read(["table.jsonl"], ports())
    assert [row.name for row in rows] == ["first", "0002-c"]
    assert rows[0].values == {"image": Path("photos/b.png"), "seed": 7, "prompt": "a, b"}
    assert rows[0].bundle == "pocket"


def test_pictures_of_a_table_lie_beside_it(photos):
    Path("photos/table.csv").write_text("image\nb.png\n")
    (row,) = table.read(["photos/table.csv"], ports())
    assert table.load(row.values)["image"].size == (24, 16)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,sead\nphotos/b.png,7\n", "unknown column 'sead'. Did you mean 'seed'?"),
        ("image\nphotos/b.png,7\n", "own.csv, line 2: expected as many values as there are columns"),
        ("image\n", "expected a table with rows"),
        ("", "expected a table with rows"),
        ('image\n"photos/b.png', "expected a CSV file"),
        (b"image\n\xff\n", "expected text in UTF-8"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(text, message):
    Path("own.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises((InvalidInput, UnknownName)) as caught:
        table.read(["own.csv"], ports())
    assert message in str(caught.value)


def test_a_line_that_is_no_json_is_named():
    Path("own.jsonl").write_text('{"seed": 1}\n{"seed": \n')
    with pytest.raises(InvalidInput, match="own.jsonl, line 2: expected a JSON object"):
        table.read(["own.jsonl"], ports())
    Path("own.jsonl").write_text("[1]\n")
    with pytest.raises(InvalidInput, match="line 1: expected a JSON object, got"):
        table.read(["own.jsonl"], ports())


def test_a_folder_without_pictures_says_so_and_how_to_look_deeper(photos):
    Path("empty/deep").mkdir(parents=True)
    draw(Path("empty/deep/a.png"), 1)
    hinted = "a folder with pictures .*; --recursive looks into its folders, too, got 'empty, a folder "
    with pytest.raises(InvalidInput, match=hinted):
        table.read(["empty"], ports())
    assert names("empty", recursive=True) == ["deep--a"]
    with pytest.raises(
        InvalidInput, match=r"a pattern that fits pictures .*, got 'photos/..webp, which fits none'"
    ):
        table.read(["photos/*.webp"], ports())
    with pytest.raises(InvalidInput, match="nowhere, which is not there"):
        table.read(["nowhere"], ports())


def test_two_files_that_would_get_one_name_are_both_named(photos):
    draw(Path("photos/b.webp"), 3)
    with pytest.raises(InvalidInput) as caught:
        table.read(["photos"], ports())
    assert "photos/b.png and photos/b.webp, both 'b'" in str(caught.value)
    Path("own.csv").write_text("name,seed\nx,1\nX,2\n")
    with pytest.raises(InvalidInput, match="row 'x' and row 'X'"):
        table.read(["own.csv"], ports())


def test_long_and_strange_names_are_names_of_files():
    Path("long").mkdir()
    for name in ("x" * 240, "x" * 239 + "y", "a b: ü"):
        draw(Path("long", f"{name}.png"), 1)
    found = names("long")
    assert len({*found}) == 3
    assert all(len(name.encode()) <= table.LONGEST_NAME for name in found)
    Path("own.csv").write_text("name,seed\n../../up,1\n")
    assert names("own.csv") == ["--..--up"]


def test_what_is_wrong_in_one_row_waits_for_its_turn(photos):
    Path("photos/broken.png").write_text("hello")
    Path("own.jsonl").write_text(
        '{"seed": "seven"}\n{"image": "photos/broken.png"}\n{"image": "photos/no.png"}\n'
    )
    wrong, broken, missing = table.read(["own.jsonl"], ports())
    assert wrong.values == {"seed": "seven"}
    with pytest.raises(InvalidInput, match=r"image, photos/broken.png: expected a JPEG, PNG or WebP picture"):
        table.load(broken.values)
    with pytest.raises(InvalidInput, match=r"photos/no.png \(No such file or directory\)"):
        table.load(missing.values)


def test_a_graph_of_several_pictures_needs_a_table():
    assert table.picture_port(ports("film")) == "image"
    with pytest.raises(InvalidInput, match=r"expected a table \(.csv or .jsonl\)"):
        table.picture_port(ports("add"))
