"""How many bytes of pictures each user has, and whether that leaves room for more."""

from __future__ import annotations

import time

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from studio.problems import NoRoom
from studio.store.database import Database
from studio.store.models import Content, Picture

RECOUNT_S = 60.0  # other servers delete pictures, too


class Usage:
    """Bytes of pictures by user: all are counted once, then those that have come since.

    Until pictures that were there change, or somebody seems to have too many.
    """

    def __init__(self, database: Database, allowed: int) -> None:
        """Takes where they are, and how many bytes one user may have."""
        self._database = database
        self._allowed = allowed
        self._known: dict[str, tuple[int, int]] = {}  # the newest number that was counted, and bytes
        self._as_of: tuple[int, int] = (-1, 0)

    def used(self, session: Session, owner: str) -> int:
        """Returns how many bytes somebody has."""
        as_of = self._database.changes["pictures"], int(time.monotonic() / RECOUNT_S)
        if as_of != self._as_of:
            self._known, self._as_of = {}, as_of
        known = self._known
        newest = session.scalar(select(func.max(Picture.number))) or 0
        last, counted = known.get(owner, (0, 0))
        used = counted + (_bytes(session, owner, last) if newest > last else 0)
        known[owner] = newest, used
        return used

    def check(
        self,
        session: Session,
        owner: str,
        field: str = "stored_mib",
        more: int = 0,
        recount: bool = False,
    ) -> None:
        """Refuses what somebody has no room for.

        Args:
            field: what is refused.
            more: how many bytes it brings; 0 is not known yet, and fits where any would.
            recount: count all, as numbers that were counted may have come back.

        Raises:
            NoRoom: says how much they have.
        """
        room = self._allowed - (more or 1)
        seems_full = recount or self.used(session, owner) > room
        if seems_full and (used := _bytes(session, owner)) > room:
            raise NoRoom(field, used, more, self._allowed)


def _bytes(session: Session, owner: str, after: int = 0) -> int:
    size = select(func.coalesce(func.sum(Content.size), 0)).join(Picture, Picture.hash == Content.hash)
    own = Picture.owner == owner, Picture.kind != "example", Picture.deleted_at.is_(None)
    return int(session.scalar(size.where(*own, Picture.number > after)) or 0)
