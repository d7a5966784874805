"""`run` and `replay`: a graph on this machine, and a picture of it drawn again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from imagegraph.cli.options import Added, Debug, Device, GraphName, console, deployment
from imagegraph.engine.context import Context
from imagegraph.errors import InvalidInput, UnknownName
from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.run import destination, provenance, save
from imagegraph.run.embedded import Embedded
from imagegraph.run.screen import run_shown, screen
from imagegraph.spec import graph
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.graph import Input


def run(
    name: GraphName,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(help="A photo, and other inputs as name=value (see `imagegraph show NAME`)"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="New folder for the results; by default one in out/ for each run"),
    ] = None,
    bundle: Annotated[str | None, typer.Option(help="Weights to use: pocket, sd15, …")] = None,
    manifest: Annotated[Path | None, typer.Option(help="A SeldonDeployment to run instead")] = None,
    catalogue: Added = None,
    device: Device = "auto",
    timeout: Annotated[float | None, typer.Option(min=0.001, help="Seconds to finish in")] = None,
    debug: Debug = False,
) -> None:
    """Run a graph or a component, and write what it answers to a folder."""
    known = Catalogue.read(catalogue or [])
    predictor = deployment(name, bundle, manifest, known).choose(Context().id)
    with (
        destination.new_folder(out, _photo_name(inputs or []) or name) as folder,
        screen(console) as shown,
        Embedded.of(predictor, known, device) as embedded,
    ):
        values = _values(inputs or [], embedded.inputs)
        embedded.parameters(values)  # a wrong value shall not wait for the weights
        deadline = None if timeout is None else time.monotonic() + timeout
        answer, context, seconds = run_shown(embedded, values, deadline, shown)
        files = save.save(folder, name, embedded, values, answer, context.timings)
    _report(answer, files, context, embedded, seconds)


def replay(
    picture: Annotated[
        Path, typer.Argument(help="A picture that `run` has written", exists=True, dir_okay=False)
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="New file to write it to")] = None,
    catalogue: Added = None,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Draw a picture again from its own provenance, and compare."""
    record = provenance.read(picture)
    known = Catalogue.read(catalogue or [])
    provenance.check(record, known)
    inputs = graph.inputs(record.graph, known.signatures(record.graph, record.bundle))
    sources: dict[str, Any] = {}
    for port, files in record.sources.items():
        if port not in inputs:
            raise UnknownName("input", port, inputs)
        images = [provenance.find_source(file, picture.parent, port) for file in files]
        sources[port] = images if inputs[port].port.is_list else images[0]
    given = {port: value for port, value in record.parameters.items() if value is not None}
    path = destination.new_file(out, picture.with_name(f"{picture.stem}-replayed.png"))
    with screen(console) as shown, Embedded(record.graph, record.bundle, known, device) as embedded:
        answer, _, _ = run_shown(embedded, {**given, **sources}, None, shown)
    before, again = Image(picture.read_bytes()), provenance.find_picture(answer, record)
    if before.size != again.size:
        raise InvalidInput(str(picture), "{}x{} px again".format(*before.size), "{}x{}".format(*again.size))
    destination.write(path, provenance.stamp(again, record))
    pixels, others = (np.asarray(one.rgb(), np.int16) for one in (before, again))
    difference = int(np.abs(pixels - others).max())
    said = "bit-equal" if difference == 0 else f"differs by up to {difference} of 255"
    console.print(f"{path}: {said}", highlight=False, soft_wrap=True)


def _values(arguments: list[str], inputs: dict[str, Input]) -> dict[str, Any]:
    """Reads the arguments of `run`: a path is the photo, the rest is name=value."""
    values: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals:
            name, text = "image", argument
        if name not in inputs:
            raise UnknownName("input", name, inputs)
        if name in values:
            raise InvalidInput(name, "one value", f"a second one, {text!r}")
        port = inputs[name].port
        items = text.split(",") if port.is_list else [text]
        read = [_picture(item, name) if port.holds_images else item for item in items]
        values[name] = read if port.is_list else read[0]
    return values


def _photo_name(arguments: list[str]) -> str | None:
    """Returns the name of the photo among the arguments of `run`, without its ending."""
    photos = (one.removeprefix("image=") for one in arguments)
    return next((Path(one).stem for one in photos if "=" not in one), None)


def _picture(path: str, name: str) -> Image:
    """Reads a picture, and looks at all of it: what no node could read shall not wait for the weights."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(name, "a file with a picture", f"{path} ({error.strerror})") from error
    looked_at = Image(data)
    looked_at.check(name)
    looked_at.own()
    return Image(data)  # without the pixels, which nobody needs while models load


def _report(answer: Message, files: list[Path], context: Context, embedded: Embedded, seconds: float) -> None:
    table = Table("node", "seconds", "loading", box=None)
    entries = {node.name: node.entry for node in embedded.root.walk()}
    for node, spent in context.timings.items():
        table.add_row(node, f"{spent:.2f}", f"{embedded.load_seconds.get(entries[node], 0):.2f}")
    console.print(table)
    for name in ("caption", "prompt"):
        if name in answer.values:
            console.print(f"{name}: {answer.values[name]}", highlight=False, soft_wrap=True)
    console.print(f"{seconds:.1f} s in all, loading included; results:")
    for path in files:
        console.print(f"  {path}", highlight=False, soft_wrap=True)
