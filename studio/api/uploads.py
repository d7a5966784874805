"""Pictures that people bring: kept, with the provenance that stands in them."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from studio.api.context import Studio
from studio.jobs.bell import PICTURES
from studio.store import gallery, provenance
from studio.store.models import Picture, Recalled


def keep(studio: Studio, data: bytes, owner: str, field: str, kind: str = "upload") -> Picture:
    """Puts a picture into the store and the gallery; who has uploaded it before gets that one.

    Raises:
        InvalidInput, InputTooLarge: it is none, or there is no room for it.
    """
    try:
        studio.contents.look(data, field)
        Image(data).own()  # all of it, so that nobody stumbles over it later
    except InvalidInput as error:
        raise type(error)(field, error.expected, error.got) from None
    (kept,) = studio.contents.keep([data], field)
    record = provenance.recalled(data)
    if (known := _restored(studio, kept.hash, owner, kind)) is not None:
        return known
    with studio.database.write(changes="") as session:
        if (known := _known(session, kept.hash, owner, kind)) is not None:  # it came twice at the same time
            return known
        if kind != "example":
            studio.usage.check(session, owner, field, kept.size)
        row = Picture(owner=owner, hash=kept.hash, kind=kind)
        if record is not None:
            row.graph, row.bundle = record["name"][:200], record["bundle"][:200]
            parameters = record["parameters"]
            about = record["about"]
            row.prompt = _text(about.get("prompts") or parameters.get("prompt"))
            row.prior = _text(about.get("steered_by"))
            row.seed = _seed(about.get("seeds", parameters.get("seed")))
            row.about = {name: one for name, one in about.items() if isinstance(one, str | int | float)}
        session.add(row)
        session.flush()
        if record is not None:
            session.add(Recalled(picture=row.number, record=record))
        gallery.index_words(session, row)
    studio.bell.ring(PICTURES)
    return row


def _restored(studio: Studio, hash: str, owner: str, kind: str) -> Picture | None:
    """Returns the same picture, brought back where it was deleted, if they have it."""
    with studio.database.read() as session:
        known = _known(session, hash, owner, kind)
    if known is None or known.deleted_at is None:
        return known
    with studio.database.write() as session:
        if (known := _known(session, hash, owner, kind)) is not None:
            known.deleted_at = None
        return known


def _known(session: Session, hash: str, owner: str, kind: str) -> Picture | None:
    same = select(Picture).where(Picture.hash == hash, Picture.owner == owner, Picture.kind == kind)
    return session.scalars(same.limit(1)).one_or_none()


def _text(value: object) -> str | None:
    return value[:2000].replace("\0", "") if isinstance(value, str) else None


def _seed(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 2**63 else None
