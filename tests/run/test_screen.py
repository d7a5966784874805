import io

import pytest
from rich.console import Console

from imagegraph.engine.context import Event
from imagegraph.run import screen as module
from imagegraph.run.screen import screen
from imagegraph.spec.graph import Node

NODE = Node(name="generate")


def work(console: Console) -> str:
    """Shows a run on a console; returns all that was written to it."""
    with screen(console) as shown:
        shown.load("depth", 0, 2)
        shown.load("depth", 0, 2)
        shown.load("generate", 1, 2)
        shown.loaded()
        shown.listen(Event(NODE, "infer", "started"))
        for step in range(3):
            shown.listen(Event(NODE, "infer", "progress", done=step, total=30))
        shown.listen(Event(NODE, "infer", "finished"))
        if isinstance(shown, module.Bars):
            shown._display.refresh()
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_pipe_gets_lines_of_what_begins() -> None:
    assert work(Console(file=io.StringIO())).splitlines() == [
        "loading",
        "loading depth, 1 of 2",
        "loading generate, 2 of 2",
        "generate",
    ]


def test_a_pipe_is_told_now_and_then_how_far_long_work_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_S", 0)
    assert "generate, 2 of 30" in work(Console(file=io.StringIO())).splitlines()


def test_a_terminal_gets_bars_that_are_gone_in_the_end() -> None:
    shown = work(Console(file=io.StringIO(), force_terminal=True, width=80))
    assert "loading" in shown.split("\n")[0]
    assert "generate" in shown
    assert "\x1b[2K" in shown.split("generate")[-1], "the bars are wiped out"


def test_a_terminal_that_cannot_move_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    console = Console(file=io.StringIO(), force_terminal=True)
    assert "loading depth, 1 of 2\n" in work(console)
