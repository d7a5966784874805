"""A picture as the graph carries it: encoded bytes, decoded at most once, when somebody looks."""

from __future__ import annotations

import io
import re
import threading
from typing import Any

import numpy as np
import pybase64
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import PngImagePlugin

from imagegraph.codecs import pixels as decoding
from imagegraph.errors import InvalidInput

_BEGINNING = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP", re.DOTALL)
_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]+={0,2}\s*")


class Image:
    """A JPEG, PNG or WebP picture; made from bytes or from pixels, each form derived on demand.

    A node that only passes a picture on never decodes or encodes it. Thread-safe. Nothing that is
    done to what it hands out changes it: a Pillow picture copies its pixels when it is first written to.
    """

    def __init__(
        self, data: bytes | None = None, pixels: PillowImage.Image | NDArray[Any] | None = None
    ) -> None:
        """Takes encoded bytes (as they came) or pixels (mode RGB, L or I;16), not both.

        Pixels of Pillow are not copied, unless they are written to later; for arrays see `from_array`.
        """
        if (data is None) == (pixels is None):
            raise TypeError("Image needs either data or pixels")
        self._data = data
        self._array = pixels if isinstance(pixels, np.ndarray) else None
        self._pixels = _shared(pixels) if isinstance(pixels, PillowImage.Image) else None
        self._rgb: PillowImage.Image | None = None
        self._field = "image"
        self._lock = threading.Lock()

    @classmethod
    def from_array(cls, array: NDArray[Any]) -> Image:
        """Wraps uint8 [h, w, 3] (sRGB), uint8 [h, w] (a mask) or uint16 [h, w] (a 16-bit map).

        It is copied, as it may be used again, unless it cannot be written to: then only who looks
        makes pixels of it.
        """
        if array.dtype not in (np.uint8, np.uint16):
            raise TypeError(f"expected uint8 or uint16 pixels, got {array.dtype}")
        if not array.flags.writeable:
            return cls(pixels=array)
        # Of one channel Pillow itself would take no copy.
        return cls(pixels=PillowImage.fromarray(array.copy() if array.ndim == 2 else array))

    @classmethod
    def from_text(cls, text: str, field: str = "image") -> Image:
        """Decodes base64, with or without a `data:` prefix.

        Raises:
            InvalidInput: the text is not base64.
        """
        payload = text.split(",", 1)[1] if text.startswith("data:") and "," in text else text
        try:
            data = pybase64.b64decode(payload, validate=True)
        except ValueError:  # perhaps broken into lines
            try:
                data = pybase64.b64decode("".join(payload.split()), validate=True)
            except ValueError as error:
                raise InvalidInput(field, f"an image as base64 ({error})", text) from error
        if not data:
            raise InvalidInput(field, "an image as base64", text)
        return cls(data)

    @classmethod
    def from_bytes(cls, data: bytes, field: str = "image") -> Image:
        """Takes an encoded picture, or base64 of one (as JSON hops leave it) in ASCII."""
        # No JPEG or PNG begins with 64 characters of base64; a WebP has zero bytes soon enough.
        if _BASE64.fullmatch(data[:64]) or data[:5] == b"data:":
            return cls.from_text(data.decode("ascii", "replace"), field)
        return cls(data)

    def __reduce__(self) -> tuple[Any, ...]:
        return Image, (self.data,)  # without the lock, and with one form of the two

    @property
    def data(self) -> bytes:
        """The encoded picture: the very bytes it came as, or a PNG of the pixels."""
        with self._lock:
            if self._data is None:
                self._data = encode_png(self._decoded())
            return self._data

    @property
    def is_encoded(self) -> bool:
        """Whether `data` is there, so that asking for it takes no time."""
        return self._data is not None

    def rgb(self) -> PillowImage.Image:
        """Returns the picture upright, opaque, in 8-bit sRGB.

        EXIF orientation is applied, an embedded colour profile (also of grey or CMYK) is converted,
        alpha is composited on white.

        Raises:
            InvalidInput: not a picture, truncated, animated, or of a shape outside the limits.
            InputTooLarge: more than `pixels.MAX_PIXELS`, known from the header alone.
        """
        with self._lock:
            if self._rgb is None:
                decoded = self._decoded()
                self._rgb = decoding.to_rgb(decoded)
                if self._data is not None and self._rgb is not decoded:
                    self._pixels = None  # not both: who wants them as a map too is rare
            return _shared(self._rgb)

    def own(self) -> PillowImage.Image:
        """Returns the picture upright, in its own mode and colours.

        Raises:
            InvalidInput, InputTooLarge: as `rgb`.
        """
        with self._lock:
            return _shared(self._decoded())

    def map(self) -> NDArray[np.float32]:
        """Returns a one-channel map as float32 [h, w] in 0..1 (16-bit maps keep their precision).

        Alpha is composited on black, where a map says nothing; a colour profile means nothing.

        Raises:
            InvalidInput, InputTooLarge: as `rgb`.
        """
        with self._lock:
            return decoding.to_map(self._decoded())

    def map_rgb(self) -> PillowImage.Image:
        """Returns a map of any kind as 8-bit RGB, the same that `map` shows in one channel.

        Raises:
            InvalidInput, InputTooLarge: as `rgb`.
        """
        with self._lock:
            return _shared(decoding.to_map_rgb(self._decoded()))

    def check(self, field: str) -> None:
        """Looks at the first bytes, and remembers the port that the picture came by for later errors.

        The rest is for whoever decodes it: most nodes that a picture passes through do not.

        Raises:
            InvalidInput: no JPEG, PNG or WebP begins like this.
        """
        self._field = field
        if self._data is not None and not _BEGINNING.match(self._data):
            raise decoding.no_picture(self._data, field)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright; from the header, if nothing is decoded yet."""
        known = self._pixels or self._rgb
        if known is not None:
            return known.size
        if self._array is not None:
            return self._array.shape[1], self._array.shape[0]
        assert self._data is not None
        return decoding.size(self._data, self._field)

    def _decoded(self) -> PillowImage.Image:
        if self._pixels is None and self._array is not None:
            self._pixels = PillowImage.fromarray(self._array)
        if self._pixels is None:
            assert self._data is not None
            self._pixels = decoding.decode(self._data, self._field)
        return self._pixels

    def __repr__(self) -> str:
        if self._data is not None:
            return f"Image({len(self._data)} bytes)"
        return "Image({} {}x{})".format(self._decoded().mode, *self.size)

    def _repr_png_(self) -> bytes:
        """Returns what notebooks show."""
        return self.data if self.data.startswith(b"\x89PNG") else encode_png(self.rgb())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Image):
            return False
        if not self.is_encoded and not other.is_encoded:  # which takes long
            one, another = self._decoded(), other._decoded()
            return (one.mode, one.size) == (another.mode, another.size) and one.tobytes() == another.tobytes()
        return self.data == other.data

    def __hash__(self) -> int:
        return hash(self.data)


class _Shared(PillowImage.Image):
    """A picture whose pixels others see, too; Pillow's own methods copy them first, but for these two."""

    def frombytes(self, *arguments: Any, **named: Any) -> None:
        self._ensure_mutable()
        super().frombytes(*arguments, **named)

    def putpalette(self, *arguments: Any, **named: Any) -> None:
        self._ensure_mutable()
        super().putpalette(*arguments, **named)


def _shared(picture: PillowImage.Image) -> PillowImage.Image:
    """Returns the same pixels as a picture of its own; whoever writes to either gets a copy first."""
    picture.load()
    picture.readonly = 1
    shared = picture._new(picture.im)
    shared.__class__ = _Shared
    shared.readonly = 1
    shared.info = {}
    return shared


def encode_png(picture: PillowImage.Image, text: dict[str, str] | None = None) -> bytes:
    """Encodes pixels as PNG, with optional text chunks (UTF-8, compressed).

    Level 1: a tenth larger than the default, three times as fast.
    """
    info = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        info.add_itxt(key, value, zip=True)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1, pnginfo=info)
    return buffer.getvalue()


def working_size(width: int, height: int, size: int) -> tuple[int, int]:
    """Returns the (width, height) at which models of native side `size` look at a picture.

    The shorter side becomes `size`, the longer keeps the aspect ratio; both are multiples of 64, as
    the annotators of controlnet-aux and the U-Nets of Stable Diffusion need.
    """
    scale = size / min(width, height)
    return tuple(max(64, round(side * scale / 64) * 64) for side in (width, height))  # type: ignore[return-value]
