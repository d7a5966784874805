"""The program: its commands, how it ends, and what it tells the shell."""

from __future__ import annotations

import gc
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from imagegraph import __version__
from imagegraph.cli import canary, studio
from imagegraph.cli.batch import batch
from imagegraph.cli.batch_words import BatchCommand
from imagegraph.cli.command import RunCommand
from imagegraph.cli.dataset import dataset
from imagegraph.cli.export import export
from imagegraph.cli.generate import generate
from imagegraph.cli.options import exit_code
from imagegraph.cli.replay import replay
from imagegraph.cli.run import run
from imagegraph.cli.serve import serve
from imagegraph.cli.show import list_, show
from imagegraph.cli.style_report import StyleReportCommand, style_report
from imagegraph.errors import ImagegraphError

INTERRUPTED, TERMINATED = 130, 143  # what shells expect of whom SIGINT or SIGTERM ended


class Program(TyperGroup):
    """The program itself; what its own options ask for is done instead of a command, so they are typed."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Returns its options, which the environment says nothing of, whatever IMAGEGRAPH_VERSION is."""
        found: list[Any] = super().get_params(ctx)
        for one in found:
            one.allow_from_autoenv = False
        return found


# Every option can be given by the environment, too: `IMAGEGRAPH_SERVE_GRACE=60` is `serve --grace 60`.
app = typer.Typer(
    cls=Program,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": "IMAGEGRAPH"},
)
app.command(cls=RunCommand)(run)
app.command(cls=BatchCommand)(batch)
app.command(cls=StyleReportCommand)(style_report)
for command in (serve, show, export, generate, replay, dataset):
    app.command()(command)
app.command(name="list")(list_)
app.add_typer(canary.commands, name="canary")
app.add_typer(studio.commands, name="studio")


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"imagegraph {__version__}")
        raise typer.Exit


@app.callback()
def imagegraph(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version")
    ] = False,
) -> None:
    """Runs and serves graphs of image models (see `list`)."""


def _end(number: int, frame: FrameType | None) -> None:
    """Ends in order, so that no empty folder is left; whoever asks again does not wait for that."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + number))
    raise SystemExit(128 + number)


def _leave(code: Any) -> None:
    """Ends at once: Python would wait for threads of components, however long they still load or compute."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def command_line(arguments: Sequence[str]) -> None:
    """Runs a command.

    Raises:
        SystemExit: with 0 where it went well, 2 where who asked can do something about it, 1 where not.
    """
    try:
        app(arguments, prog_name="imagegraph")
    except ImagegraphError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(exit_code(error))


def main(*commands: Sequence[str]) -> None:
    """Runs commands one after the other, in a process of their own; by default that of `sys.argv`."""
    # As the first process of a container, one without a handler would ignore the signal.
    signal.signal(signal.SIGTERM, _end)
    # Libraries warn of their own old habits; the user of a command can do nothing about it.
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=UserWarning)
    os.environ.setdefault("TQDM_DISABLE", "1")  # their bars would tear ours apart
    try:
        for command in commands or [sys.argv[1:]]:
            try:
                command_line(command)
            except SystemExit as end:
                if end.code:
                    raise
    except SystemExit as end:
        if end.code in (INTERRUPTED, TERMINATED) or isinstance(end.__context__, ImagegraphError):
            _leave(end.code)
        raise
    finally:
        gc.freeze()  # else Python looks through all that torch has made before it ends: a second
