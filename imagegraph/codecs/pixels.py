"""From encoded bytes that nobody vouches for to pixels: decoded, upright, in sRGB, within limits."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms, UnidentifiedImageError

from imagegraph.codecs.encoded import Encoded, has_all_scans, take_apart
from imagegraph.errors import InputTooLarge, InvalidInput

MAX_PIXELS = 64_000_000
MIN_SIDE = 16
MAX_ASPECT = 4.0
FORMATS = ("JPEG", "PNG", "WEBP")
# Our own limit decides, with a better sentence than Pillow's warning and error.
Pillow.MAX_IMAGE_PIXELS = None

_SRGB = ImageCms.createProfile("sRGB")
_UPRIGHT = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
_SPACES = {"L": "GRAY", "I;16": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}  # of profiles, by mode
_END = b"\xff\xd9"
# What may follow a whole scan: bits of no meaning, also behind the marks at which a scan goes on. These
# are counted round from 0 to 7; decoders wait for their own if one of the next two comes.
_BITS = [bits * 16 for bits in (b"\xaa\x3c", b"\x55\xc3", b"\xf0\x96")]
_FILLINGS = [
    *_BITS,
    *(b"".join(bytes([0xFF, 0xD0 + (start + n) % 8]) + _BITS[n % 3] for n in range(8)) for start in (0, 4)),
]


def decode(data: bytes, field: str = "image") -> Pillow.Image:
    """Decodes a picture and sets it upright.

    Returns:
        The picture in its own mode; of what stood beside its pixels, `info` keeps the profile of its
        colours (icc_profile) and the colour that is transparent.

    Raises:
        InvalidInput: not a picture, truncated, animated, or of a shape outside the limits.
        InputTooLarge: more than MAX_PIXELS, known from the header before anything is decoded.
    """
    parts, picture = _opened(data, field)
    try:
        if picture.format == "JPEG" and _END not in parts.pixels:
            picture = _without_end(parts.pixels)
        picture.load()
    except Exception as error:  # Pillow's decoders raise anything from OSError to struct.error
        raise _not_whole(data, field, error) from error
    if parts.orientation in _UPRIGHT:
        picture = picture.transpose(_UPRIGHT[parts.orientation])
    known = {"transparency": picture.info.get("transparency"), "icc_profile": parts.profile}
    picture.info = {name: value for name, value in known.items() if value not in (None, b"")}
    return picture


def size(data: bytes, field: str = "image") -> tuple[int, int]:
    """Returns width and height of a picture upright, from its header alone.

    Raises:
        InvalidInput, InputTooLarge: as `decode`, as far as the header tells.
    """
    parts, picture = _opened(data, field)
    width, height = picture.size
    return (height, width) if parts.orientation >= 5 else (width, height)


def _opened(data: bytes, field: str) -> tuple[Encoded, Pillow.Image]:
    try:
        parts = take_apart(data)
        picture = Pillow.open(io.BytesIO(parts.pixels), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise no_picture(data, field) from error
    except Exception as error:  # as above
        raise _not_whole(data, field, error) from error
    check_size(*picture.size, field)
    if parts.frames > 1:
        raise InvalidInput(field, "a still picture", f"an animation of {parts.frames} frames")
    return parts, picture


def check_size(width: int, height: int, field: str) -> None:
    """Refuses sides that no component could work with.

    Raises:
        InvalidInput: one is too short, or too long for the other.
        InputTooLarge: together they are more than MAX_PIXELS.
    """
    if width * height > MAX_PIXELS:
        raise InputTooLarge(field, f"at most {MAX_PIXELS} pixels", f"{width}x{height}")
    if min(width, height) < MIN_SIDE:
        raise InvalidInput(field, f"sides of at least {MIN_SIDE} pixels", f"{width}x{height}")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise InvalidInput(field, f"an aspect ratio within {MAX_ASPECT:g}:1", f"{width}x{height}")


def no_picture(data: bytes, field: str) -> InvalidInput:
    """Returns the error for bytes that are no picture that we read."""
    got = f"{len(data)} bytes beginning with {data[:8]!r}" if data else "0 bytes"
    return InvalidInput(field, "a JPEG, PNG or WebP picture", got)


def _not_whole(data: bytes, field: str, error: Exception) -> InvalidInput:
    return InvalidInput(field, "a whole picture", f"{len(data)} bytes ({error})")


def _without_end(data: bytes) -> Pillow.Image:
    """Decodes a JPEG that lacks nothing but its end marker.

    If it is whole it does not matter which bits follow; where pixels are missing, these are drawn. Who
    fills a file that is cut off with zeros has drawn them already.

    Raises:
        OSError: it lacks more.
    """
    start = data.removesuffix(_END[:1])
    if not start.endswith(bytes(16)) and has_all_scans(start):
        whole = _ended(start)
        if all(_ended(start + filling) == whole for filling in _FILLINGS):
            return whole
    raise OSError("it is cut off")


def _ended(data: bytes) -> Pillow.Image:
    picture = Pillow.open(io.BytesIO(data + _END), formats=("JPEG",))
    picture.load()
    return picture


def to_rgb(picture: Pillow.Image) -> Pillow.Image:
    """Returns what `decode` returns in 8-bit sRGB, on white; itself if it is that."""
    colours, alpha = _layers(picture)
    profile = picture.info.get("icc_profile")
    return _opaque((profile and _converted(colours, profile)) or _to_8_bit(colours), alpha, "white")


def to_map_rgb(picture: Pillow.Image) -> Pillow.Image:
    """Returns what `decode` returns as a map in 8-bit RGB: on black, its values as they are."""
    colours, alpha = _layers(picture)
    return _opaque(_to_8_bit(colours), alpha, "black")


def _opaque(colours: Pillow.Image, alpha: Pillow.Image | None, backdrop: str) -> Pillow.Image:
    rgb = colours if colours.mode == "RGB" else colours.convert("RGB")
    return rgb if alpha is None else Pillow.composite(rgb, Pillow.new("RGB", rgb.size, backdrop), alpha)


def to_map(picture: Pillow.Image) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Returns what `decode` returns as one channel, float32 [h, w] in 0..1, on black.

    16-bit maps keep their precision. Values are no colours: a profile does not change them.
    """
    colours, alpha = _layers(picture)
    if _is_deep(colours):
        values = np.asarray(colours).astype(np.float32) / 65535.0
    else:
        values = np.asarray(colours.convert("L"), dtype=np.float32) / 255.0
    return values if alpha is None else values * (np.asarray(alpha, dtype=np.float32) / 255.0)


def _layers(picture: Pillow.Image) -> tuple[Pillow.Image, Pillow.Image | None]:
    """Returns the colours in L, I;16, RGB or CMYK, and alpha in L where there is some."""
    if _is_deep(picture):
        transparent = picture.info.get("transparency")
        if transparent is None:
            return picture, None
        return picture, Pillow.fromarray(
            np.where(np.asarray(picture) == transparent, 0, 255).astype(np.uint8)
        )
    if picture.has_transparency_data:
        layers = picture.convert("RGBA")
        grey = picture.mode in ("1", "L", "LA")
        return layers.getchannel("R") if grey else layers.convert("RGB"), layers.getchannel("A")
    if picture.mode in _SPACES:
        return picture, None
    return picture.convert("L" if picture.mode == "1" else "RGB"), None


def _is_deep(picture: Pillow.Image) -> bool:
    return picture.mode.startswith("I")


def _to_8_bit(picture: Pillow.Image) -> Pillow.Image:
    """Scales 16-bit grey, which Pillow would clip to 255."""
    if not _is_deep(picture):
        return picture
    return Pillow.fromarray((np.asarray(picture).astype(np.uint32) // 257).astype(np.uint8))


def _converted(picture: Pillow.Image, profile: bytes) -> Pillow.Image | None:
    """Returns colours in sRGB; None where the profile is broken or of other colours."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES.get(picture.mode):
            return None
        return ImageCms.profileToProfile(_to_8_bit(picture), source, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return None
