"""Writes the answer of a graph to a folder: pictures with provenance, scores, a contact sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from imagegraph import provenance
from imagegraph.embedded import Embedded
from imagegraph.image import Image
from imagegraph.message import Message, Tensor, same
from imagegraph.provenance import Record, SourceFile

# Values of an answer that hold one item for each of its pictures.
PER_PICTURE = ("steered_by", "seeds", "clip_prompt", "clip_image", "fidelity")

SUMMARY = "results.json"
CELL, GAP, TEXT = 256, 12, 14
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp"}


def save(
    folder: Path,
    name: str,
    embedded: Embedded,
    values: Mapping[str, Any],
    answer: Message,
    timings: Mapping[str, float],
) -> list[Path]:
    """Writes all that a graph answered and returns the files, the most telling first.

    Args:
        name: of the graph.
        values: the request.
        timings: seconds by node.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _forget(folder)
    read = embedded.parameters(values)
    given = {port: images for port, value in read.items() if (images := _images(value))}
    sources = {port: _sources(folder, port, images) for port, images in given.items()}
    parameters = {
        port: embedded.inputs[port].port.plain(value)
        for port, value in read.items()
        if not embedded.inputs[port].port.holds_images
    }
    files: list[Path] = []
    pictures: list[dict[str, Any]] = []
    shown: list[tuple[str, Image]] = []
    record = Record(
        name=name,
        bundle=embedded.bundle,
        graph=embedded.root,
        nodes=provenance.nodes(embedded.root, embedded.bundle, embedded.catalogue),
        parameters=parameters,
        sources=sources,
        picture=0,
    )
    for place, (index, picture, about) in enumerate(_ranked(answer), 1):
        path = folder / "-".join(["picture", f"{place:02}", *_label(about)])
        path = path.with_suffix(".png")
        own = record.model_copy(update={"picture": index, "about": about})
        path.write_bytes(provenance.stamp(picture, own))
        files.append(path)
        pictures.append({"file": path.name, "picture": index, **about})
        shown.append((_sentence(place, about), picture))
    maps = {
        port: value
        for port, value in answer.values.items()
        if isinstance(value, Image) and port not in sources
    }
    for port, image in maps.items():
        path = folder / f"{port}.png"
        path.write_bytes(image.data)
        files.append(path)
    above = [(port, image) for port, images in given.items() for image in images] + list(maps.items())
    if above or shown:
        sheet = folder / "sheet.png"
        caption = answer.values.get("caption") or answer.values.get("prompt") or name
        contact_sheet(str(caption), [above, shown]).save(sheet)
        files.insert(0, sheet)
    summary = folder / SUMMARY
    facts = {
        "graph": name,
        "bundle": embedded.bundle,
        "parameters": parameters,
        "answer": {
            port: value
            for port, value in answer.values.items()
            if port not in {*PER_PICTURE, "pictures"}
            and not isinstance(value, (Image, Tensor))
            and not (port in read and same(value, read[port]))
        },
        "pictures": pictures,
        "seconds": timings,
    }
    options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
    summary.write_bytes(orjson.dumps(facts, option=options))
    return [*files, summary]


def _forget(folder: Path) -> None:
    """Removes the pictures of the run before, which this one may not overwrite all."""
    summary = folder / SUMMARY
    if summary.is_file():
        for picture in orjson.loads(summary.read_bytes())["pictures"]:
            (folder / Path(picture["file"]).name).unlink(missing_ok=True)


def _images(value: Any) -> list[Image]:
    """Returns the pictures in a value of a port: the value itself, or what the list holds."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, Image)]


def _sources(folder: Path, port: str, images: Sequence[Image]) -> tuple[SourceFile, ...]:
    """Keeps the pictures of the request as they came, so that `replay` finds them."""
    files = []
    for index, image in enumerate(images):
        suffix = next((end for start, end in _SUFFIXES.items() if image.data.startswith(start)), ".png")
        number = f"-{index}" if len(images) > 1 else ""
        path = folder / f"source-{port}{number}{suffix}"
        path.write_bytes(image.data)
        files.append(SourceFile(file=path.name, sha256=provenance.digest(image)))
    return tuple(files)


def _ranked(answer: Message) -> list[tuple[int, Image, dict[str, Any]]]:
    """Returns index, picture and facts of every picture, best first where the graph ranks."""
    pictures: Sequence[Image] = answer.values.get("pictures") or []
    order = answer.values.get("order", range(len(pictures)))
    columns = {name: answer.values[name] for name in PER_PICTURE if name in answer.values}
    return [
        (index, pictures[index], {name: column[index] for name, column in columns.items()}) for index in order
    ]


def _label(about: Mapping[str, Any]) -> list[str]:
    return [str(about[name]) for name in ("steered_by", "seeds") if name in about]


def _sentence(place: int, about: Mapping[str, Any]) -> str:
    scores = [f"{name.removeprefix('clip_')} {about[name]:.2f}" for name in PER_PICTURE[2:] if name in about]
    return f"{place}. {about.get('steered_by', '')}\n{'  '.join(scores)}"


def contact_sheet(
    title: str, rows: Sequence[Sequence[tuple[str, Image]]], cell: int = CELL
) -> PillowImage.Image:
    """Draws pictures in rows under a title, each fitted into `cell` px, with labels of up to two lines."""
    rows = [row for row in rows if row]
    font = ImageFont.load_default(TEXT)
    head, step, row_step = TEXT + 2 * GAP, cell + GAP, cell + 4 * TEXT
    sheet = PillowImage.new("RGB", (GAP + max(map(len, rows)) * step, head + len(rows) * row_step), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), title, "black", font)
    for line, row in enumerate(rows):
        for column, (label, image) in enumerate(row):
            left, top = GAP + column * step, head + line * row_step
            picture = image.rgb()
            scale = cell / max(picture.size)
            size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
            sheet.paste(picture.resize(size), (left, top))
            draw.multiline_text((left, top + cell + 2), label, "black", font)
    return sheet
