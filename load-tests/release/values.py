"""What requests bring: a photo where a picture is asked for, a prompt where a text must be, a seed each."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from imagegraph.errors import InvalidInput
from imagegraph.image import Image

PROMPT = "a red cube beside a blue sphere"
SEED = "seed"
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_PNG_HEAD = 33  # bytes of the signature and of the first chunk, which must stay the first


class Values:
    """The values of a graph's requests, each time anew.

    Attributes:
        metadata: what V2 says of the graph's inputs.
    """

    def __init__(
        self, inputs: Sequence[Mapping[str, Any]], photo: bytes, given: Mapping[str, Any], kind: str
    ):
        """Takes the inputs as V2 metadata have them.

        Args:
            given: values by name, which are all requests'.
            kind: see `Scenario.values`.

        Raises:
            InvalidInput: an input must be there and nobody knows what it could be, or there is no such input;
                or no other photos can be made of this one.
        """
        names = {one["name"] for one in inputs}
        for name in given:
            if name not in names:
                raise InvalidInput("--input", f"a name of {', '.join(sorted(names))}", name)
        self._same = dict(given)
        self._photos: list[tuple[str, bool]] = []
        self._photo, self._new_photo = photo, kind == "new"
        if self._new_photo:
            marked(photo, 0)
        self._seed = kind != "same" and SEED in names and SEED not in given
        for one in inputs:
            name, facts = one["name"], one.get("parameters", {})
            if name in given or not facts.get("required", True):
                continue
            if facts.get("content_type") == "image/*":
                self._photos.append((name, one["shape"] != [1]))
            elif one["datatype"] == "BYTES" and "content_type" not in facts:
                self._same[name] = PROMPT if one["shape"] == [1] else [PROMPT]
            elif not (name == SEED and self._seed):
                raise InvalidInput(f"--input {name}", "a value: the graph needs one", None)

    def of(self, number: int) -> dict[str, Any]:
        """Returns the values of one request."""
        values = dict(self._same)
        if self._photos:
            photo = Image(marked(self._photo, number) if self._new_photo else self._photo)
            values |= {name: [photo] if several else photo for name, several in self._photos}
        if self._seed:
            values[SEED] = number
        return values


def marked(picture: bytes, number: int) -> bytes:
    """Returns a picture of the same pixels whose bytes are those of no other number: a comment is added.

    Results are kept by the bytes of what they were read from. To draw and encode another photo for every
    request would take longer than to send it.
    """
    text = b"load test %d" % number
    if picture.startswith(_PNG):
        chunk = b"tEXtComment\0" + text
        framed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        return picture[:_PNG_HEAD] + framed + picture[_PNG_HEAD:]
    if picture.startswith(_JPEG):
        return picture[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + picture[2:]
    raise InvalidInput("--photo", "a JPEG or PNG", picture)
