import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import imagegraph
from imagegraph.cli import app
from imagegraph.errors import ImagegraphError, InvalidDocument, InvalidInput, UnknownName
from imagegraph.spec.catalogue import ROOT
from tests import tiny
from tests.cli.commands import run


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (["run", "sums"], UnknownName, "unknown graph or component 'sums'. Did you mean 'sum'"),
        (["show", "sums"], UnknownName, "unknown graph or component 'sums'"),
        (["run", "sum", "number=1", "number=2"], InvalidInput, "number: expected one value, got .*'2'"),
        (["run", "sum", "nmber=1"], UnknownName, "'nmber'. Did you mean 'number'"),
        (
            ["run", "sum", "photo.png"],
            InvalidInput,
            "inputs: expected what 'sum' takes .number, doubled., got 'photo.png'",
        ),
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
    ("error", "code"),
    [
        ("InvalidInput('a', 'b', 'c')", 2),
        ("InvalidDocument('mine.yaml:1: x')", 2),
        ("ImagegraphError('x')", 1),
        ("SystemExit(130)", 130),
    ],
)
def test_the_exit_code_tells_whose_fault_it_is_and_no_thread_is_waited_for(error, code):
    program = f"""
import threading, time
from imagegraph.cli import app as program
from imagegraph.errors import ImagegraphError, InvalidDocument, InvalidInput

def app(arguments, prog_name):
    threading.Thread(target=time.sleep, args=(3600,)).start()  # a component that still loads
    raise {error}

program.app = app
program.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == (code != app.INTERRUPTED)


def test_a_photo_is_not_taken_for_the_name_of_a_manifests_graph():
    Path("m.yaml").write_text(run("show", "sum", "--manifest"))
    with pytest.raises(InvalidInput, match="name: expected 'sum', the graph of m.yaml, first, got 'ph"):
        run("run", "--manifest", "m.yaml", "photo.png")
    assert "number: 13" in run("run", "sum", "--manifest", "m.yaml", "number=1", "--device", "cpu")


def test_options_can_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("IMAGEGRAPH_RUN_OUT", "elsewhere")
    run("run", "sum", "number=1", "--device", "cpu")
    assert Path("elsewhere/results.json").exists()


@pytest.mark.parametrize("option", ["VERSION", "INSTALL_COMPLETION", "SHOW_COMPLETION", "HELP"])
def test_what_is_done_instead_of_a_command_is_not_asked_for_by_the_environment(monkeypatch, option):
    before = run("list")
    for value in ("1", "0.1.0"):
        monkeypatch.setenv(f"IMAGEGRAPH_{option}", value)
        assert run("list") == before


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


@pytest.mark.parametrize(
    "program", [[sys.executable, "-m", "imagegraph.cli"], [Path(sys.executable).with_name("imagegraph")]]
)
def test_who_interrupts_while_the_program_is_still_imported_sees_no_traceback(program, tmp_path):
    (tmp_path / "typer.py").write_text("import time; print('importing', flush=True); time.sleep(60)")
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = ["env", "--default-signal=INT", *program, "list"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables
    ) as process:
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "")
        assert process.returncode == app.INTERRUPTED


def test_several_commands_run_in_one_process_until_one_fails():
    program = "from imagegraph.cli.app import main; main(['--version'], ['show', 'nothing'], ['--version'])"
    variables = {**os.environ, "PYTHONPATH": str(Path(tiny.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env=variables
    )
    assert done.stdout == f"imagegraph {imagegraph.__version__}\n"
    assert "unknown graph or component 'nothing'" in done.stderr
    assert done.returncode == 2


def test_commands_start_without_what_few_of_them_need() -> None:
    program = "import sys, imagegraph.cli.app; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    others = {"aiohttp", "fastapi", "grpc", "kubernetes", "pyarrow", "sqlalchemy", "torch"}
    assert not others & set(done.stdout.split())
