"""What a job leaves behind: its pictures in the gallery, its values, and what drew them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from imagegraph import Answer
from imagegraph.image import Image
from studio.jobs import values as json_values
from studio.store import search
from studio.store.contents import Contents, Kept
from studio.store.database import inserting
from studio.store.models import Job, JobContent, Picture

MAPS = (0, 3)  # PNG's colour types of grey and, for masks, of a palette


@dataclass(frozen=True)
class Drawn:
    """A picture of an answer, and what is said of it."""

    image: Image
    kind: str
    port: str
    item: int
    prior: str | None
    prompt: str | None
    seed: int | None
    about: Mapping[str, Any]


def pictures(answer: Answer, priors: list[str]) -> Iterator[Drawn]:
    """Yields the pictures of an answer: those of lists, the best first, then single ones."""
    for one in answer.pictures:
        said = {name: value for name, value in one.about.items() if _is_plain(value)}
        kind = "mask" if _is_map(one.value) else "generated"
        prior, seed = said.get("steered_by"), said.get("seeds")
        prompt = said.get("prompts") or one.shared.get("prompt") or answer.request.get("prompt")
        yield Drawn(
            one.value,
            kind,
            one.port,
            one.index,
            prior if isinstance(prior, str) else None,
            prompt if isinstance(prompt, str) else None,
            seed if isinstance(seed, int) else None,
            said,
        )
    for name, value in answer.items():
        if isinstance(value, Image):
            kind = "prior" if name in priors else "mask" if _is_map(value) else "generated"
            yield Drawn(value, kind, name, 0, name if kind == "prior" else None, None, None, {})


def _is_plain(value: Any) -> bool:
    """Whether JSON knows a value as it is."""
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _is_map(image: Image) -> bool:
    """Whether a picture is one of a single channel: a mask, or a map."""
    data = image.data
    return data.startswith(b"\x89PNG") and data[25] in MAPS


def keep(contents: Contents, images: list[Image]) -> dict[str, Kept]:
    """Keeps pictures in the storage; returns what is known of each, by the `id` of its Image."""
    kept = contents.keep([one.data for one in images])
    return {str(id(image)): one for image, one in zip(images, kept, strict=True)}


def add(
    session: Session, job: Job, answer: Answer, drawn: list[Drawn], kept: Mapping[str, Kept]
) -> list[Picture]:
    """Adds a job's pictures to the gallery, each content once, and its values to the job."""
    seen: set[str] = set()
    rows: list[Picture] = []
    writers = _writers(job)
    for one in drawn:
        content = kept[str(id(one.image))]
        if content.hash in seen:
            continue
        seen.add(content.hash)
        row = Picture(
            owner=job.owner, hash=content.hash, job=job.id, graph=job.graph, node=writers.get(one.port),
            port=one.port, place=len(rows), item=one.item, kind=one.kind, prior=one.prior,
            prompt=one.prompt, seed=one.seed, bundle=job.bundle, about=dict(one.about),
        )  # fmt: skip
        session.add(row)
        rows.append(row)
    session.flush()
    words = {row.number: search.words_of(row.prompt, row.graph, row.prior) for row in rows}
    search.add(session, words)
    refer(session, job.id, kept.values())
    job.outputs = {
        name: json_values.told(value, kept, json_values.MOST_OF_RESULT) for name, value in answer.items()
    }
    return rows


def refer(session: Session, job: str, kept: Any) -> None:
    """Notes that a job has these contents."""
    if hashes := sorted({one.hash for one in kept}):
        rows = [{"job": job, "hash": hash} for hash in hashes]
        session.execute(inserting(session, JobContent).on_conflict_do_nothing(), rows)


def _writers(job: Job) -> dict[str, str]:
    """Returns the node that wrote each value last."""
    return {port: node["name"] for node in job.nodes for port in node["outputs"]}
