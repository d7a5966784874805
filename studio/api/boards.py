"""Boards: named collections of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from studio.api import shapes, views
from studio.api.access import Maker, Viewer, must_own
from studio.api.context import Key, Open, once
from studio.problems import Conflict
from studio.store import gallery
from studio.store.database import inserting, take_turns
from studio.store.models import Board, BoardPicture, Picture

router = APIRouter(tags=["boards"])


class NamedBoard(shapes.Shape):
    """What a board is called."""

    model_config = shapes.example(name="Cones")

    name: shapes.Name


class Pictures(shapes.Shape):
    """Pictures by their ids."""

    model_config = shapes.example(ids=[shapes.AN_ID])

    ids: Annotated[list[shapes.Id], Field(min_length=1, max_length=1000)]


class ShownBoard(shapes.Shape):
    """A board."""

    id: shapes.Id
    name: str
    owner: str
    created_at: datetime
    count: int
    cover: shapes.Picture | None = Field(description="The picture that was added last")


@router.get("/boards")
def list_boards(studio: Open, person: Viewer) -> list[ShownBoard]:
    """Lists boards by name."""
    with studio.database.read() as session:
        rows = session.scalars(select(Board).order_by(func.lower(Board.name), Board.id)).all()
        return _shown(session, rows)


@router.post("/boards", status_code=201, response_model=ShownBoard)
def make_board(board: NamedBoard, studio: Open, person: Maker, key: Key = None) -> Any:
    """Makes a board."""

    def work(session: Session) -> ShownBoard:
        _refuse_taken(session, person.name, board.name)
        row = Board(owner=person.name, name=board.name)
        session.add(row)
        session.flush()
        return _shown(session, [row])[0]

    return once(studio, person.name, key, ["board", board.name], work)


@router.patch("/boards/{id}")
def rename_board(id: str, board: NamedBoard, studio: Open, person: Maker) -> ShownBoard:
    """Calls a board otherwise."""
    with studio.database.write() as session:
        row = gallery.board(session, id)
        must_own(person, row.owner, "the board")
        if row.name != board.name:
            _refuse_taken(session, row.owner, board.name)
            row.name = board.name
        return _shown(session, [row])[0]


@router.delete("/boards/{id}", status_code=204)
def delete_board(id: str, studio: Open, person: Maker) -> Response:
    """Deletes a board; its pictures stay."""
    with studio.database.write() as session:
        row = gallery.board(session, id)
        must_own(person, row.owner, "the board")
        session.execute(delete(Board).where(Board.id == id))  # another may delete it, too
    return Response(status_code=204)


@router.put("/boards/{id}/pictures")
def add_to_board(id: str, pictures: Pictures, studio: Open, person: Maker) -> ShownBoard:
    """Puts pictures on a board; those that are on it stay."""
    with studio.database.write() as session:
        row = gallery.board(session, id, stays=True)
        must_own(person, row.owner, "the board")
        put(session, row, pictures.ids)
        return _shown(session, [row])[0]


def put(session: Session, board: Board, ids: Sequence[str]) -> None:
    """Puts pictures on a board.

    Raises:
        UnknownName: one is not there.
    """
    numbers = sorted({gallery.find(session, one).number for one in ids})
    if numbers:
        rows = [{"board": board.id, "picture": number} for number in numbers]
        session.execute(inserting(session, BoardPicture).on_conflict_do_nothing(), rows)


@router.delete("/boards/{id}/pictures")
def remove_from_board(id: str, pictures: Pictures, studio: Open, person: Maker) -> ShownBoard:
    """Takes pictures off a board."""
    with studio.database.write() as session:
        row = gallery.board(session, id)
        must_own(person, row.owner, "the board")
        numbers = select(Picture.number).where(Picture.id.in_(pictures.ids))
        taken = delete(BoardPicture).where(BoardPicture.board == id, BoardPicture.picture.in_(numbers))
        session.execute(taken)
        return _shown(session, [row])[0]


def _refuse_taken(session: Session, owner: str, name: str) -> None:
    take_turns(session, f"boards of {owner}")
    same = select(Board.id).where(Board.owner == owner, Board.name == name)
    if session.scalar(same) is not None:
        raise Conflict(f"name: expected one that no other board of yours has, got {name!r}")


def _shown(session: Session, rows: Sequence[Board]) -> list[ShownBoard]:
    ids = [one.id for one in rows]
    on = (
        select(BoardPicture.board, func.count(), func.max(BoardPicture.picture))
        .join(Picture, Picture.number == BoardPicture.picture)
        .where(BoardPicture.board.in_(ids), Picture.deleted_at.is_(None))
        .group_by(BoardPicture.board)
    )
    found = {board: (count, cover) for board, count, cover in session.execute(on)}
    covers = gallery.rows(session, [cover for _, cover in found.values()])
    shown = {row.picture.number: views.picture(row) for row in covers}
    return [
        ShownBoard(
            id=one.id,
            name=one.name,
            owner=one.owner,
            created_at=views.moment(one.created_at),
            count=found.get(one.id, (0, 0))[0],
            cover=shown.get(found[one.id][1]) if one.id in found else None,
        )
        for one in rows
    ]
