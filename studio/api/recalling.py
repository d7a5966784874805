"""From a picture back to the inputs that draw it again."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from imagegraph.errors import ImagegraphError
from studio.api import shapes
from studio.backends.backend import Backends
from studio.store.models import Job, Picture, Recalled


def recall(session: Session, picture: Picture, backends: Backends) -> shapes.Recall | None:
    """Returns graph and inputs of a picture; None where they, or the graph, are not known here."""
    if picture.job is not None:
        job = session.scalar(select(Job).where(Job.id == picture.job))
        return shapes.Recall(graph=job.graph, bundle=job.bundle, inputs=job.inputs) if job else None
    recalled = session.get(Recalled, picture.number)
    if recalled is None or recalled.record["name"] not in backends:
        return None
    record = recalled.record
    backend = backends.find(record["name"])
    try:
        known = backend.describe()
    except ImagegraphError:
        return None  # its server is away
    kinds = {one.name: one.kind for one in known.inputs}
    inputs: dict[str, Any] = {
        name: value for name, value in record["parameters"].items() if name in kinds and value is not None
    }
    for name, sources in record["sources"].items():
        found = [_by_hash(session, str(one.get("sha256"))) for one in sources]
        if name in kinds and found and all(found):
            references = [{"picture": one} for one in found]
            inputs[name] = references if kinds[name] == "images" else references[0]
    bundle = record["bundle"] if record["bundle"] in known.versions else None
    return shapes.Recall(graph=record["name"], bundle=bundle, inputs=inputs)


def _by_hash(session: Session, hash: str) -> str | None:
    same = select(Picture.id).where(Picture.hash == hash, Picture.deleted_at.is_(None))
    return session.scalar(same.order_by(Picture.number).limit(1))
