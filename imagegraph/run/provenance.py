"""Provenance: what a picture was made of, in its own PNG text, enough to draw it again."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pydantic_core
from PIL import Image as PillowImage

import imagegraph
from imagegraph.errors import InvalidInput
from imagegraph.image import Image, encode_png
from imagegraph.message import Message
from imagegraph.picture import pillow
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.graph import Node
from imagegraph.spec.strict_yaml import Strict

KEY = "imagegraph"


class SourceFile(Strict):
    """A picture of the request, kept beside the results: its file name and SHA-256."""

    file: str
    sha256: str


class NodeRecord(Strict):
    """A node's entry, the revision of its weights by role, and its settings (None: not recorded)."""

    entry: str
    weights: Mapping[str, str]
    settings: Mapping[str, Any] | None = None


class Asked(Strict):
    """What was asked, and which of the pictures of the answer this is.

    Attributes:
        name: of the graph.
        parameters: every value that the graph read from the request, but for pictures; of a server's, those
            that it was sent.
        sources: its pictures by port, several where the port holds a list.
        port: the list of the answer that this picture is in.
        picture: its index there.
        about: what the answer says of this picture (prior, seed, scores).
    """

    version: str = imagegraph.__version__
    name: str
    parameters: Mapping[str, Any]
    sources: Mapping[str, tuple[SourceFile, ...]]
    port: str = "pictures"
    picture: int
    about: Mapping[str, Any] = {}


class Record(Asked):
    """What drew one picture on this machine.

    Attributes:
        graph: the graph, as in a manifest (name, type, entry, children).
    """

    bundle: str
    device: str = "auto"
    graph: Node
    nodes: Mapping[str, NodeRecord]


class ServedRecord(Asked):
    """What a server was asked that drew one picture.

    Attributes:
        served: the version that the server names.
    """

    served: str


def nodes(root: Node, bundle: str, catalogue: Catalogue) -> dict[str, NodeRecord]:
    """Returns entry, weight revisions and settings of every node."""
    variants = {node.name: catalogue.entry(node.entry).variant(bundle) for node in root.walk()}
    return {
        node.name: NodeRecord(
            entry=node.entry,
            weights={role: source.version for role, source in variants[node.name].weights.items()},
            settings=variants[node.name].settings,
        )
        for node in root.walk()
    }


def check(record: Record, catalogue: Catalogue) -> None:
    """Makes sure that what drew a picture is what would draw it now.

    Raises:
        InvalidInput: names a node that is another, or has other weights or settings.
    """
    now = nodes(record.graph, record.bundle, catalogue)
    for name, then in record.nodes.items():
        if name not in now:
            raise InvalidInput(f"node '{name}'", f"entry '{then.entry}'", "nothing")
        before, after = (one.model_dump(mode="json") for one in (then, now[name]))
        for part, value in before.items():
            if value is not None and value != after[part]:
                raise InvalidInput(f"node '{name}'", f"{part} {value}, as it was drawn with", after[part])


def digest(image: Image) -> str:
    """Returns the SHA-256 of the encoded picture."""
    return hashlib.sha256(image.data).hexdigest()


def stamp(picture: Image, record: Asked | None) -> bytes:
    """Returns the picture as PNG with its record, if there is one; a mask or a 16-bit map stays one."""
    text = {KEY: record.model_dump_json(exclude_defaults=False)} if record else None
    return encode_png(pillow(picture), text)


def read(path: Path) -> Record:
    """Returns the record in a PNG file that this machine could draw again.

    Raises:
        InvalidInput: the file is no PNG picture, or has no record, or one that cannot be read, or a server's.
    """
    found = read_any(path)
    if isinstance(found, ServedRecord):
        expected = "a picture that was drawn on this machine"
        raise InvalidInput(str(path), expected, "one that a server has drawn")
    return found


def read_any(path: Path) -> Record | ServedRecord:
    """Returns the record in a PNG file, whoever has drawn it; raises as `read`."""
    try:
        with PillowImage.open(io.BytesIO(path.read_bytes()), formats=["PNG"]) as picture:
            picture.load()
            text = getattr(picture, "text", {}).get(KEY)
    except Exception as error:  # Pillow's decoders raise anything from OSError to struct.error
        raise InvalidInput(str(path), "a PNG picture", str(error)) from error
    if text is None:
        raise InvalidInput(str(path), "a picture with provenance", "a PNG without the text 'imagegraph'")
    try:
        facts = pydantic_core.from_json(text)
        kind = ServedRecord if isinstance(facts, dict) and "served" in facts else Record
        return kind.model_validate_json(str(text))
    except ValueError as error:  # pydantic's own is one
        raise InvalidInput(str(path), "provenance of this version", str(error)) from error


def find_picture(answer: Message, record: Record) -> Image:
    """Returns the picture of an answer that a record is of.

    Raises:
        InvalidInput: there are not so many.
    """
    pictures = answer.values.get(record.port)
    count = len(pictures) if isinstance(pictures, list) else 0
    if not isinstance(pictures, list) or not 0 <= record.picture < count:
        raise InvalidInput(record.port, f"more than {record.picture} pictures, as when it was drawn", count)
    return cast(Image, pictures[record.picture])


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
