"""`replay`: a picture that `run` has drawn, drawn again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from imagegraph.cli.inputs import taken
from imagegraph.cli.options import Added, Debug, Device, console, progress
from imagegraph.errors import InvalidInput, UnknownName
from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.run import destination, provenance
from imagegraph.run.embedded import Embedded
from imagegraph.run.screen import load_shown, run_shown, screen
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.interface import Interface


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
    ports = taken(Interface.of_graph(record.graph, record.bundle, known))
    sources: dict[str, Any] = {}
    for port, files in record.sources.items():
        if port not in ports:
            raise UnknownName("input", port, ports)
        images = [provenance.find_source(file, picture.parent, port) for file in files]
        sources[port] = images if ports[port].is_list else images[0]
    given = {port: value for port, value in record.parameters.items() if value is not None}
    path = destination.new_file(out, picture.with_name(f"{picture.stem}-replayed.png"))
    with screen(progress) as shown, Embedded(record.graph, record.bundle, known, device) as embedded:

        async def draw() -> Message:
            embedded.parameters({**given, **sources})
            await load_shown(embedded, shown)
            return (await run_shown(embedded, {**given, **sources}, None, shown))[0]

        answer = asyncio.run(draw())
    before, again = Image(picture.read_bytes()), provenance.find_picture(answer, record)
    if before.size != again.size:
        raise InvalidInput(str(picture), "{}x{} px again".format(*before.size), "{}x{}".format(*again.size))
    destination.write(path, provenance.stamp(again, record))
    pixels, others = (np.asarray(one.rgb(), np.int16) for one in (before, again))
    difference = int(np.abs(pixels - others).max())
    said = "bit-equal" if difference == 0 else f"differs by up to {difference} of 255"
    console.print(f"{path}: {said}", soft_wrap=True)
