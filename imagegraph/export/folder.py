"""The folder that serves a component: what a format makes of it, and what all of them have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imagegraph.export.exported import Exported
from imagegraph.export.graph import ExportedGraph
from imagegraph.image import Image
from imagegraph.ports import Port

README, REQUIREMENTS, START, REQUEST = "README.md", "requirements.txt", "start.sh", "request.json"

_START = """#!/bin/sh
# Starts the server. {listens} What it needs is to be on the PATH; see README.md.
set -eu
cd "$(dirname "$0")"
{variables}
"""


_PICTURES = {Image: "a picture, as base64 of its file", list[Image]: "pictures, as base64 of their files"}
_WRITTEN = re.compile(
    r"`imagegraph export (?P<component>\S+) --format (?P<format>\S+) --bundle (?P<bundle>\S+)`"
)


@dataclass(frozen=True)
class Recipe:
    """How a format serves a component.

    Attributes:
        server: what serves it, for the title of the README.
        files: what the folder has beside the files that all folders have, by path.
        outputs: where the outputs of V2 stand in an answer, as jq writes it; nothing if it has none.
        requirements: what is to be installed beside imagegraph, `name==version`.
        start: shell commands that become the server, run in the folder; they may use `$HOST` and `$PORT`.
        ask: the command that asks the server at port 8080, which may send `@request.json`.
        request: that file; it asks for the catalogue's smoke input.
        install: shell commands that install all that is needed, where that is not simply imagegraph and the
            requirements.
        notes: paragraphs for the README: what is sent and answered, and what else is to be known.
        runtime: whether the files import imagegraph, which computes then.
    """

    server: str
    files: Mapping[str, str | bytes]
    start: str
    ask: str
    request: bytes = b""
    outputs: str = ".outputs"
    requirements: Sequence[str] = field(default_factory=tuple)
    install: str = ""
    notes: str = ""
    runtime: bool = True


def earlier(folder: Path) -> tuple[str, str, str] | None:
    """Returns format, component and bundle that a folder's README says it is an export of, if any."""
    readme = folder / README
    found = _WRITTEN.search(readme.read_text(errors="replace")) if readme.is_file() else None
    return (found["format"], found["component"], found["bundle"]) if found else None


def names(recipe: Recipe) -> list[str]:
    """Returns what is in the folder, the README last."""
    common = [REQUIREMENTS] * bool(recipe.requirements) + [REQUEST] * bool(recipe.request) + [START, README]
    return list(dict.fromkeys([*(Path(name).parts[0] for name in recipe.files), *common]))


def write(folder: Path, format: str, exported: Exported | ExportedGraph, recipe: Recipe) -> Sequence[str]:
    """Writes all files and returns the `names`."""
    files = {
        **recipe.files,
        REQUIREMENTS: "".join(f"{one}\n" for one in recipe.requirements),
        REQUEST: recipe.request,
        START: _start(recipe),
        README: _readme(format, exported, recipe),
    }
    write_files(folder, {name: content for name, content in files.items() if content})
    (folder / START).chmod(0o755)
    return names(recipe)


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Writes files by their paths in a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def _start(recipe: Recipe) -> str:
    host = "HOST=${HOST:-127.0.0.1} " if "$HOST" in recipe.start else ""
    head = _START.format(listens=_listens(recipe).replace("`", ""), variables=host + "PORT=${PORT:-8080}")
    return f"{head}{recipe.start.strip()}\n"


def _listens(recipe: Recipe) -> str:
    if "$HOST" in recipe.start:
        return "It listens at 127.0.0.1:8080, or where `HOST` and `PORT` say."
    return "It listens at all addresses, at port 8080 or that of `PORT`."


def _readme(format: str, exported: Exported | ExportedGraph, recipe: Recipe) -> str:
    paragraphs = [
        f"# {exported.component}, served by {recipe.server}",
        f"{exported.summary}; bundle `{exported.bundle}`. Written by\n"
        f"`imagegraph export {exported.component} --format {format} --bundle {exported.bundle}`.",
        "## Install",
        _install(exported, recipe),
        "## Start",
        "```sh\n./start.sh\n```",
        _listens(recipe),
        "## Ask",
        f"```sh\n{recipe.ask.strip()}\n```",
        *_saving(exported, recipe),
        *([recipe.notes.strip()] if recipe.notes else []),
        *([_ports("Inputs", exported.interface.inputs)] if recipe.runtime else []),
        *([_ports("Outputs", exported.interface.outputs)] if recipe.runtime else []),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _install(exported: Exported | ExportedGraph, recipe: Recipe) -> str:
    lines = []
    if recipe.install:
        lines += [recipe.install.strip()]
    elif recipe.runtime:
        lines += [
            "pip install --editable '/path/to/imagegraph[models,serve]'  # where the project was cloned to",
        ]
    if recipe.requirements and not recipe.install:
        lines += [f"pip install -r {REQUIREMENTS}"]
    text = "```sh\n{}\n```".format("\n".join(lines)) if lines else f"Have {recipe.server} on the PATH."
    return f"{text}\n\n{_weights(exported)}" if recipe.runtime else text


def _weights(exported: Exported | ExportedGraph) -> str:
    """Says where the weights come from."""
    folders = sorted({str(one.path) for one in exported.sources if one.path})
    words = []
    if folders:
        named = ", ".join(f"`{folder}`" for folder in folders)
        words.append(f"Weights are read from the repository: {named}.")
    if any(one.path is None for one in exported.sources):
        words.append(
            f"Weights come from the cache, where `model-init pull --bundle {exported.bundle}` puts them."
        )
    return " ".join(words) or "It has no weights."


def _saving(exported: Exported | ExportedGraph, recipe: Recipe) -> list[str]:
    """Says how a picture is saved out of an answer."""
    pictures = [name for name, port in exported.interface.outputs.items() if port.kind in _PICTURES]
    if not (pictures and recipe.runtime and recipe.outputs):
        return []
    chosen = f"jq -r '{recipe.outputs}[] | select(.name == \"{pictures[0]}\") | .data[0]'"
    return [
        f"Pictures are answered as base64; this saves one:\n\n"
        f"```sh\n{recipe.ask.strip()} \\\n  | {chosen} | base64 --decode > {pictures[0]}.png\n```"
    ]


def _meaning(port: Port) -> str:
    return " ".join(port.description.split()).replace("|", "/") or _PICTURES.get(port.kind, "")


def _ports(title: str, ports: Mapping[str, Port]) -> str:
    rows = [
        f"| `{name}` | {one.datatype} {list(one.shape)} | {'yes' if one.required else ''} | {_meaning(one)} |"
        for name, one in ports.items()
    ]
    head = f"| {title.lower()} | type | always | meaning |\n|---|---|---|---|"
    return "\n".join([f"## {title}", "", head, *rows])
