"""Pictures that people bring: kept, with the provenance that stands in them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from studio.api.context import Studio
from studio.jobs.bell import PICTURES
from studio.store import decoding, gallery, provenance
from studio.store.database import take_turns
from studio.store.models import Content, Picture, Recalled


def keep(studio: Studio, data: bytes, owner: str, field: str, kind: str = "upload") -> Picture:
    """Puts a picture into the store and the gallery; who has uploaded it before gets that one.

    Raises:
        InvalidInput, InputTooLarge: it is none, or there is no room for it.
    """
    try:
        kept = studio.contents.look(data, field)
        with decoding.HERE.decoding((kept.width, kept.height)):
            Image(data).own()  # all of it, so that nobody stumbles over it later
    except InvalidInput as error:
        raise type(error)(field, error.expected, error.got) from None
    record = provenance.recalled(data)
    with studio.database.read() as session:
        known = _known(session, kept.hash, owner, kind)
        if kind != "example" and (known is None or known.deleted_at is not None):
            studio.usage.check(session, owner, field, kept.size)  # or nothing of it is stored
    studio.contents.keep([data], field)
    if known is not None:
        return _restored(studio, known, field)
    with studio.database.write(changes="") as session:
        take_turns(session, _pictures_of(owner))
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


def _restored(studio: Studio, known: Picture, field: str) -> Picture:
    """Returns a picture that they have, brought back where it was deleted."""
    if known.deleted_at is None:
        return known
    with studio.database.write() as session:
        row = gallery.find(session, known.id, deleted=True)
        bring_back(studio, session, [row], field)
        return row


def bring_back(studio: Studio, session: Session, rows: Sequence[Picture], field: str) -> None:
    """Brings deleted pictures back.

    Raises:
        NoRoom: there is no room for them.
    """
    deleted = [one for one in rows if one.deleted_at is not None]
    for owner in sorted({one.owner for one in deleted}):
        take_turns(session, _pictures_of(owner))
        own = [one.hash for one in deleted if one.owner == owner and one.kind != "example"]
        known = select(Content.hash, Content.size).where(Content.hash.in_(own))
        sizes = {hash: size for hash, size in session.execute(known)}
        if own:
            studio.usage.check(session, owner, field, sum(sizes[hash] for hash in own), recount=True)
    for one in deleted:
        one.deleted_at = None


def _pictures_of(owner: str) -> str:
    return f"pictures of {owner}"


def _known(session: Session, hash: str, owner: str, kind: str) -> Picture | None:
    same = select(Picture).where(Picture.hash == hash, Picture.owner == owner, Picture.kind == kind)
    return session.scalars(same.limit(1)).one_or_none()


def _text(value: object) -> str | None:
    return value[:2000].replace("\0", "") if isinstance(value, str) else None


def _seed(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 2**63 else None
