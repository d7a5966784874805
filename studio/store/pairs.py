"""Pairs of stored pictures that differ in what is compared alone: same prompt, photo and seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from studio.store.models import Comparison, Job, Picture

MOST = 5000  # of the newest pictures that are looked at


def find(
    session: Session, owner: str, tally: str, arms: Sequence[Mapping[str, Any]]
) -> tuple[Picture, Picture] | None:
    """Returns a pair that this person has not compared yet, by chance; None where there is none.

    Args:
        arms: each with graph, bundle or prior, as far as they matter.
    """
    asked = select(Comparison.picture_a, Comparison.picture_b).where(Comparison.tally == tally)
    seen = {(one, other) for one, other in session.execute(asked.where(Comparison.owner == owner))}
    left, right = (_candidates(session, arm) for arm in arms)
    pairs = [
        (one, other)
        for key in left.keys() & right.keys()
        for one in left[key]
        for other in right[key]
        if one.hash != other.hash and (one.id, other.id) not in seen
    ]
    return random.choice(pairs) if pairs else None


def _candidates(session: Session, arm: Mapping[str, Any]) -> dict[Any, list[Picture]]:
    """Returns the pictures of an arm, by what the other's must have the same."""
    columns = {"graph": Picture.graph, "bundle": Picture.bundle, "prior": Picture.prior}
    wanted = (
        select(Picture, Job.sources)
        .join(Job, Job.id == Picture.job)
        .where(Picture.kind == "generated", Picture.deleted_at.is_(None))
        .where(*(columns[name] == arm[name] for name in columns if arm.get(name)))
        .order_by(Picture.number.desc())
        .limit(MOST)
    )
    found: dict[Any, list[Picture]] = {}
    for picture, sources in session.execute(wanted):
        found.setdefault((picture.prompt, picture.seed, tuple(sorted(sources.values()))), []).append(picture)
    return found
