import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image as Pillow

from imagegraph.cli import runs
from imagegraph.cli.photos import Photo
from imagegraph.cli.photos import names as photo_names
from imagegraph.cli.report import Done, Words
from imagegraph.errors import ImagegraphError, InvalidInput, MissingWeights
from tests import interrupts, tiny
from tests.cli.commands import run, said


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Pillow.effect_noise((width, height), 50).save(buffer, "PNG")
    return buffer.getvalue()


def test_run_writes_all_that_a_graph_answers():
    text = run("run", "paint", "photo.png", "seed=7", "prompt=a=b", "--device", "cpu")
    out = Path("out/photo-1")
    files = {path.name for path in out.iterdir()}
    assert files == {
        "picture-01-combined-8.png",
        "picture-02-depth-7.png",
        "depth.png",
        "sheet.png",
        "source-image.png",
        "results.json",
    }
    assert re.search(r"1 +picture-01-combined-8.png +1.50\n2 +picture-02-depth-7.png +0.50\n", text)
    assert "out/photo-1: sheet.png  depth.png  results.json\n" in text
    assert (out / "source-image.png").read_bytes() == Path("photo.png").read_bytes()
    results = json.loads((out / "results.json").read_text())
    assert results["parameters"] == {"seed": 7, "prompt": "a=b"}
    assert [one["seeds"] for one in results["pictures"]] == [8, 7]
    assert [one["numbers"] for one in results["pictures"]] == [1.5, 0.5]
    assert (out / "results.json").read_bytes().endswith(b"}\n")
    assert "paint" in results["seconds"]


def test_numbers_are_rounded_in_what_people_read(capsys):
    assert "points: 0.00, 1.00; 1.00, 0.00\n" in run("run", "film", "photo.png", "--device", "cpu")
    facts = {"answer": {"parts": [0.47623391101651974, 2]}, "pictures": []}
    done = Done("photo.png", [Path("out/photo-1/results.json")], facts, 1.5, 0.5)
    Words(several=True).end([done])
    assert capsys.readouterr().out.split("\n")[1].split() == ["photo.png", "0.48,", "2", "out/photo-1"]


def test_a_second_run_leaves_the_first_as_it_is():
    for number in (1, 2):
        assert f"out/photo-{number}: " in run("run", "paint", "photo.png", "--device", "cpu")
    run("run", "paint", "photo.png", "seed=7", "-o", "results", "--device", "cpu")
    before = {path: path.read_bytes() for path in Path("results").iterdir()}
    with pytest.raises(InvalidInput, match="a folder that is new or empty .--overwrite replaces"):
        run("run", "paint", "photo.png", "seed=9", "-o", "results", "--device", "cpu")
    with pytest.raises(InvalidInput, match="out: expected a folder that is new or empty"):
        run("run", "film", "photo.png", "-o", ".")
    with pytest.raises(InvalidInput, match="out: expected a file that is not there yet"):
        run("replay", "results/picture-01-combined-8.png", "-o", "results/source-image.png")
    assert {path: path.read_bytes() for path in Path("results").iterdir()} == before


def test_what_users_say_is_no_markup():
    assert "[/b] out: " in run("run", "paint", "-o", "[/b] out", "--device", "cpu")


def test_what_loads_and_what_runs_is_shown_from_the_first_moment():
    command = [sys.executable, "-m", "imagegraph.cli", "run", "late", "number=1", "--device", "cpu"]
    variables = {**os.environ, "PYTHONPATH": str(Path(tiny.__file__).parents[1])}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=variables) as process:
        lines = [process.stderr.readline() for _ in range(2)]  # it loads for ten seconds if nobody says go
        loading = process.poll() is None
        process.kill()
    assert lines == ["loading\n", "loading late, 1 of 1\n"]
    assert loading
    lines = run("run", "sum", "number=1", "--device", "cpu").splitlines()
    assert lines.index("loading") < lines.index("source") < lines.index("unite") < lines.index("add")


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (b"# no picture", "^image.png: image: expected a JPEG, PNG or WebP picture"),
        (png(1, 300), "^image.png: image: expected sides of at least 16 pixels, got '1x300'"),
        (png(500, 100), "^image.png: image: expected an aspect ratio within 4:1, got '500x100'"),
        (png(64, 64)[:100], "^image.png: image: expected a whole picture, got '100 bytes"),
    ],
    ids=["text", "sliver", "panorama", "cut off"],
)
def test_a_picture_that_no_node_can_read_does_not_wait_for_the_weights(picture, message, monkeypatch):
    Path("image.png").write_bytes(picture)
    monkeypatch.setattr(runs, "load_shown", None)
    with pytest.raises(InvalidInput, match=message):
        run("run", "paint", "image=image.png", "--device", "cpu")
    assert not Path("out").exists()


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_run_names_the_line_where_a_component_failed_where_that_is_asked_for(debug):
    code = "import sys; from imagegraph.cli.app import main; sys.argv[0] = 'imagegraph'; main()"
    command = [sys.executable, "-c", code, "run", "faulty", "number=1", "--device", "cpu", "--quiet", *debug]
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120
    )
    *before, last = done.stderr.splitlines()
    assert (done.returncode, last) == (
        1,
        "error: node 'faulty': ZeroDivisionError: integer division or modulo by zero",
    )
    if debug:
        assert re.search(r"node 'faulty': ZeroDivisionError: .*, at .*tiny.py:\d+", "\n".join(before))
        assert "Traceback" in done.stderr
    else:
        assert before == []


def test_run_says_in_a_sentence_what_lacks_of_weights(tmp_path):
    folder = tmp_path / "half"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    text = tiny.CATALOGUE.replace(f"path: {tiny.ROOT}/tests", f"path: {folder}")
    tiny.catalogue(tmp_path, text)
    with pytest.raises(
        MissingWeights,
        match=r"^node 'paint': role 'colours': weights of .* are incomplete in .*; bring that folder back",
    ):
        run("run", "paint", "--device", "cpu")


def photos(*names: str, colours: str = "red green blue white") -> None:
    for name, colour in zip(names, colours.split(), strict=False):
        Path(name).parent.mkdir(exist_ok=True)
        Pillow.new("RGB", (64, 32), colour).save(name)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "loud"),
        (["--loud"], "loud"),
        (["--no-loud"], "low"),
        (["loud=no"], "low"),
        (["--loud", "loud=no"], None),
    ],
)
def test_a_switch_is_an_option_or_a_word(arguments, said):
    if said is None:
        with pytest.raises(InvalidInput, match="loud: expected one value"):
            run("run", "switch", *arguments)
    else:
        assert f"said: {said}\n" in run("run", "switch", *arguments, "--device", "cpu")


def test_an_input_that_is_called_like_an_option_is_given_by_its_name():
    assert "said: hello you" in run("run", "greet", "name=you", "quiet=yes", "--device", "cpu")
    assert "said: HELLO you" in run("run", "greet", "you", "--device", "cpu")


def test_several_photos_are_run_with_models_that_are_loaded_once():
    photos("more/a.png", "more/b.jpg")
    Path("more/notes.txt").write_text("no picture")
    done = said("run", "paint", "photo.png", "more", "--device", "cpu")
    assert done.err.count("loading paint") <= 1  # it may have been loaded before anybody looked
    assert done.err.index("photo.png, 1 of 3") < done.err.index("more/b.jpg, 3 of 3")
    for photo, folder in {"photo.png": "photo-1", "more/a.png": "a-1", "more/b.jpg": "b-1"}.items():
        assert re.search(rf"{photo} +1.50 +out/{folder}/picture-01-combined-1.png", done.out)
        kept = next(Path("out", folder).glob("source-image.*"))
        assert kept.read_bytes() == Path(photo).read_bytes()
    assert done.code == 0


def test_several_photos_get_a_folder_each_in_the_one_that_is_named():
    photos("more/photo.png", "more/b.png")
    run("run", "paint", "photo.png", "more/*.png", "--device", "cpu", "-o", "results")
    assert sorted(path.name for path in Path("results").iterdir()) == ["b", "photo", "photo-2"]
    run("run", "paint", "more", "--device", "cpu", "-o", "a folder is for many, however many it holds")
    assert len([*Path("a folder is for many, however many it holds").iterdir()]) == 2
    with pytest.raises(InvalidInput, match="a folder that is new or empty .--overwrite replaces"):
        run("run", "paint", "more", "--device", "cpu", "-o", "results")


def test_a_photo_that_is_called_like_another_ones_folder_keeps_its_name():
    given = ["a.png", "x/a.png", "a-2.png", "y/a.png", "y/a-2.png", "-"]
    found = photo_names([Photo(one) for one in given], "paint")
    assert found == ["a", "a-3", "a-2", "a-4", "a-2-2", "paint"]


def test_a_photo_that_fails_is_told_and_the_others_go_on():
    photos("more/a.png", "more/c.png")
    Path("more/b.png").write_text("no picture")
    done = said("run", "paint", "more", "gone.png", "--device", "cpu", "-o", "results")
    assert "more/b.png: image: expected a JPEG, PNG or WebP picture" in done.err
    assert "gone.png: image: expected a file with a picture" in done.err
    assert done.err.endswith("error: 2 of 4 photos failed\n")
    assert sorted(path.name for path in Path("results").iterdir()) == ["a", "c"]
    assert done.code == 2


def test_nothing_is_left_where_every_photo_fails():
    done = said("run", "paint", "gone.png", "lost.png", "--device", "cpu", "-o", "deep/results")
    assert done.code == 2
    assert not Path("deep").exists()


def test_what_no_photo_can_change_is_said_once():
    photos("more/a.png", "more/c.png")
    with pytest.raises(InvalidInput, match="seed: expected a valid integer"):
        run("run", "paint", "more", "seed=x", "--device", "cpu")
    with pytest.raises(ImagegraphError, match="node 'broken': no weights; pull them"):
        run("run", "broken", "number=1", "--device", "cpu")
    assert not Path("out").exists()


def test_a_photo_or_words_can_be_piped_in():
    done = said("run", "paint", "-", "--device", "cpu", "-o", "one", piped=Path("photo.png").read_bytes())
    assert Path("one/source-image.png").read_bytes() == Path("photo.png").read_bytes()
    assert done.out.splitlines()[-2] == "one: sheet.png  depth.png  results.json"
    said("run", "paint", "-", "--device", "cpu", "-o", "two", piped="ein roter Kegel\n")
    assert json.loads(Path("two/results.json").read_text())["parameters"]["prompt"] == "ein roter Kegel"


def test_programs_get_json_and_nothing_else_on_the_standard_output():
    done = said("run", "paint", "photo.png", "gone.png", "seed=7", "--device", "cpu", "--json")
    bad, good = map(json.loads, done.out.splitlines())  # what cannot be is said at once
    assert (good["photo"], good["folder"], good["parameters"]["seed"]) == ("photo.png", "out/photo-1", 7)
    assert all(Path(path).is_file() for path in good["shown"])
    assert [one["numbers"] for one in good["pictures"]] == [1.5, 0.5]
    assert (bad["photo"], bad["status"]) == ("gone.png", 400)
    assert "gone.png: " in done.err
    assert done.code == 2


def test_programs_get_json_of_an_only_run_that_fails():
    program = "from imagegraph.cli.app import main; main()"
    command = [sys.executable, "-c", program, "run", "paint", "gone.png", "--device", "cpu", "--json"]
    variables = {**os.environ, "PYTHONPATH": str(Path(tiny.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=variables)
    said = json.loads(done.stdout)
    assert (said["photo"], said["status"], done.returncode) == ("gone.png", 400, 2)
    assert said["error"] in done.stderr


def test_scripts_get_the_folders_and_only_what_failed_beside():
    done = said("run", "paint", "photo.png", "gone.png", "--device", "cpu", "--quiet")
    assert done.out == "out/photo-1\n"
    assert [line.split(":")[0] for line in done.err.splitlines()] == ["gone.png", "error"]


def test_earlier_results_are_replaced_where_that_is_asked_for_and_nothing_else():
    run("run", "paint", "photo.png", "seed=1", "--device", "cpu", "-o", "results")
    run("run", "paint", "photo.png", "seed=5", "--device", "cpu", "-o", "results", "--overwrite")
    assert json.loads(Path("results/results.json").read_text())["parameters"]["seed"] == 5
    names = {path.name for path in Path("results").glob("picture-*")}
    assert names == {"picture-01-combined-6.png", "picture-02-depth-5.png"}, "none of the first run"
    before = {path: path.read_bytes() for path in Path("results").iterdir()}
    for name, content in {"notes.txt": b"mine", "picture-02-depth-5.png": b"changed by hand"}.items():
        path = Path("results", name)
        path.write_bytes(content)
        with pytest.raises(InvalidInput, match=f"out: expected .* as it wrote them, got .*{name}"):
            run("run", "paint", "photo.png", "--device", "cpu", "-o", "results", "--overwrite")
        assert path.read_bytes() == content
        path.unlink() if path not in before else path.write_bytes(before[path])
    assert {path: path.read_bytes() for path in Path("results").iterdir()} == before
    with pytest.raises(InvalidInput, match="overwrite: expected --out beside it"):
        run("run", "paint", "photo.png", "--overwrite")


def test_a_run_that_fails_leaves_the_results_that_it_was_to_replace():
    run("run", "paint", "photo.png", "--device", "cpu", "-o", "results")
    before = {path: path.read_bytes() for path in Path("results").iterdir()}
    with pytest.raises(InvalidInput):
        run("run", "paint", "gone.png", "--device", "cpu", "-o", "results", "--overwrite")
    assert {path: path.read_bytes() for path in Path("results").iterdir()} == before


def test_results_are_opened_where_that_is_asked_for(monkeypatch):
    opened = []
    monkeypatch.setattr(runs.typer, "launch", lambda place: opened.append(place) or len(opened) - 1)
    photos("more/a.png", "more/c.png")
    assert "no viewer" not in run("run", "paint", "photo.png", "--device", "cpu", "--open")
    assert "out: no viewer is here that opens it" in run("run", "paint", "more", "--device", "cpu", "--open")
    assert opened == ["out/photo-1/sheet.png", "out"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_ended_leaves_no_empty_folder(number, code):
    command = [*interrupts.PYTHON, "-m", "imagegraph.cli", "run", "slow", "--device", "cpu"]
    variables = {**os.environ, "PYTHONPATH": str(Path(tiny.__file__).parents[1])}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=variables) as process:
        while process.stderr.readline() != "slow\n":
            assert process.poll() is None
        assert Path("out/slow-1").is_dir()
        process.send_signal(number)
        assert process.wait(60) == code
    assert not Path("out").exists()
