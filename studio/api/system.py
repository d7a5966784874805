"""How the studio is, and who asks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy import func, select, text

from imagegraph import __version__
from imagegraph.errors import ImagegraphError
from studio.api import shapes, views
from studio.api.access import Viewer
from studio.api.context import Open
from studio.backends.backend import Backend, Health
from studio.store import gallery, queue
from studio.store.models import Job, Picture

router = APIRouter(tags=["system"])


class NodeHealth(shapes.Shape):
    """A node, and how it did in the latest jobs here."""

    name: str
    ready: bool | None
    load_s: float | None
    queue: int | None = Field(description="How many wait for it; of deployed graphs their servers know")
    runs: int
    mean_s: float | None
    mean_batch: float | None = Field(description="How many requests were computed together")
    cached: int


class VersionHealth(shapes.Shape):
    """A bundle, or a version of a deployed graph, and how much it did of the latest jobs here."""

    name: str
    traffic: int | None = Field(description="Of a hundred requests, as its server splits them")
    shadow: bool = Field(description="It gets copies, and its answers are dropped")
    ready: bool | None
    jobs: int
    mean_s: float | None


class GraphHealth(shapes.Shape):
    """A graph that is loaded, or deployed."""

    name: str
    where: str
    ready: bool
    loading: str
    error: str
    versions: list[VersionHealth]
    nodes: list[NodeHealth]


class System(shapes.Shape):
    """How the studio is."""

    version: str
    queued: int
    running: int
    running_here: int
    pictures: int
    resident_mib: float
    cache_mib: float
    cache_limit_mib: float
    graphs: list[GraphHealth]
    dashboards: dict[str, str]
    largest_body_mib: int
    largest_megapixels: float


@router.get("/system")
def show_system(studio: Open, person: Viewer) -> System:
    """Shows queue, memory and every graph with its nodes."""
    with studio.database.read() as session:
        jobs = queue.waiting(session, person.name)
        pictures = session.scalar(select(func.count()).where(Picture.deleted_at.is_(None))) or 0
        latest = session.scalars(select(Job).order_by(Job.number.desc()).limit(100)).all()
    seen: dict[str, dict[str, list[Any]]] = {}
    ran: dict[str, list[Job]] = {}
    for job in latest:
        ran.setdefault(job.graph, []).append(job)
        for node in job.nodes:
            seen.setdefault(job.graph, {}).setdefault(node["name"], []).append(node)
    return System(
        version=__version__,
        queued=jobs.queued,
        running=jobs.active - jobs.queued,
        running_here=studio.runner.running,
        pictures=pictures,
        resident_mib=round(_resident_mib(), 1),
        cache_mib=round(studio.cache.bytes / 2**20, 1) if studio.cache else 0,
        cache_limit_mib=studio.settings.cache_mib if studio.cache else 0,
        graphs=[_health(one, seen.get(one.name, {}), ran.get(one.name, ())) for one in studio.backends],
        dashboards=studio.settings.dashboards,
        largest_body_mib=studio.settings.body_mib,
        largest_megapixels=studio.settings.megapixels,
    )


def _health(backend: Backend, seen: Mapping[str, list[Any]], ran: Sequence[Job]) -> GraphHealth:
    try:
        health, versions = backend.health(), _versions(backend, ran)
    except ImagegraphError as error:
        health, versions = Health(False, str(error)), []
    names = dict.fromkeys([*health.nodes, *seen])
    nodes = [_node(name, health.nodes.get(name, {}), seen.get(name, ())) for name in names]
    return GraphHealth(
        name=backend.name, where=backend.where, ready=health.ready, loading=health.loading,
        error=health.error, versions=versions, nodes=nodes,
    )  # fmt: skip


def _versions(backend: Backend, ran: Sequence[Job]) -> list[VersionHealth]:
    known = backend.describe()
    traffic = {one.name: one for one in known.traffic}
    took: dict[str, list[float]] = {}
    for job in ran:
        if job.state == "done" and job.started_at and job.finished_at:
            took.setdefault(job.bundle, []).append(job.finished_at - job.started_at)
    return [
        VersionHealth(
            name=name, traffic=one.traffic if (one := traffic.get(name)) else None,
            shadow=bool(one and one.shadow), ready=one.ready if one else None,
            jobs=len(took.get(name, ())), mean_s=_mean(took.get(name, ())),
        )
        for name in dict.fromkeys([*known.versions, *traffic])
    ]  # fmt: skip


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 6) if values else None


def _node(name: str, facts: Mapping[str, Any], seen: Sequence[Mapping[str, Any]]) -> NodeHealth:
    done = [one for one in seen if one["state"] == "done"]
    worked = [one["seconds"] for one in done if not one["cached"] and one["seconds"] is not None]
    batches = [one["batch"] for one in done if one.get("batch")]
    return NodeHealth(
        name=name, ready=facts.get("ready"), load_s=facts.get("load_s"), queue=facts.get("queue"),
        runs=len(done),
        mean_s=_mean(worked), mean_batch=_mean(batches),
        cached=sum(one["cached"] for one in done),
    )  # fmt: skip


def _resident_mib() -> float:
    """Returns the memory of this process that is in use (Linux; elsewhere its peak)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


@router.get("/me")
def show_me(studio: Open, person: Viewer) -> shapes.Me:
    """Says who asks, and within which limits."""
    settings = studio.settings
    with studio.database.read() as session:
        used = studio.usage.used(session, person.name)
    limits = {
        "jobs_at_once": settings.user_jobs, "requests_a_minute": settings.user_requests,
        "stored_mib": settings.user_mib, "stored_mib_used": round(used / 2**20, 3),
    }  # fmt: skip
    anonymous = studio.settings.is_open
    return shapes.Me(name=person.name, role=person.role, anonymous=anonymous, limits=limits)


@router.get("/examples")
def list_examples(studio: Open, person: Viewer) -> list[shapes.Picture]:
    """Lists the pictures that a newcomer can begin with."""
    with studio.database.read() as session:
        page = gallery.page(session, gallery.Filter(kinds=("example",)), 20, None, 0, None)
        return [views.picture(row) for row in reversed(page.rows)]


@router.get("/health/live", include_in_schema=False)
async def live() -> Response:
    """Says that the process answers."""
    return Response("ok", media_type="text/plain")


@router.get("/health/ready", include_in_schema=False)
def ready(studio: Open) -> Response:
    """Says whether the store answers."""
    try:
        with studio.database.read() as session:
            session.execute(text("SELECT 1"))
    except Exception:
        return Response("the database does not answer", 503, media_type="text/plain")
    return Response("ok", media_type="text/plain")
