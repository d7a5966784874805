"""Many pictures in one file."""

from __future__ import annotations

import contextlib
import json
import zipfile

from sqlalchemy import func

from imagegraph.errors import InputTooLarge
from studio.api import views
from studio.api.context import Studio
from studio.api.spooled import Spooled, spooled
from studio.store import gallery, provenance
from studio.store.gallery import Filter
from studio.store.models import Content, Picture

MOST = 2000  # pictures
MOST_BYTES = 4 * 2**30
SOME = 100  # read at once


def zipped(studio: Studio, filter: Filter) -> Spooled:
    """Answers pictures with their provenance, and what is known of each.

    Raises:
        InputTooLarge: they are too many.
    """
    with studio.database.read() as session:
        found = gallery.page(session, filter, 1, None, 0, None)
        asked, _ = filter.pictures(session, func.sum(Content.size))
        size = session.scalar(asked.join(Content, Content.hash == Picture.hash)) or 0
    if found.total > MOST:
        raise InputTooLarge("ids", f"at most {MOST} pictures; filter them", f"{found.total}")
    if size > MOST_BYTES:
        most = f"at most {MOST_BYTES / 2**30:g} GiB of pictures; filter them"
        raise InputTooLarge("ids", most, f"{size / 2**30:.1f} GiB")
    with (
        spooled("pictures.zip", "application/zip") as answer,
        zipfile.ZipFile(answer.path, "w", zipfile.ZIP_STORED) as archive,
    ):
        _fill(archive, studio, filter, found.as_of)
    return answer


def _fill(archive: zipfile.ZipFile, studio: Studio, filter: Filter, as_of: int) -> None:
    known = []
    after: int | None = None
    while True:
        with studio.database.read() as session:
            page = gallery.page(session, filter, SOME, after, 0, as_of)
            records = [gallery.provenance(session, row.picture) for row in page.rows]
        for row, record in zip(page.rows, records, strict=True):
            name = name_of(row.picture, row.picture.media_type)
            with contextlib.suppress(FileNotFoundError):
                data = studio.contents.read(row.picture.hash)
                archive.writestr(name, provenance.stamped(data, record if row.picture.job else None))
                known.append({"file": name, **views.picture(row, record).model_dump(mode="json")})
        if (after := page.next) is None:
            break
    # Not by orjson, which has no number of more than 64 bits: provenance may have any.
    archive.writestr("pictures.json", json.dumps(known, indent=2, ensure_ascii=False))


def name_of(row: Picture, media_type: str) -> str:
    """Returns the name of a file for a picture, of letters that are safe everywhere."""
    kind = "".join(one if one.isalnum() and one.isascii() else "-" for one in row.graph or row.kind)
    return f"{kind[:60]}-{row.id}.{media_type.rpartition('/')[2]}"
