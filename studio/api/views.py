"""Rows of the store as the API shows them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import orjson
from fastapi import Response
from sqlalchemy.orm import Session

from studio.api import shapes
from studio.backends.backend import Backend
from studio.store import gallery, queue
from studio.store.gallery import Row
from studio.store.models import Job


def moment(at: float) -> datetime:
    """Returns a time as the API says it."""
    return datetime.fromtimestamp(at, UTC)


def facts(row: Row) -> dict[str, Any]:
    """Returns what a `shapes.Picture` says: lists of them are sent as they are."""
    one = row.picture
    url = f"/api/pictures/{one.id}"
    return {
        "id": one.id, "hash": one.hash, "width": one.width, "height": one.height,
        "media_type": one.media_type, "bytes": one.size, "created_at": moment(one.created_at),
        "owner": one.owner, "job": one.job, "graph": one.graph, "node": one.node, "port": one.port,
        "place": one.place, "kind": one.kind, "prior": one.prior, "prompt": one.prompt, "seed": one.seed,
        "version": one.bundle, "stars": one.stars, "starred": one.starred, "note": one.note,
        "boards": row.boards,
        "scores": {name: value for name, value in one.about.items() if isinstance(value, float)},
        "provenance": None, "recall": None, "similarity": None, "deleted": one.deleted_at is not None,
        "url": f"{url}/file", "thumbnail": f"{url}/thumbnail?size=256",
    }  # fmt: skip


def as_json(value: Any) -> Response:
    """Answers what is JSON already, but for times."""
    return Response(orjson.dumps(value, option=orjson.OPT_UTC_Z), media_type="application/json")


def picture(
    row: Row, provenance: dict[str, Any] | None = None, similarity: float | None = None
) -> shapes.Picture:
    """Shows a picture."""
    more = {"boards": list(row.boards), "provenance": provenance, "similarity": similarity}
    return shapes.Picture.model_construct(**{**facts(row), **more})


def job(row: Job, position: int | None, pictures: Sequence[Row]) -> shapes.Job:
    """Shows a job."""
    drawn = [one for one in pictures if one.picture.kind == "generated"]
    names = {name for one in drawn for name, value in one.picture.about.items() if isinstance(value, float)}
    seed = row.inputs.get("seed")
    end, begin = row.finished_at, row.started_at
    ids = {one.picture.hash: one.picture.id for one in pictures}
    scores = {
        name: [one.picture.about[name] for one in drawn if name in one.picture.about]
        for name in sorted(names)
    }
    return shapes.Job(
        id=row.id, graph=row.graph, backend=row.backend, bundle=row.bundle,
        state=cast(shapes.State, row.state),
        position=position, created_at=moment(row.created_at), started_at=moment(begin) if begin else None,
        finished_at=moment(end) if end else None, owner=row.owner, inputs=row.inputs,
        seed=seed if isinstance(seed, int) else None,
        seconds=round(end - begin, 6) if end and begin else None,
        nodes=[shapes.JobNode(**{**one, "outputs": _named(one["outputs"], ids)}) for one in row.nodes],
        outputs=_named(row.outputs, ids), pictures=[picture(one) for one in pictures], scores=scores,
        best=row.best, error=shapes.Problem(**row.error) if row.error else None,
        cancelling=row.cancelling and row.state == "running",
    )  # fmt: skip


def _named(value: Any, ids: dict[str, str]) -> Any:
    """Adds the ids of the gallery's pictures where their contents are linked to."""
    if isinstance(value, dict):
        named = {name: _named(one, ids) for name, one in value.items()}
        return {**named, "picture": ids.get(value["hash"])} if {"hash", "url"} <= value.keys() else named
    return [_named(one, ids) for one in value] if isinstance(value, list) else value


def jobs(session: Session, rows: Sequence[Job]) -> list[shapes.Job]:
    """Shows jobs with their pictures."""
    pictures = gallery.of_jobs(session, [one.id for one in rows])
    places = queue.positions(session, rows)
    return [job(one, places.get(one.number), pictures[one.id]) for one in rows]


def summary(backend: Backend) -> shapes.GraphSummary:
    """Shows a graph in a list."""
    known, health = backend.describe(), backend.health()
    return shapes.GraphSummary(
        name=known.name, kind=known.kind, summary=known.summary, takes=known.takes,
        bundles=list(known.versions), where=backend.where, ready=health.ready, loading=health.loading,
        error=health.error,
    )  # fmt: skip


def away(backend: Backend, error: Exception) -> shapes.GraphSummary:
    """Shows a graph whose server does not answer."""
    return shapes.GraphSummary(
        name=backend.name, kind="graph", summary="", takes=[], bundles=[], where=backend.where, ready=False,
        loading="", error=str(error),
    )  # fmt: skip


def graph(backend: Backend) -> shapes.Graph:
    """Shows a graph with its form."""
    known = backend.describe()
    inputs = [
        shapes.Input(
            name=one.name, kind=one.kind, group=one.group, required=one.required, default=one.default,
            is_prior=one.name in known.priors, json_schema=dict(one.schema), limits=dict(one.limits),
            description=one.description,
        )
        for one in known.inputs
    ]  # fmt: skip
    outputs = [_output(known.tensors[name], name in known.priors) for name in known.outputs]
    tree = shapes.Node.model_validate(known.tree)
    return shapes.Graph(
        **dict(summary(backend)), tree=tree, inputs=inputs, outputs=outputs, priors=list(known.priors)
    )


def _output(tensor: Any, is_prior: bool) -> shapes.Output:
    facts = tensor.get("parameters", {})
    is_picture = facts.get("content_type") == "image/*"
    return shapes.Output(
        name=tensor["name"],
        kind=("image" if tensor["shape"] == [1] else "images") if is_picture else "value",
        is_prior=is_prior,
        of=facts.get("of", []),
        json_schema=facts.get("schema", {}),
    )
