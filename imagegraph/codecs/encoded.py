"""Encoded pictures taken apart: what their pixels need, and the little that matters of all else.

Decoders refuse whole pictures for what stands beside them: a text too long, a thumbnail cut off, a
camera's own tags. So they are given the pixels alone; orientation, colour profile and the number of
frames are read here, and what is broken among them is as if it were not there.

Source: PNG 3rd edition; JFIF 1.02, Exif 2.32 and ICC.1:2022 annex B for JPEG; WebP container (RIFF).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
MAX_PARTS = 100_000  # chunks or segments; libpng's own are of 8 KiB
MAX_PROFILE_BYTES = 16 * 2**20
ORIENTATION, SHORT = 0x0112, 3  # a tag of EXIF, and the type of its value

_EXIF = b"Exif\0\0"
_ICC = b"ICC_PROFILE\0"
# Whether a JPEG's colours are RGB, YCbCr, CMYK or YCCK stands in these, if they are so long.
_COLOUR_SEGMENTS = {0xE0: (b"JFIF\0", 14), 0xEE: (b"Adobe", 12)}
_VP8X_ABOUT = 0x20 | 0x08 | 0x04  # flags: there is a profile, there is EXIF, there is XMP


@dataclass(frozen=True)
class Encoded:
    """A picture's parts.

    Attributes:
        pixels: a picture of the same format without metadata.
        exif: what a camera says of it, or nothing.
        profile: the ICC profile of its colours, or nothing.
        frames: how many pictures it says that it is.
    """

    pixels: bytes
    exif: bytes = b""
    profile: bytes = b""
    frames: int = 1

    @property
    def orientation(self) -> int:
        """How it lies, 1 to 8; 1 is upright."""
        return _orientation(self.exif.removeprefix(_EXIF))


def take_apart(data: bytes) -> Encoded:
    """Takes a JPEG, PNG or WebP apart; what is wrong with the pixels themselves is left as it is.

    Raises:
        ValueError: it has more parts than any picture.
    """
    if data.startswith(PNG):
        return _png(data)
    if data.startswith(JPEG):
        return _jpeg(data)
    return _webp(data)


def _orientation(exif: bytes) -> int:
    """Finds the one tag, whatever the others are."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return 1
    start = struct.unpack_from(order + "I", exif, 4)[0]
    count = struct.unpack(order + "H", exif[start : start + 2].ljust(2, b"\0"))[0]
    for at in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, _, value = struct.unpack_from(order + "HHIH", exif, at)
        if tag == ORIENTATION:
            return value if kind == SHORT and 1 <= value <= 8 else 1
    return 1


def _png(data: bytes) -> Encoded:
    kept = [PNG]
    exif = profile = b""
    frames = 1
    drawn = False
    depth, colours = (data[24], data[25]) if len(data) > 25 else (0, 0)
    for kind, start, end in _png_chunks(data):
        if kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            kept.append(data[start - 8 : end + 4])
            drawn = drawn or kind == b"IDAT"
        elif end > len(data):
            break  # cut off, but not in what is drawn
        elif kind == b"eXIf":
            exif = exif or data[start:end]
        elif drawn:
            continue
        elif kind == b"tRNS":
            key = _transparency(data[start:end], depth, colours)
            kept.append(_chunk(b"tRNS", key) if key else b"")
        elif kind == b"iCCP":
            profile = profile or _inflated(data[start:end].partition(b"\0")[2][1:])
        elif kind == b"acTL" and end - start == 8:
            frames = max(1, int.from_bytes(data[start : start + 4], "big"))
    return Encoded(b"".join(kept), exif, profile, frames)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields kind, start and end of what each chunk holds."""
    at = len(PNG)
    for _ in range(MAX_PARTS):
        if at + 8 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at + 8, at + 8 + size
        at += 12 + size
    raise ValueError(f"more than {MAX_PARTS} chunks")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))


def _transparency(content: bytes, depth: int, colours: int) -> bytes:
    """Returns a tRNS in the depth in which Pillow reads the pixels, or nothing where it is none."""
    if colours == 3:
        return content[:256]
    size = {0: 2, 2: 6}.get(colours)
    if size is None or len(content) < size:
        return b""
    values = struct.unpack(f">{size // 2}H", content[:size])
    if colours == 0 and depth in (2, 4):
        values = tuple((one % 2**depth) * 255 // (2**depth - 1) for one in values)
    elif colours == 2 and depth == 16:
        values = tuple(one >> 8 for one in values)
    return struct.pack(f">{size // 2}H", *values)


def _inflated(content: bytes) -> bytes:
    inflate = zlib.decompressobj()
    try:
        inflated = inflate.decompress(content, MAX_PROFILE_BYTES)
    except zlib.error:
        return b""
    return inflated if inflate.eof else b""


def _jpeg(data: bytes) -> Encoded:
    kept = [data[:2]]
    exif = b""
    profile: dict[int, bytes] = {}
    for marker, start, end in _segments(data):
        content = data[start:end]
        if marker == 0xE1 and content.startswith(_EXIF):
            exif = exif or content
        elif marker == 0xE2 and content.startswith(_ICC) and len(content) > 14:
            profile.setdefault(content[12], content[13:])
        elif marker == 0xDA:
            kept.append(data[start - 4 :])
        elif not _is_metadata(marker, content):
            kept.append(data[start - 4 : end])
    count = next(iter(profile.values()), b"\0")[0]
    whole = sorted(profile) == list(range(1, count + 1))
    return Encoded(b"".join(kept), exif, b"".join(profile[i][1:] for i in sorted(profile)) if whole else b"")


def has_all_scans(data: bytes) -> bool:
    """Whether the scans of a JPEG, should the last one be whole, give all bits of all coefficients."""
    open_bits: dict[int, set[int]] = {}
    for marker, start, end in _segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame
            open_bits = {one: set(range(64)) for one in data[start + 6 : end : 3]}
        if marker == 0xDA:
            break
    at = 0
    for _ in range(MAX_PARTS):
        at = data.find(b"\xff\xda", at) + 2
        if at < 2 or at + 3 > len(data):
            return bool(open_bits) and not any(open_bits.values())
        count = data[at + 2]
        first, last, shifts = data[at + 3 + 2 * count : at + 6 + 2 * count].ljust(3, b"\xff")
        for component in data[at + 3 : at + 3 + 2 * count : 2]:
            if shifts & 15 == 0 and component in open_bits:
                open_bits[component] -= set(range(first, last + 1))
    return False


def _is_metadata(marker: int, content: bytes) -> bool:
    if marker in _COLOUR_SEGMENTS:
        beginning, size = _COLOUR_SEGMENTS[marker]
        return not content.startswith(beginning) or len(content) < size
    return 0xE0 <= marker <= 0xEF or marker == 0xFE


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yields marker, start and end of the segments of a JPEG, as far as its first scan."""
    at = 2
    for _ in range(MAX_PARTS):
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            return
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD9:  # nothing follows these
            at += 2
        else:
            end = at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
            yield marker, at + 4, end
            if marker == 0xDA or end > len(data):
                return
            at = end
    raise ValueError(f"more than {MAX_PARTS} segments")


def _webp(data: bytes) -> Encoded:
    kept: list[bytes] = []
    exif = profile = b""
    frames = 0
    for kind, start, stop in _webp_chunks(data):
        content = data[start:stop]
        frames += kind == b"ANMF"
        if kind == b"EXIF":
            exif = exif or content
        elif kind == b"ICCP":
            profile = profile or content
        elif kind == b"VP8X" and content:
            kept.append(data[start - 8 : start] + bytes([content[0] & ~_VP8X_ABOUT]) + content[1:])
        elif kind in (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"):
            kept.append(data[start - 8 : stop + (stop - start) % 2])
    body = b"WEBP" + b"".join(kept)
    return Encoded(b"RIFF" + struct.pack("<I", len(body)) + body, exif, profile, max(1, frames))


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields kind, start and end of what each chunk holds."""
    at = len(b"RIFF----WEBP")
    end = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    for _ in range(MAX_PARTS):
        if at + 8 > end:
            return
        kind, size = struct.unpack_from("<4sI", data, at)
        yield kind, at + 8, at + 8 + size
        at += 8 + size + size % 2
    raise ValueError(f"more than {MAX_PARTS} chunks")
