"""What all routes need: settings, store, graphs, jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Header, Request
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from imagegraph.calls.store import MemoryStore
from imagegraph.spec.content_hash import content_hash
from studio.backends.backend import Backends
from studio.jobs.bell import Bell
from studio.jobs.likeness import Likeness
from studio.jobs.runner import Runner
from studio.metrics import Metrics
from studio.problems import Conflict
from studio.settings import Settings
from studio.store.contents import Contents
from studio.store.database import Changes, Database
from studio.store.gallery import Totals
from studio.store.models import Answered
from studio.store.usage import Usage

if TYPE_CHECKING:
    from studio.api.access import Rates


@dataclass
class Studio:
    """A studio that is open."""

    settings: Settings
    database: Database
    contents: Contents
    backends: Backends
    bell: Bell
    runner: Runner
    likeness: Likeness
    totals: Totals
    usage: Usage
    rates: Rates
    cache: MemoryStore | None
    metrics: Metrics


async def of_request(request: Request) -> Studio:
    """Returns the studio that a request asks."""
    studio: Studio = request.app.state.studio
    return studio


Open = Annotated[Studio, Depends(of_request)]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Asked again with the same key within a day, the first answer is answered again",
    ),
]


def once(
    studio: Studio,
    owner: str,
    key: str | None,
    request: Any,
    work: Callable[[Session], BaseModel],
    changes: Changes = "pictures",
) -> dict[str, Any]:
    """Does something in one transaction, once for each key; returns what it answers, or has answered.

    Args:
        changes: see `Database.write`.
        request: what is asked for, to tell a repeated request from another one with the same key.

    Raises:
        Conflict: the key belongs to another request.
    """
    asked = content_hash(request) if key else ""
    try:
        return _once(studio, owner, key, asked, work, changes)
    except IntegrityError:
        if not key:
            raise
        return _once(studio, owner, key, asked, work, changes)  # the same request came at the same time


def answered(studio: Studio, owner: str, key: str | None, request: Any) -> dict[str, Any] | None:
    """Returns what `once` has answered to a key; None where nothing was asked with it.

    So a repeated request is not looked at again: what it was about may be gone meanwhile.

    Raises:
        Conflict: as `once`.
    """
    if not key:
        return None
    with studio.database.read() as session:
        return _known(session, owner, key, content_hash(request))


def _known(session: Session, owner: str, key: str, asked: str) -> dict[str, Any] | None:
    known = session.get(Answered, (owner, key))
    if known is not None and known.request != asked:
        raise Conflict("Idempotency-Key: expected a new one for another request, got one that was used")
    return known.body if known else None


def _once(
    studio: Studio,
    owner: str,
    key: str | None,
    asked: str,
    work: Callable[[Session], BaseModel],
    changes: Changes,
) -> dict[str, Any]:
    with studio.database.write(changes) as session:
        if key and (known := _known(session, owner, key, asked)) is not None:
            return known
        body = work(session).model_dump(mode="json", by_alias=True)
        if key:
            session.add(Answered(owner=owner, key=key, request=asked, body=body))
        return body
