"""Encoded pictures for tests, and what may stand in them: chunks, EXIF, colour profiles."""

import io
import struct
import zlib

import numpy as np
from PIL import Image as Pillow


def encoded(picture: Pillow.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_chunk(png: bytes, kind: bytes, content: bytes, before: bytes = b"IDAT") -> bytes:
    at = 8
    while png[at + 4 : at + 8] != before:
        at += 12 + int.from_bytes(png[at : at + 4], "big")
    return png[:at] + chunk(kind, content) + png[at:]


def with_segment(jpeg: bytes, marker: int, content: bytes) -> bytes:
    return jpeg[:2] + bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content + jpeg[2:]


def exif(*entries: tuple[int, int, int, bytes], order: str = "<") -> bytes:
    """A TIFF of entries: tag, type, count, and four bytes of value."""
    begin = b"II*\0" if order == "<" else b"MM\0*"
    table = b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries)
    return begin + struct.pack(order + "IH", 8, len(entries)) + table + bytes(4)


def lying(orientation: int, order: str = "<") -> tuple[int, int, int, bytes]:
    """The entry that says how a picture lies."""
    return 0x0112, 3, 1, struct.pack(order + "HH", orientation, 0)


def profile(space: str, gamma: float = 1.0, swapped: bool = False) -> bytes:
    """An ICC profile of GRAY, or of RGB with sRGB's primaries (swapped: red and blue change places)."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    primaries = [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)]
    tags = {b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249)}
    if space == "GRAY":
        tags[b"kTRC"] = curve
    else:
        for letter, primary in zip("bgr" if swapped else "rgb", primaries, strict=True):
            tags[f"{letter}XYZ".encode()] = b"XYZ " + bytes(4) + fixed(*primary)
            tags[f"{letter}TRC".encode()] = curve
    at = 128 + 4 + 12 * len(tags)
    table = struct.pack(">I", len(tags))
    for name, content in tags.items():
        table += name + struct.pack(">II", at, len(content))
        at += len(content)
    head = struct.pack(">II", at, 0) + b"\x02\x40\0\0mntr" + space.encode().ljust(4) + b"XYZ " + bytes(12)
    head += b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + table + b"".join(tags.values())


def deep(value: int, size: tuple[int, int] = (16, 16)) -> Pillow.Image:
    return Pillow.fromarray(np.full(size[::-1], value, np.uint16))
