"""Provenance: what a picture was made of, in its own PNG text, enough to draw it again."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
from PIL import Image as PillowImage

import imagegraph
from imagegraph.catalogue import Catalogue
from imagegraph.documents import Strict
from imagegraph.errors import InvalidInput
from imagegraph.graph import Node
from imagegraph.image import Image, encode_png

KEY = "imagegraph"


class SourceFile(Strict):
    """A picture of the request, kept beside the results: its file name and SHA-256."""

    file: str
    sha256: str


class NodeRecord(Strict):
    """A node's entry and the revision of its weights by role."""

    entry: str
    weights: Mapping[str, str]


class Record(Strict):
    """What drew one picture.

    Attributes:
        graph: the graph, as in a manifest (name, type, entry, children).
        parameters: every value that the graph read from the request, but for pictures.
        sources: its pictures by port, several where the port holds a list.
        picture: the index of this picture among the pictures of the answer.
        about: what the answer says of this picture (prior, seed, scores).
    """

    version: str = imagegraph.__version__
    name: str
    bundle: str
    device: str = "auto"
    graph: Node
    nodes: Mapping[str, NodeRecord]
    parameters: Mapping[str, Any]
    sources: Mapping[str, tuple[SourceFile, ...]]
    picture: int
    about: Mapping[str, Any] = {}


def nodes(root: Node, bundle: str, catalogue: Catalogue) -> dict[str, NodeRecord]:
    """Returns entry and weight revisions of every node."""
    return {
        node.name: NodeRecord(
            entry=node.entry,
            weights={
                role: source.version
                for role, source in catalogue.entry(node.entry).variant(bundle).weights.items()
            },
        )
        for node in root.walk()
    }


def digest(image: Image) -> str:
    """Returns the SHA-256 of the encoded picture."""
    return hashlib.sha256(image.data).hexdigest()


def stamp(picture: Image, record: Record) -> bytes:
    """Returns the picture as PNG with its record."""
    return encode_png(picture.rgb(), {KEY: record.model_dump_json(exclude_defaults=False)})


def read(path: Path) -> Record:
    """Returns the record in a PNG file.

    Raises:
        InvalidInput: the file is no PNG picture, or has no record, or one that cannot be read.
    """
    try:
        with PillowImage.open(io.BytesIO(path.read_bytes()), formats=["PNG"]) as picture:
            picture.load()
            text = getattr(picture, "text", {}).get(KEY)
    except Exception as error:  # Pillow's decoders raise anything from OSError to struct.error
        raise InvalidInput(str(path), "a PNG picture", str(error)) from error
    if text is None:
        raise InvalidInput(str(path), "a picture with provenance", "a PNG without the text 'imagegraph'")
    try:
        return Record.model_validate_json(str(text))
    except pydantic.ValidationError as error:
        raise InvalidInput(str(path), "provenance of this version", str(error)) from error


def find_source(source: SourceFile, folder: Path, field: str) -> Image:
    """Returns a picture of the request from beside the results.

    Raises:
        InvalidInput: it is not there or not the same picture.
    """
    path = folder / Path(source.file).name
    if not path.is_file():
        raise InvalidInput(field, f"the file {source.file} beside the picture", "nothing")
    image = Image(path.read_bytes())
    if digest(image) != source.sha256:
        raise InvalidInput(field, f"{source.file} with SHA-256 {source.sha256}", digest(image))
    return image
