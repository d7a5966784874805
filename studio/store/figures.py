"""What the store holds, in numbers: the same from every server that shares it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from studio.store.database import Database
from studio.store.models import Comparison, Content, Job, Picture, Rating

FRESH_S = 5.0  # counting a large store takes a while, and several may scrape
OUTCOMES = {"a": ("won", "lost"), "b": ("lost", "won"), "tie": ("tied", "tied")}
BAD = ("both_bad", "both_bad")
Labels = tuple[str, ...]


class Figures(Collector):
    """Counts jobs, pictures and judgements when Prometheus asks."""

    def __init__(self, database: Database, queue_limit: int) -> None:
        """Takes where they are, and how many jobs may wait."""
        self._database = database
        self._queue_limit = queue_limit
        self._lock = threading.Lock()
        self._known: list[Metric] = []
        self._at = float("-inf")

    def describe(self) -> list[Metric]:
        """Names nothing: it would count for that."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Gives the numbers as they were a few seconds ago at most."""
        with self._lock:
            if time.monotonic() - self._at > FRESH_S:
                with self._database.read() as session:
                    self._known = list(self._count(session))
                self._at = time.monotonic()
            yield from self._known

    def _count(self, session: Session) -> Iterator[Metric]:
        states = select(Job.graph, Job.state, func.count()).group_by(Job.graph, Job.state)
        jobs = {(graph, state): number for graph, state, number in session.execute(states)}
        yield _family("jobs", "Jobs that are remembered", ["graph", "state"], jobs)
        waiting = sum(number for (_, state), number in jobs.items() if state == "queued")
        yield _family("queue_depth", "Jobs that wait", [], {(): waiting})
        yield _family("queue_limit", "Jobs that may wait or run", [], {(): self._queue_limit})
        oldest = session.scalar(select(func.min(Job.created_at)).where(Job.state == "queued"))
        age_s = max(0.0, time.time() - oldest) if oldest is not None else 0.0
        yield _family("queue_age_seconds", "How long the oldest job waits", [], {(): age_s})
        there = select(Picture.kind, func.count()).where(Picture.deleted_at.is_(None)).group_by(Picture.kind)
        kinds = {(kind,): number for kind, number in session.execute(there)}
        yield _family("pictures", "Pictures of the gallery", ["kind"], kinds)
        size = session.scalar(select(func.coalesce(func.sum(Content.size), 0))) or 0
        yield _family("stored_bytes", "Bytes of all pictures and of what nodes wrote", [], {(): float(size)})
        yield _family("ratings", "Ratings of pictures", ["graph", "version", "stars"], _ratings(session))
        names = ["graph", "by", "arm", "against", "outcome"]
        yield _family("comparisons", "Blind comparisons, from each arm's side", names, _comparisons(session))


def _family(name: str, text: str, labels: Sequence[str], values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(f"imagegraph_studio_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _ratings(session: Session) -> dict[Labels, float]:
    """Counts ratings of what was drawn here; by graph, version and stars."""
    asked = select(Picture.graph, Picture.bundle, Rating.stars, func.count())
    asked = asked.join(Picture, Picture.number == Rating.picture).where(Picture.job.is_not(None))
    rows = session.execute(asked.group_by(Picture.graph, Picture.bundle, Rating.stars))
    return {(graph or "", version or "", str(stars)): number for graph, version, stars, number in rows}


def _comparisons(session: Session) -> dict[Labels, float]:
    """Counts answered comparisons of versions, priors and graphs, each from the side of both arms.

    Arms that differ in parameters are a client's words, and left out.
    """
    counts = select(func.count().label("number"), func.min(Comparison.id).label("one"))
    counts = counts.where(Comparison.choice.is_not(None)).group_by(Comparison.tally, Comparison.choice)
    counted = counts.subquery()
    found: Counter[Labels] = Counter()
    for number, row in session.execute(
        select(counted.c.number, Comparison).join(Comparison, Comparison.id == counted.c.one)
    ):
        if (differ := _difference(row.arms)) is None:
            continue
        by, *sides = differ
        outcomes = OUTCOMES.get(str(row.choice), BAD)
        for arm, against, outcome in zip(sides, reversed(sides), outcomes, strict=True):
            found[row.graph, by, arm, against, outcome] += number
    return dict(found)


def _difference(arms: Sequence[Mapping[str, Any]]) -> tuple[str, str, str] | None:
    """Returns in what two arms differ, and how each is called by it; None where that is no name of ours."""
    one, other = arms
    if one.get("inputs") != other.get("inputs"):
        return None
    for by, key in (("graph", "graph"), ("version", "bundle"), ("prior", "prior")):
        if one.get(key) != other.get(key):
            return by, str(one.get(key) or "default"), str(other.get(key) or "default")
    return None
