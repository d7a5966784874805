"""The queue of jobs: one server at a time has a job, by a lease; what happens is numbered and kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, delete, func, or_, select, update
from sqlalchemy.orm import Session

from imagegraph.errors import UnknownName
from studio.problems import about
from studio.store.models import Job, JobEvent

ACTIVE = ("queued", "running")
ENDED = ("done", "failed", "cancelled")
PASSING = ("node-progress", "picture-preview")  # of no use once the job has ended
MOST_ATTEMPTS = 3


class LeaseLost(Exception):
    """Somebody else has the job now, or it has ended."""


def find(session: Session, id: str) -> Job:
    """Returns a job.

    Raises:
        UnknownName: there is none.
    """
    job = session.scalars(select(Job).where(Job.id == id)).one_or_none()
    if job is None:
        raise UnknownName("job", id, ())
    return job


def position(session: Session, job: Job) -> int | None:
    """Returns how many wait before a job; None if it does not wait."""
    return positions(session, [job]).get(job.number)


def positions(session: Session, jobs: Sequence[Job]) -> dict[int, int]:
    """Returns how many wait before each job that waits, by its number."""
    numbers = [one.number for one in jobs if one.state == "queued"]
    if not numbers:
        return {}
    waiting = select(Job.number).where(Job.state == "queued", Job.number <= max(numbers))
    places = {number: place for place, number in enumerate(session.scalars(waiting.order_by(Job.number)))}
    return {number: places[number] for number in numbers if number in places}


class Waiting(NamedTuple):
    """How many jobs wait; how many wait or run, of all and of one user."""

    queued: int
    active: int
    own: int


def waiting(session: Session, owner: str) -> Waiting:
    """Counts jobs that have not ended."""
    own = func.sum(case((Job.owner == owner, 1), else_=0))
    counts = select(Job.state, func.count(), own).where(Job.state.in_(ACTIVE)).group_by(Job.state)
    rows = session.execute(counts).all()
    return Waiting(
        sum(number for state, number, _ in rows if state == "queued"),
        sum(number for _, number, _ in rows),
        sum(number for *_, number in rows),
    )


def enqueue(session: Session, job: Job, position: int) -> None:
    """Adds a job behind others."""
    session.add(job)
    session.flush()
    append(session, job, [("queued", {"position": position})])


def append(session: Session, job: Job, events: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Numbers what happened to a job; its row must be locked or new."""
    for kind, data in events:
        job.last_event += 1
        session.add(JobEvent(job=job.id, number=job.last_event, kind=kind, data=data))


def is_there_one(session: Session, backends: Sequence[str]) -> bool:
    """Whether there is a job to take."""
    return session.scalar(_free(backends).with_only_columns(Job.number).limit(1)) is not None


def _free(backends: Sequence[str]) -> Select[Job]:
    dead = and_(Job.state == "running", Job.leased_until < time.time())
    return select(Job).where(or_(Job.state == "queued", dead), Job.graph.in_(backends))


def claim(session: Session, server: str, lease_s: float, backends: Sequence[str]) -> Job | None:
    """Takes the job that waits longest, or one whose server gives no sign of life any more."""
    free = _free(backends).order_by(Job.number)
    job = session.scalars(free.limit(1).with_for_update(skip_locked=True)).one_or_none()
    if job is None:
        return None
    if job.cancelling:
        end(session, job, "cancelled")
        return None
    if job.attempts >= MOST_ATTEMPTS:
        end(session, job, "failed", {"error": about(500, "the servers that ran it ended, each time")})
        return None
    start(session, job, server, lease_s)
    return job


def start(session: Session, job: Job, server: str, lease_s: float) -> None:
    """Gives a job to a server; its row must be locked or new."""
    job.started_at = now = time.time()
    job.state, job.server, job.leased_until = "running", server, now + lease_s
    job.attempts, job.nodes = (job.attempts or 0) + 1, []
    append(session, job, [("started", {"attempt": job.attempts})])


def held(session: Session, id: str, server: str) -> Job:
    """Returns a job that this server runs, locked.

    Raises:
        LeaseLost: it does not.
    """
    mine = _mine(id, server)
    job = session.scalars(select(Job).where(mine).with_for_update()).one_or_none()
    if job is None:
        raise LeaseLost(id)
    return job


def renew(session: Session, ids: Sequence[str], server: str, lease_s: float) -> dict[str, bool]:
    """Renews leases; returns the jobs that are still this server's, and whether each is to be cancelled."""
    kept = (
        update(Job)
        .where(Job.id.in_(ids), Job.state == "running", Job.server == server)
        .values(leased_until=time.time() + lease_s)
        .returning(Job.id, Job.cancelling)
    )
    return {id: cancelling for id, cancelling in session.execute(kept).all()}


def release(session: Session, server: str | None = None) -> None:
    """Gives up the leases of a server, or of all of them."""
    running = update(Job).where(Job.state == "running").values(leased_until=0.0, server=None)
    session.execute(running if server is None else running.where(Job.server == server))


def hand_back(session: Session, id: str, server: str) -> None:
    """Puts a job that this server runs back among those that wait, in its old place."""
    values = {"state": "queued", "server": None, "leased_until": None, "attempts": Job.attempts - 1}
    session.execute(update(Job).where(_mine(id, server)).values(values))


def cancel(session: Session, id: str) -> Job:
    """Ends a job that waits; asks the server of one that runs to end it.

    Raises:
        UnknownName: there is none.
    """
    job = session.scalars(select(Job).where(Job.id == id).with_for_update()).one_or_none()
    if job is None:
        raise UnknownName("job", id, ())
    if job.state == "queued":
        end(session, job, "cancelled")
    elif job.state == "running":
        job.cancelling = True
    return job


def end(session: Session, job: Job, state: str, facts: dict[str, Any] | None = None) -> None:
    """Ends a job, with its last event, and forgets what was of use only on the way."""
    job.state, job.finished_at = state, time.time()
    job.server = job.leased_until = None
    job.error = (facts or {}).get("error")
    append(session, job, [(state, facts or {})])
    passed = delete(JobEvent).where(JobEvent.job == job.id, JobEvent.kind.in_(PASSING))
    session.execute(passed, execution_options={"synchronize_session": False})  # nobody holds their rows


def events(session: Session, id: str, after: int) -> list[JobEvent]:
    """Returns what happened to a job after an event."""
    later = select(JobEvent).where(JobEvent.job == id, JobEvent.number > after)
    return list(session.scalars(later.order_by(JobEvent.number)))


def _mine(id: str, server: str) -> ColumnElement[bool]:
    return and_(Job.id == id, Job.state == "running", Job.server == server)
