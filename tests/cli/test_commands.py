import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image as Pillow
from typer.testing import CliRunner

from imagegraph.cli import app, generate, options
from imagegraph.cli import run as running
from imagegraph.deploy import render
from imagegraph.errors import ImagegraphError, InvalidDocument, InvalidInput, MissingWeights, UnknownName
from imagegraph.image import Image
from imagegraph.run import provenance
from tests import tiny


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A project of tiny components and the chart, without generated manifests."""
    tiny.catalogue(tmp_path)
    monkeypatch.setenv("IMAGEGRAPH_CATALOGUE", str(tmp_path / "catalogue.yaml"))
    shutil.copytree(generate.ROOT / "charts", tmp_path / "charts")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(render, "find_helm", lambda root: None)
    monkeypatch.setattr(options.console, "width", 200)
    monkeypatch.chdir(tmp_path)
    Pillow.new("RGB", (64, 32), "red").save("photo.png")


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Pillow.effect_noise((width, height), 50).save(buffer, "PNG")
    return buffer.getvalue()


def run(*arguments: str) -> str:
    """Returns what a command prints; its error as it is raised."""
    stream = io.StringIO()
    options.console.file = stream
    result = CliRunner().invoke(app.app, list(arguments))
    options.console.file = None
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return stream.getvalue() + result.output


def test_list_names_graphs_and_components():
    text = run("list")
    assert re.search(r"sum +pocket +A number doubled, and the number itself", text)
    assert re.search(r"double +pocket sd15 +Doubles a number", text)


def test_show_draws_the_tree_and_tells_what_goes_in_and_out():
    text = run("show", "sum")
    assert "└── unite  COMBINER" in text
    assert re.search(r"number +INT64\[1\] +required", text)
    assert "answers: doubled, number" in text
    assert "request --> source" in text


def test_show_and_run_agree_when_the_catalogue_was_edited_after_generate():
    run("generate")
    edited = tiny.CATALOGUE.replace("left, entry: add", "left, entry: double")
    tiny.catalogue(Path(), edited)
    assert "left (double)" in run("show", "ways")
    run("run", "ways", "number=1", "--device", "cpu", "-o", "out")
    assert json.loads(Path("out/results.json").read_text())["answer"] == {"doubled": 2}


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
    assert all(str(out / name) in text for name in files - {"source-image.png"})
    assert (out / "source-image.png").read_bytes() == Path("photo.png").read_bytes()
    results = json.loads((out / "results.json").read_text())
    assert results["parameters"] == {"seed": 7, "prompt": "a=b"}
    assert [one["seeds"] for one in results["pictures"]] == [8, 7]
    assert [one["numbers"] for one in results["pictures"]] == [1.5, 0.5]
    assert (out / "results.json").read_bytes().endswith(b"}\n")
    assert "paint" in results["seconds"]


def test_a_picture_is_replayed_bit_equal_from_its_own_provenance():
    run("run", "paint", "photo.png", "seed=7", "--device", "cpu")
    picture = Path("out/photo-1/picture-01-combined-8.png")
    assert "bit-equal" in run("replay", str(picture), "--device", "cpu").replace("\n", " ")
    again = picture.with_name("picture-01-combined-8-replayed.png")
    assert np.array_equal(*(np.asarray(Pillow.open(path)) for path in (picture, again)))
    assert provenance.read(again) == provenance.read(picture)
    Path("out/photo-1/source-image.png").unlink()
    with pytest.raises(InvalidInput, match="image: expected the file source-image.png beside the picture"):
        run("replay", str(picture))


def test_pictures_of_the_request_are_kept_for_the_replay_too():
    run("run", "paint", "pictures=photo.png,photo.png", "--device", "cpu")
    assert "bit-equal" in run("replay", "out/paint-1/picture-03-given-0.png", "--device", "cpu").replace(
        "\n", " "
    )


def test_pictures_of_any_port_are_replayed_and_other_settings_are_said(tmp_path):
    run("run", "film", "photo.png", "--device", "cpu")
    picture = next(Path("out/photo-1").glob("frame-02-*.png"))
    assert "bit-equal" in run("replay", str(picture), "--device", "cpu").replace("\n", " ")
    path = tmp_path / "catalogue.yaml"
    path.write_text(path.read_text().replace("side: 32", "side: 48"))
    with pytest.raises(InvalidInput, match=r"node 'film': expected settings {'side': 32}, as it was.*48"):
        run("replay", str(picture))
    record = provenance.read(picture)
    unknown = {"film": record.nodes["film"].model_copy(update={"settings": None})}  # of an older version
    image = Image(picture.read_bytes())
    picture.write_bytes(provenance.stamp(image, record.model_copy(update={"nodes": unknown})))
    with pytest.raises(InvalidInput, match="frame-02.*: expected 32x32 px again, got '48x48'"):
        run("replay", str(picture), "-o", "again.png", "--device", "cpu")
    assert not Path("again.png").exists()
    picture.write_bytes(provenance.stamp(image, record.model_copy(update={"nodes": unknown, "picture": 3})))
    with pytest.raises(InvalidInput, match="frames: expected more than 3 pictures"):
        run("replay", str(picture), "--device", "cpu")


def test_a_second_run_leaves_the_first_as_it_is():
    for number in (1, 2):
        assert f"out/photo-{number}/results.json" in run("run", "paint", "photo.png", "--device", "cpu")
    run("run", "paint", "photo.png", "seed=7", "-o", "results", "--device", "cpu")
    before = {path: path.read_bytes() for path in Path("results").iterdir()}
    with pytest.raises(InvalidInput, match="out: expected a folder that is new or empty"):
        run("run", "paint", "photo.png", "seed=9", "-o", "results", "--device", "cpu")
    with pytest.raises(InvalidInput, match="out: expected a folder that is new or empty"):
        run("run", "film", "photo.png", "-o", ".")
    with pytest.raises(InvalidInput, match="out: expected a file that is not there yet"):
        run("replay", "results/picture-01-combined-8.png", "-o", "results/source-image.png")
    assert {path: path.read_bytes() for path in Path("results").iterdir()} == before


def test_what_users_say_is_no_markup():
    assert "[/b] out/results.json" in run("run", "paint", "-o", "[/b] out", "--device", "cpu")


def test_what_loads_and_what_runs_is_shown_from_the_first_moment():
    command = [sys.executable, "-m", "imagegraph.cli", "run", "late", "number=1", "--device", "cpu"]
    variables = {**os.environ, "PYTHONPATH": str(Path(tiny.__file__).parents[1])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables) as process:
        lines = [process.stdout.readline() for _ in range(2)]  # it loads for ten seconds if nobody says go
        loading = process.poll() is None
        process.kill()
    assert lines == ["loading\n", "loading late, 1 of 1\n"]
    assert loading
    lines = run("run", "sum", "number=1", "--device", "cpu").splitlines()
    assert lines.index("loading") < lines.index("source") < lines.index("unite") < lines.index("add")


def test_other_weights_do_not_replay():
    run("run", "paint", "--device", "cpu")
    picture = Path("out/paint-1/picture-01-combined-1.png")
    record = provenance.read(picture)
    other = provenance.NodeRecord(entry="paint", weights={"colours": "0" * 40})
    for nodes in ({"paint": other}, {"paint": record.nodes["paint"], "gone": other}):
        image = Image(picture.read_bytes())
        picture.write_bytes(provenance.stamp(image, record.model_copy(update={"nodes": nodes})))
        with pytest.raises(InvalidInput, match="node '(paint|gone)'"):
            run("replay", str(picture))


def test_generate_writes_what_the_catalogue_gives_and_check_finds_what_differs(tmp_path):
    with pytest.raises(
        ImagegraphError, match=r"graphs/sum.yaml, .*imagegraph/catalogue.yaml; run `imagegraph"
    ):
        run("generate", "--check")
    assert "manifests/graphs/sum.yaml" in run("generate")
    assert "charts/imagegraph/catalogue.yaml" not in run("generate"), "nothing is written twice"
    run("generate", "--check")
    (tmp_path / "manifests" / "graphs" / "old.yaml").touch()
    with pytest.raises(ImagegraphError, match=r"differ from what makes them: manifests/graphs/old.yaml"):
        run("generate", "--check")
    run("generate")
    assert not (tmp_path / "manifests" / "graphs" / "old.yaml").exists()


def test_options_can_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("IMAGEGRAPH_RUN_OUT", "elsewhere")
    run("run", "sum", "number=1", "--device", "cpu")
    assert Path("elsewhere/results.json").exists()


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (["run", "sums"], UnknownName, "unknown graph or component 'sums'. Did you mean 'sum'"),
        (["show", "sums"], UnknownName, "unknown graph or component 'sums'"),
        (["run", "sum", "number=1", "number=2"], InvalidInput, "number: expected one value, got .*'2'"),
        (["run", "sum", "nmber=1"], UnknownName, "'nmber'. Did you mean 'number'"),
        (["run", "sum", "photo.png"], UnknownName, "unknown input 'image'. Available: number"),
        (["run", "sum", "number=x"], InvalidInput, "number: expected a valid integer"),
        (["run", "sum"], InvalidInput, "number: expected a value"),
        (["run", "paint", "gone.png"], InvalidInput, "image: expected a file with a picture.*gone.png"),
        (["run", "paint", "manifests/.."], InvalidInput, "image: expected a file with a picture"),
        (["run", "sum", "number=1", "--bundle", "sd16"], UnknownName, "unknown bundle 'sd16'"),
        (["run", "broken", "number=1"], ImagegraphError, "node 'broken': no weights; pull them"),
        (["run", "unite"], InvalidDocument, "'unite' is a MODEL, but 'unite' is a Priors, Combiner"),
        (["run", "sum", "--manifest", "gone.yaml"], InvalidDocument, "gone.yaml:1: cannot be read"),
        (
            ["run", "sum", "--manifest", "m.yaml", "--bundle", "pocket"],
            InvalidInput,
            "bundle: expected no --bundle",
        ),
        (["run", "slow", "--timeout", "0.1"], ImagegraphError, "out of time|time is over"),
        (["replay", "photo.png"], InvalidInput, "photo.png: expected a picture with provenance"),
        (["replay", "catalogue.yaml"], InvalidInput, "catalogue.yaml: expected a PNG picture"),
    ],
)
def test_what_goes_wrong_is_told_in_one_sentence(arguments, kind, message):
    with pytest.raises(kind, match=message):
        run(*arguments)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (b"# no picture", "image: expected a JPEG, PNG or WebP picture"),
        (png(1, 300), "image: expected sides of at least 16 pixels, got '1x300'"),
        (png(500, 100), "image: expected an aspect ratio within 4:1, got '500x100'"),
        (png(64, 64)[:100], "image: expected a whole picture"),
    ],
    ids=["text", "sliver", "panorama", "cut off"],
)
def test_a_picture_that_no_node_can_read_does_not_wait_for_the_weights(picture, message, monkeypatch):
    Path("image.png").write_bytes(picture)
    monkeypatch.setattr(running, "run_shown", None)
    with pytest.raises(InvalidInput, match=message):
        run("run", "paint", "image=image.png", "--device", "cpu")
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("error", "code"),
    [("InvalidInput('a', 'b', 'c')", 2), ("ImagegraphError('x')", 1), ("SystemExit(130)", 130)],
)
def test_the_exit_code_tells_whose_fault_it_is_and_no_thread_is_waited_for(error, code):
    program = f"""
import threading, time
from imagegraph.cli import app as program
from imagegraph.errors import ImagegraphError, InvalidInput

def app():
    threading.Thread(target=time.sleep, args=(3600,)).start()  # a component that still loads
    raise {error}

program.app = app
program.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == (code != app.INTERRUPTED)


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_run_names_the_line_where_a_component_failed_where_that_is_asked_for(debug):
    code = "import sys; from imagegraph.cli.app import main; sys.argv[0] = 'imagegraph'; main()"
    command = [sys.executable, "-c", code, "run", "faulty", "number=1", "--device", "cpu", *debug]
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
        MissingWeights, match=r"^node 'paint': weights of .* are incomplete in .*; bring that folder back"
    ):
        run("run", "paint", "--device", "cpu")


def _options(command, path=()):
    for name, one in getattr(command, "commands", {}).items():
        yield from _options(one, (*path, name))
    for parameter in command.params:
        if path and parameter.param_type_name == "option" and parameter.name != "help":
            long = next(one for one in parameter.opts if one.startswith("--"))
            yield pytest.param(command, path, parameter, long, id=" ".join([*path, long]))


@pytest.mark.parametrize(
    ("command", "path", "parameter", "option"), [*_options(typer.main.get_command(app.app))]
)
def test_every_option_can_be_given_by_the_environment(monkeypatch, command, path, parameter, option):
    words = ["IMAGEGRAPH", *path]
    context = command.context_class(command, auto_envvar_prefix="_".join(words).replace("-", "_").upper())
    variable = "_".join([*words, option.removeprefix("--")]).replace("-", "_").upper()
    monkeypatch.setenv(variable, "1")
    assert parameter.resolve_envvar_value(context) == "1"


OWN = """
entries:
  halve: {component: own_numbers:Halve, summary: Halves a number, bundles: {pocket: {}}}
  more: {like: add, summary: Adds more, bundles: {pocket: {settings: {addend: 100}}}}
graphs:
  whole:
    summary: Halves what was doubled
    root: {name: halve, type: OUTPUT_TRANSFORMER, children: [{name: double, type: TRANSFORMER}]}
"""
HALVE = """
from typing import TypedDict
from imagegraph.component import Component

class Half(TypedDict):
    half: float

class Halve(Component):
    def predict(self, doubled: int) -> Half:
        return {"half": doubled / 2}
"""


@pytest.fixture
def own(tmp_path) -> str:
    """A catalogue of somebody's own, beside the project's."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "own_numbers.py").write_text(HALVE)
    (folder / "own.yaml").write_text(OWN)
    return str(folder / "own.yaml")


def test_graphs_and_entries_of_ones_own_are_listed_shown_and_run(own):
    assert re.search(r"whole +pocket +Halves what was doubled", run("list", "--catalogue", own))
    assert "answers: doubled, half" in run("show", "whole", "--catalogue", own)
    run("run", "whole", "number=21", "--device", "cpu", "--catalogue", own, "-o", "out")
    assert json.loads(Path("out/results.json").read_text())["answer"] == {"doubled": 42, "half": 21.0}
    run("run", "more", "number=1", "--device", "cpu", "--catalogue", own, "-o", "more")
    assert json.loads(Path("more/results.json").read_text())["answer"] == {"number": 101}


def test_a_catalogue_of_ones_own_gives_a_chart_of_ones_own(own):
    run("generate")
    assert "manifests/graphs/whole.yaml" in run("generate", "--catalogue", own, "-o", "mine")
    assert "name: halve" in Path("mine/manifests/graphs/whole.yaml").read_text()
    names = Path("mine/charts/imagegraph/catalogue.yaml").read_text()
    assert "more:" in names
    assert (Path("mine/charts/imagegraph/templates")).is_dir()
    run("generate", "--check")  # the project's files stay as they are
    run("generate", "--check", "--catalogue", own, "-o", "mine")
