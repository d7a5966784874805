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
from PIL import ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError

from imagegraph.errors import InputTooLarge, InvalidInput

MAX_PIXELS = 64_000_000
MIN_SIDE = 16
MAX_ASPECT = 4.0
FORMATS = ("JPEG", "PNG", "WEBP")
# Our own limit decides, with a better sentence than Pillow's warning and error.
PillowImage.MAX_IMAGE_PIXELS = None

_SRGB = ImageCms.createProfile("sRGB")
_BEGINNING = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP", re.DOTALL)
_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]+={0,2}\s*")


class Image:
    """A JPEG, PNG or WebP picture; made from bytes or from pixels, each form derived on demand.

    A node that only passes a picture on never decodes or encodes it. Thread-safe.
    """

    def __init__(self, data: bytes | None = None, pixels: PillowImage.Image | None = None) -> None:
        """Takes encoded bytes (as they came) or pixels (mode RGB, L or I;16), not both."""
        if (data is None) == (pixels is None):
            raise TypeError("Image needs either data or pixels")
        self._data = data
        self._pixels = pixels
        self._field = "image"
        self._lock = threading.Lock()

    @classmethod
    def from_array(cls, array: NDArray[Any]) -> Image:
        """Wraps uint8 [h, w, 3] (sRGB), uint8 [h, w] (a mask) or uint16 [h, w] (a 16-bit map)."""
        if array.dtype in (np.uint8, np.uint16):
            return cls(pixels=PillowImage.fromarray(array))
        raise TypeError(f"expected uint8 or uint16 pixels, got {array.dtype}")

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

    @property
    def data(self) -> bytes:
        """The encoded picture: the very bytes it came as, or a PNG of the pixels."""
        with self._lock:
            if self._data is None:
                assert self._pixels is not None
                self._data = encode_png(self._pixels)
            return self._data

    @property
    def is_encoded(self) -> bool:
        """Whether `data` is there, so that asking for it takes no time."""
        return self._data is not None

    def rgb(self) -> PillowImage.Image:
        """Returns the picture upright, opaque, in 8-bit sRGB.

        EXIF orientation is applied, alpha is composited on white, an embedded colour profile (also
        CMYK) is converted.

        Raises:
            InvalidInput: not a picture, truncated, animated, or of a shape outside the limits.
            InputTooLarge: more than MAX_PIXELS, known from the header before anything is decoded.
        """
        return _to_rgb(self._decoded())

    def map(self) -> NDArray[np.float32]:
        """Returns a one-channel map as float32 [h, w] in 0..1 (16-bit maps keep their precision)."""
        pixels = self._decoded()
        if pixels.mode.startswith("I"):
            return np.asarray(pixels).astype(np.float32) / 65535.0
        return np.asarray(pixels.convert("L"), dtype=np.float32) / 255.0

    def check(self, field: str) -> None:
        """Looks at the first bytes, and remembers the port that the picture came by for later errors.

        The rest is for whoever decodes it: most nodes that a picture passes through do not.

        Raises:
            InvalidInput: no JPEG, PNG or WebP begins like this.
        """
        self._field = field
        if self._data is not None and not _BEGINNING.match(self._data):
            raise _no_picture(self._data, field)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        return self._decoded().size

    def _decoded(self) -> PillowImage.Image:
        with self._lock:
            if self._pixels is None:
                assert self._data is not None
                self._pixels = decode(self._data, self._field)
            return self._pixels

    def __repr__(self) -> str:
        if self._data is not None:
            return f"Image({len(self._data)} bytes)"
        assert self._pixels is not None
        return f"Image({self._pixels.mode} {self._pixels.width}x{self._pixels.height})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.data)


def decode(data: bytes, field: str = "image") -> PillowImage.Image:
    """Decodes and uprights untrusted bytes within the limits of this module; see `Image.rgb`."""
    try:
        picture = PillowImage.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise _no_picture(data, field) from error
    except Exception as error:  # Pillow's decoders raise anything from OSError to struct.error
        raise InvalidInput(field, "a whole picture", f"{len(data)} bytes ({error})") from error
    _check_header(picture, field)
    try:
        picture.load()
        return ImageOps.exif_transpose(picture)
    except Exception as error:  # as above
        raise InvalidInput(field, "a whole picture", f"{len(data)} bytes ({error})") from error


def _no_picture(data: bytes, field: str) -> InvalidInput:
    got = f"{len(data)} bytes beginning with {data[:8]!r}" if data else "0 bytes"
    return InvalidInput(field, "a JPEG, PNG or WebP picture", got)


def _check_header(picture: PillowImage.Image, field: str) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise InputTooLarge(field, f"at most {MAX_PIXELS} pixels", f"{width}x{height}")
    if min(width, height) < MIN_SIDE:
        raise InvalidInput(field, f"sides of at least {MIN_SIDE} pixels", f"{width}x{height}")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise InvalidInput(field, f"an aspect ratio within {MAX_ASPECT:g}:1", f"{width}x{height}")
    # Phones keep depth maps and exposures as further frames of a JPEG ("MPO"): the first is the photo.
    frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
    if frames > 1:
        raise InvalidInput(field, "a still picture", f"an animation of {frames} frames")


def _to_rgb(picture: PillowImage.Image) -> PillowImage.Image:
    if picture.mode.startswith("I"):
        # Pillow clips 16-bit grey to 255 instead of scaling it.
        grey = (np.asarray(picture).astype(np.uint32) // 257).astype(np.uint8)
        return PillowImage.fromarray(grey).convert("RGB")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        white = PillowImage.new("RGBA", layer.size, "white")
        return PillowImage.alpha_composite(white, layer).convert("RGB")
    profile = picture.info.get("icc_profile")
    if profile and picture.mode in ("RGB", "CMYK"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(picture, source, _SRGB, outputMode="RGB")
            assert converted is not None
            return converted
        except (ImageCms.PyCMSError, OSError):
            pass  # a broken profile is no reason to refuse the picture: take the colours as sRGB
    return picture if picture.mode == "RGB" else picture.convert("RGB")


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
