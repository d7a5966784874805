"""Runs commands of the program in this process."""

from typing import NamedTuple

from typer.testing import CliRunner

from imagegraph.cli import app


class Said(NamedTuple):
    """What a command has written to its standard output and error, and how it ended."""

    out: str
    err: str
    code: int


def said(*arguments: str, piped: str | bytes | None = None) -> Said:
    """Runs a command; its error is raised as it is."""
    result = CliRunner().invoke(app.app, list(arguments), input=piped)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(result.stdout, result.stderr, result.exit_code)


def run(*arguments: str) -> str:
    """Returns all that a command writes; its error is raised as it is."""
    done = said(*arguments)
    return done.out + done.err
