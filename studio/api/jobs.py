"""Jobs: begin, look, follow, cancel, choose the best."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sse_starlette import EventSourceResponse, ServerSentEvent

from imagegraph.errors import InvalidInput, UnknownName
from studio.api import requests, shapes, views
from studio.api.access import Maker, Person, Viewer, must_own
from studio.api.context import Key, Open, Studio, answered, once
from studio.jobs import values as json_values
from studio.jobs.bell import PLACES, QUEUE, end_of, wait
from studio.problems import Refused
from studio.store import gallery, queue
from studio.store.models import Job, JobContent

router = APIRouter(tags=["jobs"])

LOOK_S = 0.5  # between looks at a job that another server runs
PING_S = 15
_NUMBER = re.compile("[0-9]{1,18}")  # as events have them
FULL_S = 10  # until the queue may have room again
MOST_WAIT_S = 300.0
Wait = Annotated[float, Query(ge=0, le=MOST_WAIT_S, description="Seconds to wait for the result")]

_FORM = {
    "requestBody": {
        "content": {
            "application/json": {"schema": shapes.NewJob.model_json_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "description": "A field an input, files for pictures; `inputs` is a JSON object of more",
                    "properties": {"bundle": {"type": "string"}, "inputs": {"type": "string"}},
                    "examples": [{"inputs": '{"seed": 7}'}],
                    "additionalProperties": True,
                }
            },
        }
    }
}


@router.post(
    "/graphs/{name}/jobs",
    status_code=202,
    response_model=shapes.Job,
    responses={200: {"model": shapes.Job, "description": "It has ended"}},
    openapi_extra=_FORM,
)
async def begin_job(
    name: str,
    request: Request,
    studio: Open,
    person: Maker,
    key: Key = None,
    wait: Wait = 0,
) -> Any:
    """Runs a graph: answers with the job at once, or with its result if that comes in time."""
    said, bundle = await requests.body(request)
    job = await asyncio.to_thread(begin, studio, person, name, said, bundle, key)
    if wait and job["state"] in queue.ACTIVE:
        job = await asyncio.wait_for(until_ended(studio, job["id"], wait), wait + 5)
    status = 202 if job["state"] in queue.ACTIVE else 200
    return JSONResponse(job, status, {"Location": f"/api/jobs/{job['id']}"})


def begin(
    studio: Studio,
    person: Person,
    name: str,
    said: dict[str, Any],
    bundle: str | None,
    key: str | None = None,
) -> dict[str, Any]:
    """Checks a request and puts it into the queue.

    Raises:
        ImagegraphError: the request is wrong, or there is no room for it.
    """
    request = ["job", name, bundle or "", said]
    if (known := answered(studio, person.name, key, request)) is not None:
        return known
    backend = studio.backends.find(name)
    version = backend.version(bundle)
    asked = requests.resolve(studio, backend.describe(), said, person.name)
    values = json_values.read(asked.inputs, asked.sources, studio.contents.read)
    backend.check(version, values)
    begun: dict[str, Job] = {}
    has_place = studio.runner.reserve()

    def work(session: Session) -> shapes.Job:
        waiting = queue.waiting(session, person.name)
        if waiting.own >= studio.settings.user_jobs:
            raise Refused(429, f"expected at most {studio.settings.user_jobs} jobs at once", FULL_S)
        if waiting.active >= studio.settings.queue:
            raise Refused(503, f"{studio.settings.queue} jobs wait already", FULL_S)
        studio.usage.check(session, person.name)
        row = Job(
            owner=person.name, graph=name, backend=backend.where, bundle=version,
            inputs=asked.inputs, sources=asked.sources,
        )  # fmt: skip
        queue.enqueue(session, row, waiting.queued)
        for hash in set(asked.sources.values()):
            session.add(JobContent(job=row.id, hash=hash))  # so that they stay for as long as it
        if has_place and not waiting.queued:
            queue.start(session, row, studio.runner.server, studio.settings.lease_s)
            begun[row.id] = row
            return views.job(row, None, ())
        return views.job(row, waiting.queued, ())

    try:
        answer = once(studio, person.name, key, request, work, changes="")
    except BaseException:
        if has_place:
            studio.runner.give_back()
        raise
    # Not where the key was known: then its job was begun before.
    if job := begun.get(answer["id"]):
        studio.runner.begin(job, values)
    else:
        if has_place:
            studio.runner.give_back()
        studio.bell.ring(PLACES)
    return answer


async def until_ended(studio: Studio, id: str, timeout_s: float) -> dict[str, Any]:
    """Returns a job once it has ended, or as it is when the time is over."""
    end = asyncio.get_running_loop().time() + timeout_s
    with studio.bell.listening(end_of(id)) as rung:
        if timeout_s and studio.runner.has(id):  # then a look is in vain
            await wait(rung, min(timeout_s, LOOK_S))
        while True:
            left_s = end - asyncio.get_running_loop().time()
            if job := await asyncio.to_thread(_show, studio, id, left_s > 0):
                return job.model_dump(mode="json")
            await wait(rung, min(left_s, LOOK_S))


def _show(studio: Studio, id: str, only_ended: bool = False) -> shapes.Job | None:
    with studio.database.read() as session:
        row = queue.find(session, id)
        if only_ended and row.state in queue.ACTIVE:
            return None
        return views.jobs(session, [row])[0]


@router.get("/jobs")
def list_jobs(
    studio: Open,
    person: Viewer,
    state: Annotated[list[shapes.State] | None, Query()] = None,
    graph: shapes.Text | None = None,
    owner: shapes.Text | None = None,
    cursor: Annotated[int | None, Query(ge=0, le=2**62)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> shapes.Jobs:
    """Lists jobs, the newest first."""
    with studio.database.read() as session:
        wanted = select(Job)
        if state:
            wanted = wanted.where(Job.state.in_(state))
        for column, value in ((Job.graph, graph), (Job.owner, owner)):
            wanted = wanted if value is None else wanted.where(column == value)
        total = session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
        if cursor is not None:
            wanted = wanted.where(Job.number < cursor)
        rows = list(session.scalars(wanted.order_by(Job.number.desc()).limit(limit + 1)))
        more = str(rows[limit - 1].number) if len(rows) > limit else None
        return shapes.Jobs.model_construct(items=views.jobs(session, rows[:limit]), next=more, total=total)


@router.get("/jobs/{id}", response_model=shapes.Job)
async def show_job(id: str, studio: Open, person: Viewer, wait: Wait = 0) -> Any:
    """Shows a job; with `wait`, once it has ended."""
    return JSONResponse(await until_ended(studio, id, wait))


@router.delete("/jobs/{id}", status_code=202)
def cancel_job(id: str, studio: Open, person: Maker) -> shapes.Job:
    """Cancels a job: at once if it waits, as soon as its server hears of it if it runs."""
    with studio.database.read() as session:
        must_own(person, queue.find(session, id).owner, "the job")
    return cancel(studio, id)


def cancel(studio: Studio, id: str) -> shapes.Job:
    """Has a job end.

    Raises:
        UnknownName: there is none.
    """
    with studio.database.write(changes="") as session:
        row = queue.cancel(session, id)
        shown = views.jobs(session, [row])[0]
    studio.bell.call(studio.runner.cancel, id)
    studio.bell.ring_end(id)
    studio.bell.ring(QUEUE)  # those behind it have moved up
    return shown


class Best(shapes.Shape):
    """The best picture of a job."""

    model_config = shapes.example(picture=shapes.AN_ID)

    picture: shapes.Id | None


@router.put("/jobs/{id}/best")
def choose_best(id: str, best: Best, studio: Open, person: Maker) -> shapes.Job:
    """Says which picture of a job is the best; null takes it back."""
    with studio.database.write(changes="") as session:
        row = queue.find(session, id)
        must_own(person, row.owner, "the job")
        picture = gallery.find(session, best.picture) if best.picture is not None else None
        if picture is not None and (picture.job, picture.kind) != (id, "generated"):
            raise InvalidInput("picture", "one of the pictures that the job has drawn", best.picture)
        row.best = best.picture
        return views.jobs(session, [row])[0]


@router.get(
    "/jobs/{id}/events",
    response_class=EventSourceResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def follow_job(
    id: str,
    studio: Open,
    person: Viewer,
    after: Annotated[int, Query(ge=0, le=2**62, description="As Last-Event-ID, for who cannot set it")] = 0,
    last_event_id: Annotated[str | None, Header()] = None,
) -> EventSourceResponse:
    """Tells what happens to a job to its end, from its beginning or after the last event that is known."""
    await asyncio.to_thread(_show, studio, id)
    if last_event_id and not _NUMBER.fullmatch(last_event_id):
        raise InvalidInput("Last-Event-ID", "the number of an event", last_event_id)
    seen = int(last_event_id or after)
    return EventSourceResponse(_events(studio, id, seen), ping=PING_S, headers={"X-Accel-Buffering": "no"})


async def _events(studio: Studio, id: str, seen: int) -> AsyncIterator[ServerSentEvent]:
    """Yields the events of a job, and while it waits how many wait before it."""
    told: int | None = None
    with studio.bell.listening(id) as rung, studio.bell.listening(QUEUE, rung):
        while True:
            happened, place, ended = await asyncio.to_thread(_look, studio, id, seen)
            for one in happened:
                seen = one.number
                yield ServerSentEvent(json.dumps(one.data), event=one.kind, id=str(one.number))
            if ended:
                return
            if place is not None and place != told:
                told = place
                # It has no number: who reconnects is told how it is then.
                yield ServerSentEvent(json.dumps({"position": place}), event="queued")
            await wait(rung, LOOK_S)


def _look(studio: Studio, id: str, seen: int) -> tuple[list[Any], int | None, bool]:
    with studio.database.read() as session:
        job = session.scalar(select(Job).where(Job.id == id))
        if job is None:
            raise UnknownName("job", id, ())
        happened = queue.events(session, id, seen)
        return happened, queue.position(session, job), job.state in queue.ENDED
