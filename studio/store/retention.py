"""What goes: deleted pictures after a day, old ones where settings say so, bytes that nothing has."""

from __future__ import annotations

import time
from collections.abc import Iterable

from sqlalchemy import ColumnElement, and_, delete, func, or_, select
from sqlalchemy.orm import Session

from studio.store import queue, search
from studio.store.contents import Contents
from studio.store.database import Database
from studio.store.models import (
    Answered,
    BoardPicture,
    Comparison,
    Content,
    Job,
    JobContent,
    Picture,
    Rating,
)  # fmt: skip

UNDO_S = 24 * 3600.0
FRESH_S = 3600.0  # bytes that somebody may be bringing at this moment
SOME = 200  # pictures that go in one transaction


class Retention:
    """Lets go of what is not kept any more."""

    def __init__(
        self, database: Database, contents: Contents, max_days: float | None, max_gib: float | None
    ) -> None:
        """Takes how old pictures may be and how many GiB all may have; None is no limit."""
        self._database = database
        self._contents = contents
        self._max_days = max_days
        self._max_bytes = None if max_gib is None else int(max_gib * 2**30)

    def __call__(self, now: float | None = None) -> int:
        """Lets go of it; returns how many pictures went."""
        now = time.time() if now is None else now
        gone = self._remove(Picture.deleted_at < now - UNDO_S)
        if self._max_days is not None:
            old = Picture.created_at < now - self._max_days * 24 * 3600
            gone += self._remove(and_(old, Picture.kind != "example", ~_is_kept()))
            self._forget_jobs(now - self._max_days * 24 * 3600)
        if self._max_bytes is not None:
            gone += self._shrink(self._max_bytes)
        with self._database.write() as session:
            session.execute(delete(Answered).where(Answered.at < now - UNDO_S))
        self._drop_bytes(now - FRESH_S)
        return gone

    def _remove(self, which: ColumnElement[bool]) -> int:
        gone = 0
        while True:
            with self._database.write() as session:
                numbers = session.scalars(select(Picture.number).where(which).limit(SOME)).all()
                _delete(session, numbers)
            gone += len(numbers)
            if len(numbers) < SOME:
                return gone

    def _shrink(self, most: int) -> int:
        """Removes the oldest pictures that may go until all bytes fit."""
        with self._database.read() as session:
            size = session.scalar(select(func.coalesce(func.sum(Content.size), 0))) or 0
            may_go = select(Picture.number, Content.size).join(Content, Content.hash == Picture.hash)
            may_go = may_go.where(Picture.kind != "example", ~_is_kept()).order_by(Picture.number)
            going: list[int] = []
            for number, bytes in session.execute(may_go):
                if size <= most:
                    break
                going.append(number)
                size -= bytes
        for start in range(0, len(going), SOME):
            # Somebody may have given it stars meanwhile.
            self._remove(and_(Picture.number.in_(going[start : start + SOME]), ~_is_kept()))
        return len(going)

    def _forget_jobs(self, before: float) -> None:
        has_pictures = select(Picture.job).where(Picture.job == Job.id).exists()
        old = and_(Job.state.in_(queue.ENDED), Job.created_at < before, ~has_pictures)
        with self._database.write() as session:
            session.execute(delete(Job).where(old))

    def _drop_bytes(self, before: float) -> None:
        used = or_(
            select(Picture.hash).where(Picture.hash == Content.hash).exists(),
            select(JobContent.hash).where(JobContent.hash == Content.hash).exists(),
        )
        with self._database.read() as session:
            unused = session.scalars(select(Content.hash).where(Content.used_at < before, ~used)).all()
        for hash in unused:
            with self._database.write() as session:
                # Its row is locked while the bytes go: who brings them again waits, and puts them anew.
                gone = delete(Content).where(Content.hash == hash, Content.used_at < before, ~used)
                if session.execute(gone.returning(Content.hash)).first():
                    self._contents.remove(hash)


def _is_kept() -> ColumnElement[bool]:
    """Whether a picture stays: starred, rated, on a board, chosen, or still needed by a job."""
    active = select(JobContent.hash).join(Job, Job.id == JobContent.job).where(Job.state.in_(queue.ACTIVE))
    return or_(
        Picture.starred,
        Picture.stars.is_not(None),
        Picture.number.in_(select(Rating.picture)),
        Picture.number.in_(select(BoardPicture.picture)),
        Picture.id.in_(select(Job.best).where(Job.best.is_not(None))),
        Picture.id.in_(select(Comparison.picture_a).where(Comparison.picture_a.is_not(None))),
        Picture.id.in_(select(Comparison.picture_b).where(Comparison.picture_b.is_not(None))),
        Picture.hash.in_(active),
    )


def _delete(session: Session, numbers: Iterable[int]) -> None:
    for number in numbers:
        search.forget(session, number)
        session.execute(delete(Picture).where(Picture.number == number))
