"""Judgements of pictures: stars from 1 to 5, and changes to many pictures at once."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import delete, select

from studio.api import boards, shapes, uploads
from studio.api.access import Maker, must_own
from studio.api.context import Key, Open, Studio, once
from studio.api.pictures import shown
from studio.jobs.bell import PICTURES
from studio.store import gallery
from studio.store.database import inserting
from studio.store.models import Picture, Rating

router = APIRouter(tags=["ratings"])

Stars = Annotated[int, Field(ge=1, le=5, strict=True)]


class Rated(shapes.Shape):
    """How good a picture is; null takes it back."""

    model_config = shapes.example(stars=4)

    stars: Stars | None


class Changes(shapes.Shape):
    """What is to change in many pictures; what is not said stays."""

    model_config = shapes.example(ids=[shapes.AN_ID], starred=True, stars=5)

    ids: Annotated[list[shapes.Id], Field(min_length=1, max_length=1000)]
    starred: bool | None = None
    stars: Annotated[int, Field(ge=0, le=5, strict=True, description="0 takes them back")] | None = None
    deleted: bool | None = None
    board: Annotated[shapes.Id, Field(description="To be put on it, too")] | None = None


class Changed(shapes.Shape):
    """How many pictures were changed, and which were not there."""

    changed: int
    missing: list[str]


@router.put("/pictures/{id}/rating")
def rate_picture(id: str, rated: Rated, studio: Open, person: Maker) -> shapes.Picture:
    """Gives a picture stars."""
    with studio.database.write(changes="stars") as session:
        rate(session, gallery.find(session, id), person.name, rated.stars)
    studio.bell.ring(PICTURES)
    return shown(studio, id)


def rate(session: Any, picture: Picture, owner: str, stars: int | None) -> None:
    """Notes somebody's stars; the picture shows those that were given last."""
    own = {"picture": picture.number, "owner": owner}
    if stars is None:
        session.execute(delete(Rating).filter_by(**own))
        latest = select(Rating.stars).where(Rating.picture == picture.number).order_by(Rating.at.desc())
        picture.stars = session.scalar(latest.limit(1))
        return
    now = {"stars": stars, "at": time.time()}
    added = inserting(session, Rating).values(**own, **now)  # somebody may rate it twice at once
    session.execute(added.on_conflict_do_update(index_elements=list(own), set_=now))
    picture.stars = stars


@router.post("/pictures/changes", response_model=Changed)
def change_pictures(changes: Changes, studio: Open, person: Maker, key: Key = None) -> Any:
    """Changes many pictures at once: all of them, or by an error none."""
    answer = once(
        studio,
        person.name,
        key,
        ["changes", changes.model_dump(mode="json")],
        lambda session: _change(session, studio, changes, person),
    )
    studio.bell.ring(PICTURES)
    return answer


def _change(session: Any, studio: Studio, changes: Changes, person: Any) -> Changed:
    # In one order, so that two who change the same ones do not wait for each other.
    asked = select(Picture).where(Picture.id.in_(changes.ids)).order_by(Picture.number)
    found = list(session.scalars(asked))
    if changes.deleted is False:
        for one in found:
            must_own(person, one.owner, f"the picture {one.id}")
        uploads.bring_back(studio, session, found, "deleted")
    for one in found:
        if changes.deleted:
            must_own(person, one.owner, f"the picture {one.id}")
            one.deleted_at = one.deleted_at or time.time()
        if changes.starred is not None:
            one.starred = changes.starred
        if changes.stars is not None:
            rate(session, one, person.name, changes.stars or None)
    if changes.board is not None:
        board = gallery.board(session, changes.board, stays=True)
        must_own(person, board.owner, "the board")
        boards.put(session, board, [one.id for one in found if one.deleted_at is None])
    known = {one.id for one in found}
    return Changed(changed=len(found), missing=[one for one in changes.ids if one not in known])
