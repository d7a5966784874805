"""The command `run NAME`: every input of the graph that is named is an option, too."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from imagegraph import words
from imagegraph.cli.inputs import taken
from imagegraph.cli.options import deployment
from imagegraph.engine.context import Context
from imagegraph.errors import ImagegraphError
from imagegraph.ports import Port
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.interface import Interface

_OPTIONS, _GIVEN = "imagegraph.options", "imagegraph.given"


class RunCommand(TyperCommand):
    """A command that has, beside its own options, one for each input of the graph that is run.

    So they are parsed, explained by `--help` and completed by shells as all others.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Finds the graph among the arguments first; then parses all of them."""
        parser = self.make_parser(ctx)
        parser.ignore_unknown_options = True
        ctx.meta[_OPTIONS] = []
        found = parser.parse_args(list(args))[0]
        try:
            ctx.meta[_OPTIONS] = self._options(ctx, found)
        except ImagegraphError:
            if not ctx.resilient_parsing and not set(args) & set(ctx.help_option_names):
                raise
        rest: list[str] = super().parse_args(ctx, args)
        ctx.meta[_GIVEN] = {option.name: ctx.params.pop(option.name) for option in ctx.meta[_OPTIONS]}
        return rest

    def get_params(self, ctx: Any) -> list[Any]:
        """Returns the command's own parameters, and those of the graph."""
        found: list[Any] = [*super().get_params(ctx), *ctx.meta.get(_OPTIONS, ())]
        for one in found:
            one.show_envvar = False  # all have one, of the same form
        return found

    def _options(self, ctx: Any, found: Mapping[str, Any]) -> list[Any]:
        """Returns an option for each input of the graph that the arguments name.

        Raises:
            ImagegraphError: there is no such graph.
        """
        own = {one.name: one for one in self.params}
        bundle, manifest, added = (
            own[wanted].consume_value(ctx, found)[0] if wanted in own else None
            for wanted in ("bundle", "manifest", "catalogue")
        )
        catalogue = Catalogue.read([Path(path) for path in added or ()])
        names = [found.get("name"), *(found.get("inputs") or ())]
        name = next((one for one in names if one in catalogue.graphs or one in catalogue.entries), names[0])
        if not name:
            return []
        predictor = deployment(name, bundle, Path(manifest) if manifest else None, catalogue).choose(
            Context().id
        )
        ports = taken(Interface.of_graph(predictor.root, predictor.bundle, catalogue))
        names_of_own = {name for one in self.params for name in (one.name, *one.opts)}
        panel = f"Inputs of {name} (bundle {predictor.bundle})"
        return options(
            panel, {port: one for port, one in ports.items() if not {port, flag(port)} & names_of_own}
        )


def given(ctx: typer.Context) -> dict[str, list[str]]:
    """Returns what was given by the options of a graph's inputs, by port."""
    texts = {True: ["yes"], False: ["no"]}  # of switches
    return {
        name: texts[value] if isinstance(value, bool) else list(value)
        for name, value in ctx.meta[_GIVEN].items()
        if value is not None and value != ()
    }


def flag(port: str) -> str:
    """Returns the option of a port."""
    return f"--{port.replace('_', '-')}"


def options(panel: str, ports: Mapping[str, Port]) -> list[Any]:
    """Returns the options of ports, as Typer makes them of annotations.

    Args:
        panel: the heading of their part of the help.
    """

    def command() -> None:
        """Has the inputs for parameters."""

    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(panel, name, port)
            )
            for name, port in ports.items()
        ]
    )
    app = typer.Typer(add_completion=False)
    app.command()(command)
    return [one for one in typer.main.get_command(app).params if one.name in ports]


def _annotation(panel: str, name: str, port: Port) -> Any:
    text = words.default(port)
    stands_in = text if port.required or not text else f"{text} by default"
    facts = "; ".join(filter(None, [words.takes(port), stands_in]))
    choices = words.choices(port)
    about: dict[str, Any] = {"help": f"{port.description} ({facts})".strip(), "rich_help_panel": panel}
    if port.kind is bool:
        return Annotated[bool | None, typer.Option(f"{flag(name)}/{flag(f'no_{name}')}", **about)]
    option = typer.Option(
        flag(name),
        **about,
        metavar=words.placeholder(port),
        autocompletion=lambda incomplete: [choice for choice in choices if choice.startswith(incomplete)],
    )
    return Annotated[list[str] | None, option]
