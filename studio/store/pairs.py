"""Pairs of stored pictures that differ in what is compared alone: same prompt, photo, seed and all else."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from studio.store.models import Comparison, Job, Picture

MOST = 5000  # of the newest pictures that are looked at
_COLUMNS = {"graph": Picture.graph, "bundle": Picture.bundle, "prior": Picture.prior}

Said = Mapping[str, Any]


def find(
    session: Session, owner: str, tally: str, arms: Sequence[Said], defaults: Mapping[str, Said]
) -> tuple[Picture, Picture] | None:
    """Returns a pair that this person has not compared yet, by chance; None where there is none.

    Args:
        arms: each with graph, and bundle, prior and inputs as far as they matter.
        defaults: by graph, what its inputs are where nobody says it, as far as that is known.
    """
    asked = select(Comparison.picture_a, Comparison.picture_b).where(Comparison.tally == tally)
    seen = {(one, other) for one, other in session.execute(asked.where(Comparison.owner == owner))}
    varied = {name for arm in arms for name in arm.get("inputs", {})}
    # Graphs have the same words for the same things, and may have more.
    known = [defaults.get(arm["graph"], {}).keys() for arm in arms]
    alike = None if arms[0]["graph"] == arms[1]["graph"] else (known[0] & known[1])
    left, right = (
        _candidates(session, arm, other, varied, alike, defaults.get(arm["graph"], {}))
        for arm, other in (arms, arms[::-1])
    )
    pairs = [
        (one, other)
        for key in left.keys() & right.keys()
        for one in left[key]
        for other in right[key]
        if one.hash != other.hash and (one.id, other.id) not in seen
    ]
    return random.choice(pairs) if pairs else None


def _candidates(
    session: Session, arm: Said, other: Said, varied: set[str], alike: set[str] | None, defaults: Said
) -> dict[Any, list[Picture]]:
    """Returns the pictures of an arm, by what the other's must have the same.

    Args:
        varied: inputs that an arm says; one that does not has their defaults.
        alike: inputs that both graphs have; None where they are one graph.
    """
    wanted = (
        select(Picture, Job.inputs, Job.sources)
        .join(Job, Job.id == Picture.job)
        .where(Picture.kind == "generated", Picture.deleted_at.is_(None))
        .where(*(_COLUMNS[name] == arm[name] for name in _COLUMNS if arm.get(name)))
        .order_by(Picture.number.desc())
        .limit(MOST)
    )
    one_prior = alike is None and not arm.get("prior") and not other.get("prior")
    if not arm.get("prior") and not one_prior:
        wanted = wanted.where(Picture.place == 0)  # the best of all, as where it is drawn
    one_bundle = not arm.get("bundle") and not other.get("bundle")
    expected = {name: {**defaults, **arm.get("inputs", {})}.get(name) for name in varied}
    found: dict[Any, list[Picture]] = {}
    for picture, inputs, sources in session.execute(wanted):
        said = {**defaults, **inputs}
        if any(said.get(name) != value for name, value in expected.items()):
            continue
        seed = said.get("seed") if picture.seed is None else picture.seed
        rest = {
            name: value
            for name, value in said.items()
            if name not in varied and name not in ("prompt", "seed") and (alike is None or name in alike)
        }
        same = [
            picture.prompt,
            seed,
            sorted(sources.values()),
            _by_content(rest, sources),
            picture.prior if one_prior else None,
            picture.bundle if one_bundle else None,
        ]
        found.setdefault(json.dumps(same, sort_keys=True), []).append(picture)
    return found


def _by_content(value: Any, sources: Said) -> Any:
    """Returns inputs with the hashes of their pictures: one may have been uploaded several times."""
    if isinstance(value, dict):
        if value.keys() == {"picture"} and str(value["picture"]) in sources:
            return sources[str(value["picture"])]
        return {name: _by_content(one, sources) for name, one in value.items()}
    return [_by_content(one, sources) for one in value] if isinstance(value, list) else value
