"""What a picture looks like, in a few bytes: enough to know a copy that is smaller or saved anew."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from imagegraph.dataset.sources import Candidate
from imagegraph.errors import ImagegraphError
from imagegraph.image import Image

SIDE = 8  # px of what colours are compared by
MOST_BITS = 6  # of the 64 of a hash that two copies of a picture may differ in
MOST_COLOUR = 12.0  # mean difference of their colours, of 255
COPYRIGHT = 0x8298  # EXIF


@dataclass(frozen=True)
class Look:
    """What is known of a picture that can be read.

    Attributes:
        bits: its perceptual hash.
        colours: what it looks like from afar, int16 [SIDE * SIDE * 3].
        copyright: what its own EXIF says.
    """

    name: str
    digest: str
    size: tuple[int, int]
    bits: int
    colours: NDArray[np.int16]
    copyright: str = ""

    @property
    def share(self) -> float:
        """Where it is in 0..1, by its perceptual hash: the same whatever else there is."""
        digest = hashlib.sha256(self.bits.to_bytes(8)).digest()
        return int.from_bytes(digest[:8]) / 2**64


@dataclass(frozen=True)
class Dropped:
    """A picture that does not get into the data set, and why: it is broken, or a copy."""

    name: str
    why: str
    is_copy: bool = False


def look_at(candidate: Candidate) -> Look | Dropped:
    """Decodes a picture, all of it.

    Source: the hash is pHash, as ImageHash computes it: signs of the lowest 8 x 8 frequencies of a DCT.
    """
    import imagehash

    if candidate.fault:
        return Dropped(candidate.name, candidate.fault)
    try:
        picture = Image(candidate.data)
        picture.check("picture")
        pixels = picture.rgb()
        with Pillow.open(io.BytesIO(candidate.data)) as own:
            said = str(own.getexif().get(COPYRIGHT, "")).strip("\0 ")
    except ImagegraphError as error:
        return Dropped(candidate.name, str(error))
    small = pixels.resize((SIDE, SIDE), Pillow.Resampling.BOX)
    return Look(
        candidate.name,
        hashlib.sha256(candidate.data).hexdigest(),
        pixels.size,
        int(str(imagehash.phash(pixels)), 16),
        np.asarray(small, np.int16).ravel(),
        said,
    )


def without_copies(looks: Sequence[Look]) -> tuple[list[Look], list[Dropped]]:
    """Returns the pictures of which none is another one's copy, in their order, and the copies.

    Of several the largest stays. Copies are alike in structure, by their hash, and in colour: the hash knows
    light and dark alone.
    """
    best_first = sorted(looks, key=lambda one: (-one.size[0] * one.size[1], one.name))
    bits = np.array([one.bits for one in best_first], np.uint64)
    colours = np.array([one.colours for one in best_first], np.int16).reshape(len(best_first), -1)
    kept = np.empty(len(best_first), np.intp)
    count = 0
    dropped = []
    for index, one in enumerate(best_first):
        near = kept[:count]
        near = near[np.bitwise_count(bits[near] ^ bits[index]) <= MOST_BITS]
        difference = np.abs(colours[near] - colours[index]).mean(axis=1)
        near = near[difference <= MOST_COLOUR]
        if len(near):
            dropped.append(Dropped(one.name, f"a copy of {best_first[near[0]].name}", is_copy=True))
        else:
            kept[count] = index
            count += 1
    staying = {id(best_first[index]) for index in kept[:count]}
    return [one for one in looks if id(one) in staying], sorted(dropped, key=lambda one: one.name)
