"""Writes the answer of a graph to a folder: pictures with provenance, scores, a contact sheet."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydantic_core

from imagegraph.image import Image
from imagegraph.message import Message, Tensor, same
from imagegraph.picture import Picture, lists_of_pictures, ranked
from imagegraph.run import destination, provenance
from imagegraph.run.destination import Replaced
from imagegraph.run.embedded import Embedded
from imagegraph.run.provenance import Asked, Record, SourceFile
from imagegraph.run.sheet import contact_sheet
from imagegraph.spec.interface import columns

SUMMARY = "results.json"
LONGEST_LABEL = 50  # bytes
MOST_NUMBERS = 4096  # of an array in the summary; larger ones are files of NumPy
LINE = 40  # characters that fit below a picture of a sheet
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp"}


def save(
    folder: Path,
    name: str,
    embedded: Embedded,
    values: Mapping[str, Any],
    answer: Message,
    timings: Mapping[str, float],
    replaced: Replaced = destination.nothing,
) -> list[Path]:
    """Writes all that a graph answered and returns the files, the most telling first.

    Args:
        folder: as `destination.new_folder` has made it.
        name: of the graph.
        values: the request.
        timings: seconds by node.
        replaced: as `new_folder` had it.

    Raises:
        ImagegraphError: it cannot be written to any more.
    """
    made = replace(results(name, embedded, values, answer), timings=timings)
    return write(folder, made, replaced)


def earlier_results(folder: Path) -> frozenset[str]:
    """Names the files of a folder that a run wrote there and nobody has changed since, by its summary."""
    try:
        written = json.loads((folder / SUMMARY).read_bytes())["files"]
        ours = {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
            for name, digest in written.items()
            if name == Path(name).name and (folder / name).is_file() and not (folder / name).is_symlink()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return frozenset()  # no summary of ours
    return frozenset([SUMMARY, *(name for name, same in ours.items() if same)])


@dataclass(frozen=True)
class Results:
    """What is to be written.

    Attributes:
        name: of the graph.
        read: what it read from the request, by input.
        parameters: of these, what is no picture, as JSON knows it.
        answer: all that it answered.
        columns: for every list of pictures, the lists that may say something of each; see `Interface`.
        timings: seconds by node; None where they are told elsewhere.
        bundle: of the weights, if it is known here.
        record: what drew the pictures, to be written into each; None where that is not known here. Made
            with the pictures of the request as they are kept beside the results.
        sheet: whether there is to be a contact sheet.
        more: what else the summary is to say.
    """

    name: str
    read: Mapping[str, Any]
    parameters: Mapping[str, Any]
    answer: Mapping[str, Any]
    columns: Mapping[str, frozenset[str]]
    timings: Mapping[str, float] | None
    bundle: str | None = None
    record: Callable[[Mapping[str, tuple[SourceFile, ...]]], Asked] | None = None
    sheet: bool = True
    more: Mapping[str, Any] = field(default_factory=dict)


def results(name: str, embedded: Embedded, values: Mapping[str, Any], answer: Message) -> Results:
    """Returns what is to be written of an answer of the graph `name` to a request."""
    read = embedded.parameters(values)
    parameters = {
        port: embedded.port(port).plain(value)
        for port, value in read.items()
        if not embedded.port(port).holds_images
    }

    def record(sources: Mapping[str, tuple[SourceFile, ...]]) -> Record:
        return Record(
            name=name,
            bundle=embedded.bundle,
            graph=embedded.root,
            nodes=provenance.nodes(embedded.root, embedded.bundle, embedded.catalogue),
            parameters=parameters,
            sources=sources,
            picture=0,
        )

    said = columns(embedded.catalogue.signatures(embedded.root, embedded.bundle).values())
    return Results(name, read, parameters, answer.values, said, None, embedded.bundle, record)


def write(folder: Path, results: Results, replaced: Replaced = destination.nothing) -> list[Path]:
    """Writes all of it, as `save` does."""
    return destination.fill(folder, lambda staged: write_into(staged, results), replaced)


def write_into(folder: Path, results: Results) -> list[str]:
    """Writes the files to an empty folder and returns the names of those that are to be shown."""
    read, answer = results.read, results.answer
    given = {port: images for port, value in read.items() if (images := _images(value))}
    sources = {port: _sources(folder, port, images) for port, images in given.items()}
    new = {
        port: value
        for port, value in answer.items()
        if not isinstance(value, Tensor) and not (port in read and same(value, read[port]))
    }
    record = results.record and results.record(sources)
    maps = {port: value for port, value in new.items() if isinstance(value, Image)}
    lists = {port: new[port] for port in lists_of_pictures(new)}
    names: list[str] = []
    pictures: list[dict[str, Any]] = []
    rows: list[list[tuple[str, Image]]] = []
    told: set[str] = set()
    for port in lists:
        in_order = [
            replace(one, about={name: _plain(value) for name, value in one.about.items()})
            for one in ranked(port, new, results.columns.get(port, ()))
        ]
        labels = _labels(in_order)
        written = _write_pictures(folder, _singular(port, new), in_order, labels, record)
        names += [one["file"] for one in written]
        pictures += written
        rows.append(
            [
                (_sentence(place, label, one.about), one.value)
                for place, (label, one) in enumerate(zip(labels, in_order, strict=True), 1)
            ]
        )
        told.update(*(one.about for one in in_order))
    for port, image in maps.items():
        (folder / f"{port}.png").write_bytes(image.data)
        names.append(f"{port}.png")
    arrays = {
        port: value
        for port, value in new.items()
        if isinstance(value, np.ndarray) and value.size > MOST_NUMBERS and port not in told
    }
    for port, array in arrays.items():
        np.save(folder / f"{port}.npy", array)
    above = [(port, image) for port, images in given.items() for image in images] + list(maps.items())
    if results.sheet and (above or rows):
        sheet = "contact-sheet.png" if "sheet" in maps else "sheet.png"
        title = answer.get("caption") or answer.get("prompt") or results.name
        contact_sheet(str(title), [above, *rows]).save(folder / sheet)
        names.insert(0, sheet)
    facts = {
        "graph": results.name,
        **({"bundle": results.bundle} if results.bundle else {}),
        "parameters": results.parameters,
        "answer": {port: value for port, value in new.items() if port not in {*maps, *lists, *told, *arrays}},
        "pictures": pictures,
        **({} if results.timings is None else {"seconds": results.timings}),
        **results.more,
        "files": {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())
        },
    }
    text = pydantic_core.to_json(_plain(facts), indent=2, inf_nan_mode="null")
    (folder / SUMMARY).write_bytes(text + b"\n")
    return [*names, SUMMARY]


def _write_pictures(
    folder: Path,
    stem: str,
    pictures: Sequence[Picture],
    labels: Sequence[Sequence[str]],
    record: Asked | None,
) -> list[dict[str, Any]]:
    """Writes pictures with their provenance, and returns what is to be said of each."""
    written = []
    for place, (one, label) in enumerate(zip(pictures, labels, strict=True), 1):
        file = "-".join([stem, f"{place:02}", *_fit(label, one.about)]) + ".png"
        about = {"port": one.port, "picture": one.index, "about": one.about}
        own = record.model_copy(update=about) if record else None
        (folder / file).write_bytes(provenance.stamp(one.value, own))
        ours = {"file": file, "port": one.port, "picture": one.index}
        written.append({**ours, **one.about, **ours})  # ours come first, and count
    return written


def _plain(value: Any) -> Any:
    """Returns a value as JSON knows it; a number that is none stays one."""

    def foreign(value: Any) -> Any:
        return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else repr(value)

    return pydantic_core.to_jsonable_python(value, fallback=foreign, bytes_mode="base64")


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


def _singular(port: str, ports: Mapping[str, Any]) -> str:
    """Returns what one of a list is called: a picture of pictures, unless that is a port of its own."""
    one = port.removesuffix("s")
    return one if one and one not in ports else port


def _labels(pictures: Sequence[Picture]) -> list[list[str]]:
    """Returns the words that tell pictures apart, the shortest first: of several, not those said of all."""
    said = [{name: value for name, value in one.about.items() if isinstance(value, str)} for one in pictures]
    shared = dict(set.intersection(*(set(words.items()) for words in said))) if len(said) > 1 else {}
    names = [name for name in (said[0] if said else ()) if name not in shared]
    names.sort(key=lambda name: max(len(words[name]) for words in said))
    return [[words[name] for name in names] for words in said]


def _fit(label: Sequence[str], about: Mapping[str, Any]) -> list[str]:
    """Returns what tells a picture apart, fit for a file's name: words, then whole numbers."""
    numbers = [value for value in about.values() if type(value) is int]
    cleaned = (re.sub(r"[^\w.]+", "-", str(one)).strip("-.") for one in [*label, *numbers])
    return [one.encode()[:LONGEST_LABEL].decode(errors="ignore") for one in cleaned if one][:3]


def _sentence(place: int, label: Sequence[str], about: Mapping[str, Any]) -> str:
    """Returns what a sheet says below a picture: its words, and as many whole scores as fit."""
    scores = ""
    for name, value in about.items():
        if isinstance(value, float):
            longer = f"{scores}  {name.rpartition('_')[2]} {value:.2f}".strip()
            scores = longer if len(longer) <= LINE else scores
    words = f"{place}. {' '.join(label)}"
    return f"{words[:LINE]}\n{scores}"
