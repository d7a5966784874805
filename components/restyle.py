"""Arbitrary style transfer: photographs painted in the manner of other pictures."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageOps
from pydantic import Field

from components.onnx_model import OnnxModel
from components.upscale import spans
from imagegraph.codecs.pixels import MAX_PIXELS
from imagegraph.component import Component, Progress, Weights
from imagegraph.errors import InputTooLarge, InvalidInput
from imagegraph.image import Image

if TYPE_CHECKING:
    Floats = NDArray[np.float32]

MOST_STYLES = 8
STEP = 4  # px: the network works at a quarter of the size, so parts begin at multiples of it
KEPT_VECTORS = 512
FLAT = 2 / 255  # greatest standard deviation of a channel that is no pattern
OPAQUE = 0.5  # least part of a style picture that must be seen
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601


class Restyled(TypedDict):
    """pictures: one in all styles together, or one a style in their order; as large as the photo.

    in_style: the style of each picture by its name in the gallery; left out where styles are pictures.
    """

    pictures: list[Image]
    in_style: NotRequired[list[str]]


class Restyle(Component):
    """Paints photographs in the styles of other pictures.

    A style is a vector of a hundred numbers, read once from its picture. Parts of a large photo are
    normalised by what was measured of the whole, so that they meet without seams.

    Source: Ghiasi et al. 2017, Exploring the structure of a real-time, arbitrary neural artistic stylization
    network.
    """

    def __init__(self, tile: int = 512) -> None:
        """Photos with a side over `tile` px are measured at that size and painted in parts of it."""
        self._tile = tile
        self._vectors: dict[bytes, Floats] = {}
        self._lock = threading.Lock()

    @classmethod
    def check(cls, known: Mapping[str, Any], coming: Container[str], roles: Container[str]) -> None:
        """Refuses weights that fit no styles."""
        if "styles" not in coming and known.get("weights") is not None:
            named = known.get("styles") or known.get("style_names") or ()
            _shares(known["weights"], len(named), known.get("blend", True))

    def load(self, weights: Weights) -> None:
        """Opens the network that reads styles, the two that paint, and the gallery."""
        folder = weights["model"]
        self._read = OnnxModel(folder, weights.device, "style.onnx")
        self._paint_whole = OnnxModel(folder, weights.device, "transfer.onnx")
        self._paint_part = OnnxModel(folder, weights.device, "paint.onnx")
        self._gallery: dict[str, Path] = {file.stem: file for file in sorted(folder.glob("gallery/*.jpg"))}

    def predict(
        self,
        image: Image,
        progress: Progress,
        styles: Annotated[
            list[Image] | None,
            Field(min_length=1, max_length=MOST_STYLES, description="Pictures to paint like"),
        ] = None,
        style_names: Annotated[
            list[str] | None,
            Field(
                min_length=1,
                max_length=MOST_STYLES,
                description="Styles of the gallery, where no pictures are given",
            ),
        ] = None,
        blend: Annotated[
            bool, Field(description="One picture in all styles together, or one in each")
        ] = True,
        weights: Annotated[
            list[Annotated[float, Field(ge=0, le=1)]] | None,
            Field(max_length=MOST_STYLES, description="Shares of the styles in a blend; equal by default"),
        ] = None,
        strength: Annotated[float, Field(ge=0, le=1, description="0 is the photo, 1 the painting")] = 1.0,
        keep_colours: Annotated[
            bool, Field(description="Paint light and shade alone, in the photo's own colours")
        ] = False,
    ) -> Restyled:
        """Paints a photo; progress counts its parts.

        Raises:
            InvalidInput: a style is flat, transparent or unknown, there is none, or the weights do not fit.
            InputTooLarge: so many pictures of this size are more than any node reads.
        """
        vectors = self._styles(styles, style_names)
        shares = _shares(weights, len(vectors), blend)
        if blend:
            vectors = np.average(vectors, axis=0, weights=shares, keepdims=True).astype(np.float32)
        width, height = image.size
        if len(vectors) * width * height > MAX_PIXELS:
            expected = f"at most {MAX_PIXELS // len(vectors)} pixels, since {len(vectors)} styles make it"
            raise InputTooLarge("image", f"{expected} {MAX_PIXELS}", f"{width}x{height}")

        def finish(photo: Floats, painted: Floats) -> NDArray[np.uint8]:
            if keep_colours:  # equal steps in all channels change the luma alone
                painted = photo + ((painted - photo) * LUMA).sum(-1, keepdims=True)
            mixed = photo + strength * (np.clip(painted, 0, 1) - photo)
            return np.round(mixed * 255).astype(np.uint8)

        painted = self._paint(image.rgb(), vectors, finish, progress)
        restyled: Restyled = {"pictures": [Image.from_array(one) for one in painted]}
        if style_names and not styles:
            restyled["in_style"] = [" and ".join(style_names)] if blend else style_names
        return restyled

    def _styles(self, pictures: Sequence[Image] | None, names: Sequence[str] | None) -> Floats:
        """Returns the vectors of the styles asked for, [styles, 1, 1, width]."""
        if pictures:
            named = [(f"styles[{index}]", picture) for index, picture in enumerate(pictures)]
        elif names:
            named = [
                (f"style_names[{index}]", self._in_gallery(name, index)) for index, name in enumerate(names)
            ]
        else:
            raise InvalidInput("styles", "style pictures, or style_names of the gallery", "neither")
        return np.concatenate([self._vector(picture, field) for field, picture in named])

    def _in_gallery(self, name: str, index: int) -> Image:
        if name not in self._gallery:
            raise InvalidInput(f"style_names[{index}]", f"one of {', '.join(self._gallery)}", name)
        return Image(self._gallery[name].read_bytes())

    def _vector(self, picture: Image, field: str) -> Floats:
        """Returns the vector of a style [1, 1, 1, width], kept by the picture's content."""
        content = picture.data if picture.is_encoded else picture.rgb().tobytes()
        key = hashlib.sha256(content).digest()
        with self._lock:
            known = self._vectors.get(key)
        if known is None:
            known = self._computed(picture, field)
            with self._lock:
                if len(self._vectors) >= KEPT_VECTORS:
                    del self._vectors[next(iter(self._vectors))]
                self._vectors[key] = known
        return known

    def _computed(self, picture: Image, field: str) -> Floats:
        own = picture.own()
        if own.has_transparency_data:
            seen = float(np.asarray(own.convert("RGBA").getchannel("A")).mean() / 255)
            if seen < OPAQUE:
                raise InvalidInput(
                    field, "a style picture that is not transparent", f"{1 - seen:.0%} of it is"
                )
        side = self._read.config["style_size"]
        pixels = _floats(ImageOps.fit(picture.rgb(), (side, side)))
        if pixels.std(axis=(0, 1)).max() < FLAT:
            colour = "#" + bytes(np.round(pixels.mean(axis=(0, 1)) * 255).astype(np.uint8)).hex()
            raise InvalidInput(field, "a style picture with some pattern", f"nothing but {colour}")
        (vector,) = self._read(pixels[None])
        return vector

    def _paint(
        self,
        photo: PillowImage.Image,
        vectors: Floats,
        finish: Callable[[Floats, Floats], NDArray[np.uint8]],
        progress: Progress,
    ) -> NDArray[np.uint8]:
        """Returns the photo [styles, h, w, 3] in each style."""
        if max(photo.size) <= self._tile:
            progress(0, 1)
            pixels = _floats(photo)
            return finish(pixels, self._run(self._paint_whole, pixels, vectors)[0])
        scale = self._tile / max(photo.size)
        small = photo.resize([max(STEP, round(side * scale / STEP) * STEP) for side in photo.size])
        measured = self._run(self._paint_whole, _floats(small), vectors)[1]
        across, down = (spans(side, self._tile, STEP) for side in photo.size)
        painted = np.empty((len(vectors), photo.height, photo.width, 3), np.uint8)
        for index, (y, x) in enumerate((y, x) for y in down for x in across):
            progress(index, len(across) * len(down))
            pixels = _floats(photo.crop((x.seen_start, y.seen_start, x.seen_end, y.seen_end)))
            (seen,) = self._run(self._paint_part, pixels, vectors, measured)
            kept = y.of_seen(1), x.of_seen(1)
            painted[:, y.of_whole(1), x.of_whole(1)] = finish(pixels[kept], seen[:, *kept])
        return painted

    def _run(self, model: OnnxModel, pixels: Floats, *by_style: Floats) -> list[Floats]:
        """Returns what a network answers for pixels [h, w, 3]: paintings [styles, h, w, 3] first.

        As many styles are painted at once as a part of full size takes memory for.

        Args:
            by_style: the network's other inputs, [styles, …] each.
        """
        height, width, _ = pixels.shape
        padded = np.pad(pixels, ((0, -height % STEP), (0, -width % STEP), (0, 0)), "edge")
        at_once = max(1, self._tile**2 // (height * width))
        starts = range(0, len(by_style[0]), at_once)
        answers = [
            model(padded[None], *(one[start : start + at_once] for one in by_style)) for start in starts
        ]
        paintings, *measured = (np.concatenate(parts) for parts in zip(*answers, strict=True))
        return [paintings[:, :height, :width], *measured]


def _floats(picture: PillowImage.Image) -> Floats:
    """Returns a picture as [h, w, 3] in 0..1."""
    return np.asarray(picture, np.float32) / np.float32(255)


def _shares(weights: Sequence[float] | None, styles: int, blend: bool) -> Sequence[float] | None:
    """Checks the weights of a blend."""
    if weights is None:
        return None
    if not blend:
        raise InvalidInput("weights", "none where every style has a picture of its own", list(weights))
    if len(weights) != styles:
        raise InvalidInput("weights", f"as many as styles: {styles}", list(weights))
    if not any(weights):
        raise InvalidInput("weights", "one at least above 0", list(weights))
    return weights
