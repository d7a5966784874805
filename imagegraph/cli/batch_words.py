"""What is written behind `batch`: rows, values, grids, and what a pod of a batch is told of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from imagegraph.batch.models import read_choices
from imagegraph.cli.command import RunCommand
from imagegraph.cli.inputs import Reader
from imagegraph.errors import InvalidInput, UnknownName

WORDS = "imagegraph.words"
# Options of whoever makes the Job, each with a value; the pods need none of them.
CLUSTER = (
    "on", "pods", "parallelism", "claim", "weights-claim", "pool", "gpus", "cpu", "secret", "backoff", "ttl",
    "namespace", "image",
)  # fmt: skip
_NAMED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


class BatchCommand(RunCommand):
    """A command with an option for each input of its graph, whose weights may be named by a list file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Takes all the words name=value that follow --grid for its own."""
        ctx.meta[WORDS] = [*args]
        words: list[str] = []
        grids = False
        for word in args:
            if grids and words[-1] != "--grid" and _NAMED.fullmatch(word):
                words.append("--grid")
            else:
                grids = word == "--grid" or (grids and words[-1] == "--grid")
            words.append(word)
        return super().parse_args(ctx, words)

    def _options(self, ctx: Any, found: Mapping[str, Any]) -> list[Any]:
        bundle = found.get("bundle")
        first = read_choices(bundle, "bundle")[0] if bundle else bundle
        try:
            return super()._options(ctx, {**found, "bundle": first})
        except UnknownName:
            if found.get("url"):
                return []  # perhaps a graph of the server: its inputs are said as name=value
            raise


def read_entries(texts: Sequence[str]) -> dict[str, list[str]]:
    """Returns the entries that may stand at each node."""
    found = {}
    for text in texts:
        node, equals, choice = text.partition("=")
        if not equals or not choice:
            raise InvalidInput("entry", "NODE=ENTRY or NODE=@FILE", text)
        found[node] = read_choices(choice, f"entry of '{node}'")
    return found


def sort_words(
    words: Sequence[str], reader: Reader, named: Mapping[str, Sequence[str]]
) -> tuple[list[str], dict[str, Any]]:
    """Returns what makes rows, and the values that all rows have in common.

    Raises:
        UnknownName: an option is of an input that the graph of a server does not have.
        InvalidInput: a value is wrong.
    """
    texts = {name: list(some) for name, some in named.items()}
    sources = []
    for word in words:
        match = _NAMED.fullmatch(word)
        if match and match[1] in reader.ports:
            texts.setdefault(match[1], []).append(match[2])
        else:
            sources.append(word)
    values = {}
    for name, some in texts.items():
        if name not in reader.ports:
            raise UnknownName("input", name, reader.ports)
        port, value = reader.ports[name], reader.value(name, some)
        values[name] = value if port.holds_images else port.plain(port.read(value))
    return sources, values


def pod_words(words: Sequence[str]) -> list[str]:
    """Returns the words of a command without the options that are about its Job."""
    found: list[str] = []
    rest = iter(words)
    for word in rest:
        option = word.removeprefix("--").partition("=")[0]
        if word.startswith("--") and option in CLUSTER:
            if "=" not in word:
                next(rest, None)
        else:
            found.append(word)
    return found
