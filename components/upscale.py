"""Super-resolution (Swin2SR)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from components.pretrained import pretrained
from imagegraph.codecs.pixels import MAX_PIXELS
from imagegraph.component import Component, Progress, Weights
from imagegraph.errors import InputTooLarge, InvalidInput
from imagegraph.image import Image

if TYPE_CHECKING:
    from PIL import Image as PillowImage

# How far around a part the model looks as well. What a window of attention says reaches half a window
# further with every layer: 32 px in pocket, where parts are exact, and 152 px in the 36 layers of the
# large models, of which what is beyond 64 px changes no value of eight bits.
HALO = 64


class Upscaled(TypedDict):
    """pictures: each larger by the model's factor, or as it came where that is too large; in their order."""

    pictures: list[Image]


class Span(NamedTuple):
    """A part of a side in px: what is kept of it, and what the model sees for that."""

    start: int
    end: int
    seen_start: int
    seen_end: int

    def of_whole(self, scale: int) -> slice:
        """Returns where it is in the whole, both `scale` times as large."""
        return slice(scale * self.start, scale * self.end)

    def of_seen(self, scale: int) -> slice:
        """Returns where it is in what the model sees, both `scale` times as large."""
        return slice(scale * (self.start - self.seen_start), scale * (self.end - self.seen_start))


class Upscale(Component):
    """Enlarges pictures and sharpens them.

    Source: Conde et al. 2022, Swin2SR.
    """

    def __init__(self, tile: int = 640) -> None:
        """Pictures with a side over `tile` px are enlarged in parts of at most tile x tile px.

        Memory grows with the area of a part: 4.5 GiB for 640 px in the large models at 32 bit.
        """
        self._tile = tile

    @classmethod
    def check(cls, known: Mapping[str, Any], coming: Mapping[str, bool], roles: Container[str]) -> None:
        """Refuses a request without a picture."""
        if all(known.get(name) is None and name not in coming for name in ("pictures", "image")):
            raise InvalidInput("pictures", "pictures, or an image", "neither")

    def load(self, weights: Weights) -> None:
        """Loads a super-resolution model and its processor."""
        from transformers import AutoImageProcessor, Swin2SRForImageSuperResolution

        self._processor = AutoImageProcessor.from_pretrained(weights["model"])
        self._model = pretrained(Swin2SRForImageSuperResolution, weights)
        self._scale: int = self._model.config.upscale
        self._window: int = self._model.config.window_size

    def predict(
        self, progress: Progress, pictures: list[Image] | None = None, image: Image | None = None
    ) -> Upscaled:
        """Enlarges `pictures` or, where there are none, `image`; progress counts their parts.

        Pictures that would become more than any node reads stay as they are: what has drawn them is not
        to be lost.

        Raises:
            InvalidInput: there is neither.
            InputTooLarge: what `image` would become is more than any node reads.
        """
        if pictures is None:
            if image is None:
                raise InvalidInput("pictures", "pictures, or an image", "neither")
            if not self._fits(*image.size):
                most = MAX_PIXELS // self._scale**2
                expected = f"at most {most} pixels, since {self._scale} times as large is {MAX_PIXELS}"
                raise InputTooLarge("image", expected, "{}x{}".format(*image.size))
            pictures = [image]
        parts = [self._parts(*picture.size) if self._fits(*picture.size) else [] for picture in pictures]
        total, steps = sum(map(len, parts)), itertools.count()
        enlarged = [
            self._enlarge(picture.rgb(), own, lambda: progress(next(steps), total)) if own else picture
            for picture, own in zip(pictures, parts, strict=True)
        ]
        return {"pictures": enlarged}

    def _fits(self, width: int, height: int) -> bool:
        """Whether a picture of this size may be enlarged."""
        return width * height * self._scale**2 <= MAX_PIXELS

    def _parts(self, width: int, height: int) -> list[tuple[Span, Span]]:
        """Returns the columns and rows of every part of a picture."""
        rows = spans(height, self._tile, self._window)
        return [(columns, row) for row in rows for columns in spans(width, self._tile, self._window)]

    def _enlarge(
        self, picture: PillowImage.Image, parts: list[tuple[Span, Span]], report: Callable[[], None]
    ) -> Image:
        scale = self._scale
        pixels = np.empty((picture.height * scale, picture.width * scale, 3), np.uint8)
        for x, y in parts:
            report()
            seen = self._predict(picture.crop((x.seen_start, y.seen_start, x.seen_end, y.seen_end)))
            pixels[y.of_whole(scale), x.of_whole(scale)] = seen[y.of_seen(scale), x.of_seen(scale)]
        return Image.from_array(pixels)

    def _predict(self, picture: PillowImage.Image) -> NDArray[np.uint8]:
        """Returns a picture enlarged, [h, w, 3], and what the processor has added right and below."""
        import torch

        inputs = self._processor(picture, return_tensors="pt").to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            answer = self._model(**inputs).reconstruction[0]
        values = answer.float().clamp(0, 1).permute(1, 2, 0).cpu().numpy()
        pixels: NDArray[np.uint8] = np.round(values * 255).astype(np.uint8)
        return pixels


def spans(length: int, tile: int, window: int) -> list[Span]:
    """Cuts a side of `length` px so that the model sees at most `tile` px at once.

    Parts, and what is seen of them, begin at multiples of `window`, so that the windows of attention are
    those that the whole picture would have.
    """
    if length <= tile:
        return [Span(0, length, 0, length)]
    halo = -(-HALO // window) * window
    windows, most = -(-length // window), (tile - 2 * halo) // window
    count = -(-windows // most)
    cuts = [*(windows * part // count * window for part in range(count)), length]
    return [
        Span(start, end, max(0, start - halo), min(length, end + halo))
        for start, end in itertools.pairwise(cuts)
    ]
