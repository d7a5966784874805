"""Search by likeness: unit vectors of float16 in the database, in memory one matrix to multiply with."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from studio.store.models import Picture, Vector

KINDS = ("generated", "upload")  # that are found by likeness
ROWS = 10_000  # read at once
Numbers = NDArray[np.float32]


class Space:
    """The vectors of one model, exact search by a product with all of them.

    They take 4 bytes a number: processors multiply float32 eight times as fast as float16.
    """

    def __init__(self, name: str) -> None:
        """Takes the name by which its vectors are stored."""
        self.name = name
        self._lock = threading.Lock()
        self._last = 0
        self._count = 0
        self._matrix: Numbers = np.empty((0, 0), np.float32)
        self._pictures: NDArray[np.int64] = np.empty(0, np.int64)

    def refresh(self, session: Session) -> None:
        """Reads what has been added since, and forgets pictures that are not there any more."""
        with self._lock:
            while found := self._newer(session):
                rows = np.frombuffer(b"".join(row.vector for row in found), np.float16)
                self._add(rows.reshape(len(found), -1), [row.picture for row in found])
                self._last = found[-1].number
            own = Vector.space == self.name
            if self._count > (session.scalar(select(func.count()).where(own)) or 0):
                self._keep(session.scalars(select(Vector.picture).where(own)).all())

    def _newer(self, session: Session) -> Sequence[Any]:
        later = select(Vector.number, Vector.picture, Vector.vector)
        later = later.where(Vector.space == self.name, Vector.number > self._last)
        return session.execute(later.order_by(Vector.number).limit(ROWS)).all()

    def _add(self, rows: NDArray[np.float16], pictures: Sequence[int]) -> None:
        end = self._count + len(rows)
        if end > len(self._matrix):
            size = max(end, len(self._matrix) * 5 // 4)
            matrix = np.empty((size, rows.shape[1]), np.float32)
            known = np.empty(size, np.int64)
            if self._count:
                matrix[: self._count] = self._matrix[: self._count]
                known[: self._count] = self._pictures[: self._count]
            self._matrix, self._pictures = matrix, known
        self._matrix[self._count : end] = rows
        self._pictures[self._count : end] = pictures
        self._count = end

    def _keep(self, pictures: Sequence[int]) -> None:
        known = self._pictures[: self._count]
        kept = np.isin(known, np.asarray(pictures, np.int64))
        self._matrix, self._pictures = self._matrix[: self._count][kept], known[kept]
        self._count = len(self._pictures)

    def nearest(
        self, vector: Numbers, limit: int, among: Sequence[int] | None = None, without: Sequence[int] = ()
    ) -> tuple[list[tuple[int, float]], int]:
        """Returns pictures by their numbers, the most alike first, each with the cosine; and how many.

        Args:
            limit: at most so many are returned of them.
            among: only these numbers; None is all.
            without: not these numbers.
        """
        with self._lock:
            matrix, pictures = self._matrix[: self._count], self._pictures[: self._count]
        if not len(pictures):
            return [], 0
        likeness = matrix @ vector
        if among is not None:
            likeness[~np.isin(pictures, np.asarray(among, np.int64))] = -np.inf
        likeness[np.isin(pictures, np.asarray(without, np.int64))] = -np.inf
        best = np.argpartition(-likeness, min(limit, len(likeness)) - 1)[:limit]
        best = best[np.argsort(-likeness[best], kind="stable")]
        found = [(int(pictures[one]), float(likeness[one])) for one in best if np.isfinite(likeness[one])]
        return found, int(np.isfinite(likeness).sum())

    def of(self, session: Session, picture: int) -> Numbers | None:
        """Returns the vector of a picture, if it has one."""
        wanted = select(Vector.vector).where(Vector.picture == picture, Vector.space == self.name)
        found = session.scalar(wanted)
        return None if found is None else np.frombuffer(found, np.float16).astype(np.float32)


def lacking(session: Session, space: str, limit: int) -> list[tuple[int, str]]:
    """Returns pictures that have no vector of a space, with their hashes, the newest first."""
    there = select(Vector.picture).where(Vector.space == space, Vector.picture == Picture.number).exists()
    wanted = select(Picture.number, Picture.hash).where(
        Picture.kind.in_(KINDS), Picture.deleted_at.is_(None), ~there
    )
    found = session.execute(wanted.order_by(Picture.number.desc()).limit(limit))
    return [(number, hash) for number, hash in found]


def keep(session: Session, space: str, found: Mapping[int, NDArray[np.float16]]) -> None:
    """Keeps vectors by the numbers of their pictures; those that are there stay."""
    insert: Any = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    for picture, vector in found.items():
        if session.get(Picture, picture) is not None:
            row = insert(Vector).values(picture=picture, space=space, vector=vector.tobytes())
            session.execute(row.on_conflict_do_nothing(index_elements=["picture", "space"]))
