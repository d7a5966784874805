"""Lists of pictures: filtered, by pages, the newest first; any row of a hundred thousand at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, func, select
from sqlalchemy.orm import Session

from imagegraph.errors import UnknownName
from studio.store import search
from studio.store.database import Database
from studio.store.models import Board, BoardPicture, Content, Job, Picture, Recalled

MOST_TOTALS = 100  # filters whose totals are remembered, and of each
SHOWN = ("generated", "upload")  # kinds that lists have where none is asked for
# Made once: to build a statement takes longer than SQLite takes to answer it.
_WHOLE = (
    select(*Picture.__table__.c, Content.size, Content.media_type, Content.width, Content.height)
    .join(Content, Content.hash == Picture.hash)
    .where(Picture.number.in_(bindparam("numbers", expanding=True)))
)
_PLACED = (
    select(BoardPicture.picture, BoardPicture.board)
    .where(BoardPicture.picture.in_(bindparam("numbers", expanding=True)))
    .order_by(BoardPicture.board)
)


@dataclass(frozen=True)
class Filter:
    """Which pictures are meant; None is all.

    Attributes:
        stars: at least so many.
        since, until: seconds since 1970.
        words: that its prompt, note, graph or prior has.
    """

    kinds: Sequence[str] = SHOWN
    graph: str | None = None
    prior: str | None = None
    bundle: str | None = None
    stars: int | None = None
    starred: bool | None = None
    board: str | None = None
    job: str | None = None
    owner: str | None = None
    since: float | None = None
    until: float | None = None
    words: str = ""
    ids: Sequence[str] = field(default_factory=tuple)

    def pictures(self, session: Session, what: Any = Picture.number) -> tuple[Select[Any], Any]:
        """Returns a query for its pictures, and the column of numbers by which to sort and cut them.

        Raises:
            UnknownName: there is no such board.
        """
        if self.board is not None:
            board(session, self.board)
        asked = select(what).select_from(Picture).where(*self._conditions())
        if (found := search.matching(session, self.words)) is None:
            return asked, Picture.number
        return asked.join(found, found.c.rowid == Picture.number), found.c.rowid

    def _conditions(self) -> list[ColumnElement[bool]]:
        equal = {
            Picture.graph: self.graph, Picture.prior: self.prior, Picture.bundle: self.bundle,
            Picture.job: self.job, Picture.owner: self.owner, Picture.starred: self.starred,
        }  # fmt: skip
        found: list[ColumnElement[bool]] = [Picture.deleted_at.is_(None)]
        found += [column == value for column, value in equal.items() if value is not None]
        if self.kinds:
            found.append(Picture.kind.in_(self.kinds))
        if self.stars is not None:
            found.append(Picture.stars >= self.stars)
        if self.since is not None:
            found.append(Picture.created_at >= self.since)
        if self.until is not None:
            found.append(Picture.created_at < self.until)
        if self.ids:
            found.append(Picture.id.in_(self.ids))
        if self.board is not None:
            on_it = select(BoardPicture.picture).where(BoardPicture.board == self.board)
            found.append(Picture.number.in_(on_it))
        return found


@dataclass(frozen=True, slots=True)
class Row:
    """A picture with what belongs to it: the columns of its row, read alone, cost a third of an entity.

    Attributes:
        picture: its columns by their names, with size, media_type, width and height of its content.
    """

    picture: Any
    boards: Sequence[str]


@dataclass(frozen=True)
class Page:
    """A part of a list.

    Attributes:
        next: the number after which the next page begins; None at the end.
        total: how many the filter finds.
        as_of: the newest number when the list was first looked at; positions are stable among those.
    """

    rows: Sequence[Row]
    next: int | None
    total: int
    as_of: int


class Totals:
    """How many pictures filters find: all are counted once, then those that have come since.

    Until somebody changes those that were there; of PostgreSQL, to which others write, too, for a second.
    """

    def __init__(self, database: Database) -> None:
        """Takes where they are."""
        self._database = database
        self._known: dict[Filter, dict[int, int]] = {}  # by the newest number that was counted
        self._as_of: tuple[int, int, int] = (-1, 0, 0)

    def get(self, filter: Filter, newest: int, count: Callable[[int], int]) -> int:
        """Returns how many there are; `count` looks at those whose numbers are higher."""
        totals = self._still_true().setdefault(filter, {})
        total = totals.get(newest)
        if total is None:
            last = max((one for one in list(totals) if one <= newest), default=0)
            total = totals[newest] = totals.get(last, 0) + count(last)
            if len(totals) > MOST_TOTALS:  # maybe of what was just counted, for an old list
                totals.pop(min(list(totals)), None)
        return total

    def _still_true(self) -> dict[Filter, dict[int, int]]:
        changes, now = self._database.changes, 0 if self._database.is_sqlite else int(time.monotonic())
        as_of = changes["pictures"], changes["stars"], now
        if as_of != self._as_of or len(self._known) > MOST_TOTALS:
            only_stars = as_of[::2] == self._as_of[::2] and len(self._known) <= MOST_TOTALS
            known = list(self._known.items()) if only_stars else []
            # Anew, not emptied: who counts at this moment keeps what is forgotten here.
            self._known = {one: totals for one, totals in known if one.stars is None}
            self._as_of = as_of
        return self._known


def page(
    session: Session,
    filter: Filter,
    limit: int,
    after: int | None,
    offset: int,
    as_of: int | None,
    totals: Totals | None = None,
) -> Page:
    """Returns a page, the newest first.

    Args:
        after: the number of the last picture of the page before.
        offset: or how many to skip from the start.
        as_of: leaves out what is newer.
    """
    newest = as_of if as_of is not None else session.scalar(select(func.max(Picture.number))) or 0

    def count(after: int = 0) -> int:
        asked, number = filter.pictures(session, func.count())
        return session.scalar(asked.where(number > after, number <= newest)) or 0

    total = totals.get(filter, newest, count) if totals else count()
    numbers, number = filter.pictures(session)
    numbers = numbers.where(number <= newest).order_by(number.desc()).limit(limit + 1)
    numbers = numbers.where(number < after) if after is not None else numbers.offset(offset)
    found = list(session.scalars(numbers))
    more = found[limit - 1] if len(found) > limit else None
    return Page(rows(session, found[:limit]), more, total, newest)


def rows(session: Session, numbers: Sequence[int]) -> list[Row]:
    """Returns pictures in this order, with their contents and boards."""
    if not numbers:
        return []
    found = {one.number: one for one in session.execute(_WHOLE, {"numbers": numbers})}
    on: dict[int, list[str]] = {}
    for number, board in session.execute(_PLACED, {"numbers": numbers}):
        on.setdefault(number, []).append(board)
    return [Row(found[number], on.get(number, ())) for number in numbers if number in found]


def find(session: Session, id: str, deleted: bool = False) -> Picture:
    """Returns a picture.

    Args:
        deleted: also one that is deleted and can be brought back.

    Raises:
        UnknownName: there is none.
    """
    asked = select(Picture).where(Picture.id == id)
    if not deleted:
        asked = asked.where(Picture.deleted_at.is_(None))
    if (found := session.scalars(asked).one_or_none()) is None:
        raise UnknownName("picture", id, ())
    return found


def content(session: Session, hash: str) -> Content:
    """Returns what is known of bytes that a picture has, or a node wrote.

    Raises:
        UnknownName: there are none, or every picture that has them is deleted.
    """
    found = session.get(Content, hash) if len(hash) == 64 and hash.isalnum() else None
    deleted = session.scalars(select(Picture.deleted_at).where(Picture.hash == hash)).all()
    if found is None or (deleted and None not in deleted):
        raise UnknownName("content", hash, ())
    return found


def of_jobs(session: Session, jobs: Sequence[str]) -> dict[str, list[Row]]:
    """Returns the pictures of jobs, by job, the best first."""
    wanted = select(Picture.number).where(Picture.job.in_(jobs), Picture.deleted_at.is_(None))
    ordered: dict[str, list[Row]] = {job: [] for job in jobs}
    for row in rows(session, list(session.scalars(wanted.order_by(Picture.job, Picture.place)))):
        ordered[str(row.picture.job)].append(row)
    return ordered


def provenance(session: Session, picture: Picture) -> dict[str, object] | None:
    """Returns what drew a picture, as its PNG carries it; or what an upload brought along."""
    if picture.job is None:
        recalled = session.get(Recalled, picture.number)
        return recalled.record if recalled else None
    record = session.scalar(select(Job.record).where(Job.id == picture.job))
    own = {"port": picture.port, "picture": picture.item, "about": picture.about}
    return {**record, **own} if record else None


def board(session: Session, id: str, stays: bool = False) -> Board:
    """Returns a board.

    Args:
        stays: nobody deletes it until the transaction ends.

    Raises:
        UnknownName: there is none.
    """
    lock = {"read": True, "key_share": True} if stays else None
    if (found := session.get(Board, id, with_for_update=lock)) is None:
        raise UnknownName("board", id, ())
    return found


def index_words(session: Session, picture: Picture) -> None:
    """Makes a picture be found by its words, as they are now."""
    texts = (picture.prompt, picture.note, picture.graph, picture.prior)
    search.index(session, picture.number, search.words_of(*texts))


def delete(session: Session, picture: Picture) -> None:
    """Takes a picture out of all lists; it can be brought back for a day."""
    picture.deleted_at = time.time()
