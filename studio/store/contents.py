"""Bytes of pictures by their SHA-256, in a folder or wherever fsspec reaches; small ones of them, too."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

import fsspec
from PIL import Image as Pillow
from sqlalchemy.orm import Session

from imagegraph.errors import InputTooLarge, InvalidInput
from imagegraph.image import Image
from studio.problems import words_of
from studio.store import decoding
from studio.store.database import Database, inserting
from studio.store.models import Content

SIZES = (64, 128, 256, 512, 1024)  # px, the longer side of thumbnails
_HASH = re.compile(r"[0-9a-f]{64}")
_TYPES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


@dataclass(frozen=True)
class Kept:
    """Bytes that are in the storage."""

    hash: str
    size: int
    media_type: str
    width: int
    height: int


class Contents:
    """Keeps bytes by content; equal ones once."""

    def __init__(self, database: Database, url: str, pixels: float = 64e6) -> None:
        """Takes where rows and bytes are, and the most pixels of a picture.

        Raises:
            InvalidInput: no bytes can be kept there.
        """
        self._database = database
        self._pixels = pixels
        try:
            self._files, root = fsspec.core.url_to_fs(url)
            self._root = root.rstrip("/")
            with contextlib.suppress(FileExistsError):
                self._files.makedirs(self._root, exist_ok=True)
        except (ValueError, ImportError, OSError) as error:
            expected = "a folder, or the URL of a storage that answers"
            raise InvalidInput("STUDIO_STORAGE", expected, words_of(error)) from error

    def look(self, data: bytes, field: str) -> Kept:
        """Says what bytes are, without keeping them.

        Raises:
            InvalidInput, InputTooLarge: they are no picture that graphs take, or too large.
        """
        image = Image(data)
        image.check(field)
        width, height = image.size
        if width * height > self._pixels:
            raise InputTooLarge(field, f"at most {self._pixels / 1e6:g} megapixels", f"{width} x {height} px")
        media_type = next((kind for start, kind in _TYPES.items() if data.startswith(start)), None)
        if media_type is None:
            raise InvalidInput(field, "a JPEG, PNG or WebP picture", data)
        return Kept(hashlib.sha256(data).hexdigest(), len(data), media_type, width, height)

    def keep(self, pictures: Sequence[bytes], field: str = "image") -> list[Kept]:
        """Keeps pictures; when this returns they are in the storage.

        Raises:
            InvalidInput, InputTooLarge: as `look`.
        """
        found = [self.look(data, field) for data in pictures]
        with self._database.write(changes="") as session:
            touch(session, found)
        # Its row is there first, and fresh: so nobody takes the bytes away meanwhile.
        for one, data in zip(found, pictures, strict=True):
            self._put(self._path(one.hash), data)
        return found

    def put(self, hash: str, data: bytes) -> None:
        """Puts bytes whose row is there already.

        Raises:
            InvalidInput: they have another hash.
        """
        if hashlib.sha256(data).hexdigest() != hash:
            raise InvalidInput("contents", f"bytes of SHA-256 {hash}", f"{len(data)} others")
        self._put(self._path(hash), data)

    def read(self, hash: str) -> bytes:
        """Returns bytes.

        Raises:
            FileNotFoundError: they are gone.
        """
        return bytes(self._files.cat_file(self._path(hash)))

    def thumbnail(self, hash: str, size: int) -> bytes:
        """Returns a picture as WebP whose longer side is at most `size`, one of SIZES; made once."""
        path = self._path(hash, size)
        with contextlib.suppress(FileNotFoundError):
            return bytes(self._files.cat_file(path))
        image = Image(self.read(hash))
        with decoding.HERE.decoding(image.size):
            data = small(image, size)
        self._put(path, data)
        return data

    def remove(self, hash: str) -> None:
        """Takes bytes out of the storage, and their thumbnails."""
        for size in (None, *SIZES):
            with contextlib.suppress(FileNotFoundError):
                self._files.rm_file(self._path(hash, size))

    def has(self, hash: str) -> bool:
        """Whether bytes are there."""
        return bool(self._files.exists(self._path(hash)))

    def _path(self, hash: str, size: int | None = None) -> str:
        """Returns where bytes are, or their thumbnail of a size.

        Raises:
            FileNotFoundError: it is no SHA-256; nothing outside is ever reached.
        """
        if not _HASH.fullmatch(hash):
            raise FileNotFoundError(hash)
        if size is None:
            return f"{self._root}/{hash[:2]}/{hash}"
        return f"{self._root}/thumbnails/{size}/{hash[:2]}/{hash}.webp"

    def _put(self, path: str, data: bytes) -> None:
        if self._files.exists(path):
            return
        if "file" not in self._files.protocol:
            self._files.pipe_file(path, data)
            return
        # There whole or not at all, whenever the process ends.
        fresh = f"{path}.{secrets.token_hex(4)}"
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(fresh, data)
        self._files.mv(fresh, path)


def touch(session: Session, found: Sequence[Kept]) -> None:
    """Notes that somebody brings these bytes now."""
    if not found:
        return
    now = time.time()
    # In one order, so that two who bring the same ones do not wait for each other.
    for one in sorted({kept.hash: kept for kept in found}.values(), key=lambda kept: kept.hash):
        row = inserting(session, Content).values(**vars(one), used_at=now)
        session.execute(row.on_conflict_do_update(index_elements=["hash"], set_={"used_at": now}))


def small(image: Image, size: int) -> bytes:
    """Returns a picture or a map as WebP whose longer side is at most `size` px."""
    own = image.own()
    if own.mode in ("RGB", "RGBA"):  # nothing else is made of it in its whole size
        own.thumbnail((size, size), Pillow.Resampling.LANCZOS, reducing_gap=2.0)
        shown = Image(pixels=own).rgb()
    else:
        shown = (image.rgb() if own.mode in ("P", "CMYK") else image.map_rgb()).copy()
        shown.thumbnail((size, size), Pillow.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    shown.save(buffer, "WEBP", quality=85, method=1)
    return buffer.getvalue()
