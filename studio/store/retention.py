"""What goes: deleted pictures after a day, old ones where settings say so, bytes that nothing has."""

from __future__ import annotations

import time
from collections.abc import Sequence

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
FEW = 50  # where bytes are counted for each


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
            gone += self._remove(and_(old, _may_go()))
            self._forget_jobs(now - self._max_days * 24 * 3600)
        if self._max_bytes is not None:
            gone += self._shrink(self._max_bytes, now)
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

    def _shrink(self, most: int, now: float) -> int:
        """Removes the oldest pictures that may go, and jobs that have none, until the bytes of all fit.

        What nothing has any more does not count: it goes by itself.
        """
        gone = 0
        while True:
            with self._database.read() as session:
                over = _bytes(session, _is_used()) - most
                oldest = select(Picture).where(_may_go()).order_by(Picture.number).limit(FEW)
                going = session.scalars(oldest).all() if over > 0 else []
            if over <= 0:
                return gone
            if self._forget_jobs(going[0].created_at if going else now - FRESH_S):
                continue
            if not going:
                return gone
            with self._database.write() as session:
                for one in going:
                    # Somebody may have given it stars meanwhile.
                    if session.scalar(select(Picture.number).where(Picture.number == one.number, _may_go())):
                        over -= _let_go(session, one)
                        gone += 1
                    if over <= 0:
                        break

    def _forget_jobs(self, before: float) -> int:
        """Forgets jobs without pictures, and what only they have; returns how many."""
        has_pictures = select(Picture.job).where(Picture.job == Job.id).exists()
        old = and_(Job.state.in_(queue.ENDED), Job.created_at < before, ~has_pictures)
        with self._database.write() as session:
            return len(session.scalars(delete(Job).where(old).returning(Job.number)).all())

    def _drop_bytes(self, before: float) -> None:
        used = _is_used()
        with self._database.read() as session:
            unused = session.scalars(select(Content.hash).where(Content.used_at < before, ~used)).all()
        for hash in unused:
            with self._database.write() as session:
                # Its row is locked while the bytes go: who brings them again waits, and puts them anew.
                gone = delete(Content).where(Content.hash == hash, Content.used_at < before, ~used)
                if session.execute(gone.returning(Content.hash)).first():
                    self._contents.remove(hash)


def _may_go() -> ColumnElement[bool]:
    return and_(Picture.kind != "example", ~_is_kept())


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


def _is_used() -> ColumnElement[bool]:
    """Whether a picture or a job has bytes."""
    return or_(
        select(Picture.hash).where(Picture.hash == Content.hash).exists(),
        select(JobContent.hash).where(JobContent.hash == Content.hash).exists(),
    )


def _bytes(session: Session, which: ColumnElement[bool]) -> int:
    return int(session.scalar(select(func.coalesce(func.sum(Content.size), 0)).where(which)) or 0)


def _let_go(session: Session, picture: Picture) -> int:
    """Deletes a picture, and its job once that has none; returns how many bytes nothing has any more."""
    hashes = {picture.hash}
    _delete(session, [picture.number])
    if picture.job is not None:
        had = session.scalars(select(JobContent.hash).where(JobContent.job == picture.job)).all()
        left = select(Picture.number).where(Picture.job == picture.job).exists()
        ended = Job.state.in_(queue.ENDED)
        session.execute(delete(Job).where(Job.id == picture.job, ended, ~left))
        hashes.update(had)
    return _bytes(session, and_(Content.hash.in_(hashes), ~_is_used()))


def _delete(session: Session, numbers: Sequence[int]) -> None:
    """Deletes pictures; jobs that have ended keep no bytes that only these had."""
    hashes = session.scalars(select(Picture.hash).where(Picture.number.in_(numbers))).all()
    for number in numbers:
        search.forget(session, number)
        session.execute(delete(Picture).where(Picture.number == number))
    ended = select(Job.id).where(Job.state.in_(queue.ENDED))
    others = select(Picture.hash).where(Picture.hash == JobContent.hash).exists()
    left = JobContent.hash.in_(hashes), JobContent.job.in_(ended), ~others
    session.execute(delete(JobContent).where(*left))
