"""Blind comparisons of two arms: the same prompt, photo and seed, drawn in two ways."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Literal

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.orm import Session

from imagegraph.errors import UnknownName
from studio.api import blind_pairs, shapes, views
from studio.api.access import Maker, Viewer
from studio.api.comparison_shapes import Arm, Arms, Asked, Choice, Pair, Revealed, ShownTally, Wins
from studio.api.context import Key, Open, once
from studio.problems import Conflict
from studio.store import gallery
from studio.store.models import Comparison, Picture
from studio.store.tally import Tally

router = APIRouter(tags=["comparisons"])


@router.get("/comparisons")
def list_tallies(studio: Open, person: Viewer) -> list[ShownTally]:
    """Lists what all comparisons say, the latest first."""
    with studio.database.read() as session:
        latest = select(Comparison).where(Comparison.choice.is_not(None))
        rows = session.scalars(latest.order_by(Comparison.answered_at.desc())).all()
    by_tally: dict[str, list[Comparison]] = {}
    for one in rows:
        by_tally.setdefault(one.tally, []).append(one)
    return [_tally(found) for found in by_tally.values()]


@router.get("/comparisons/arms")
def list_arms(studio: Open, person: Viewer) -> Arms:
    """Lists what can be compared without drawing anything."""
    with studio.database.read() as session:
        there = Picture.deleted_at.is_(None), Picture.kind == "generated"

        def distinct(column: Any) -> list[str]:
            found = session.scalars(select(column).where(*there, column.is_not(None)).distinct())
            return sorted(found)

        return Arms(
            graphs=distinct(Picture.graph), bundles=distinct(Picture.bundle), priors=distinct(Picture.prior)
        )


@router.post("/comparisons/next", response_model=Pair)
async def next_pair(asked: Asked, studio: Open, person: Maker, key: Key = None) -> Any:
    """Hands out a blind pair, sides by chance; while it is drawn, ask for it by its id."""
    pair = await asyncio.to_thread(blind_pairs.make, studio, person, asked, key)
    end = time.monotonic() + asked.wait
    while pair.state == "drawing" and time.monotonic() < end:
        await asyncio.sleep(0.1)
        pair = await asyncio.to_thread(blind_pairs.show, studio, pair.id)
    return pair


@router.get("/comparisons/{id}")
def show_pair(id: str, studio: Open, person: Viewer) -> Pair:
    """Shows a pair."""
    return blind_pairs.show(studio, id)


@router.post("/comparisons", response_model=Revealed)
def choose(choice: Choice, studio: Open, person: Maker, key: Key = None) -> Any:
    """Says which picture of a pair is better; answers what the two were, and how they stand."""

    def work(session: Session) -> Revealed:
        row = session.get(Comparison, choice.id, with_for_update=True)
        if row is None or row.owner != person.name:
            raise UnknownName("comparison of yours", choice.id, ())
        if not row.pictures:
            raise Conflict("id: expected a pair that is drawn, got one that is not yet")
        sides: tuple[Literal["a", "b"], ...] = ("a", "b") if row.a_is_left else ("b", "a")
        chosen = {"left": sides[0], "right": sides[1]}.get(choice.choice, choice.choice)
        if row.choice is not None and row.choice != chosen:
            raise Conflict("id: expected a pair to choose from, got one that was answered otherwise")
        row.choice, row.answered_at = chosen, row.answered_at or time.time()
        session.flush()
        same = select(Comparison).where(Comparison.tally == row.tally, Comparison.choice.is_not(None))
        shown = [_revealed(session, one) for one in blind_pairs.in_places(row)]
        tally = _tally(session.scalars(same).all())
        return Revealed(left=shown[0], right=shown[1], left_arm=sides[0], tally=tally)

    return once(studio, person.name, key, ["choice", choice.model_dump()], work)


def _revealed(session: Session, id: str) -> shapes.Picture | None:
    there = select(Picture.number).where(Picture.id == id, Picture.deleted_at.is_(None))
    return next(map(views.picture, gallery.rows(session, session.scalars(there).all())), None)


def _tally(rows: Sequence[Comparison]) -> ShownTally:
    counted = Tally.of(str(one.choice) for one in rows)
    a, b = (Arm(**arm) for arm in rows[0].arms)
    return ShownTally(
        graph=rows[0].graph,
        a=a,
        b=b,
        wins=Wins(a=counted.a, b=counted.b),
        ties=counted.ties,
        both_bad=counted.both_bad,
        interval=counted.interval,
        p_value=counted.p_value,
    )
