"""How a blind pair is made: drawn, or found in the gallery; and how it is shown without a word about it."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from imagegraph.errors import ImagegraphError, InvalidInput, UnknownName
from imagegraph.spec.content_hash import content_hash
from studio.api import jobs, shapes
from studio.api.access import Person
from studio.api.comparison_shapes import Asked, Made, Pair, Side
from studio.api.context import Studio, answered, once
from studio.backends.form import Field
from studio.problems import Refused, about
from studio.store import gallery, pairs, queue
from studio.store.gallery import Row
from studio.store.models import Comparison, Content, new_id

SAME = ("prompt", "prompts", "seed")  # beside pictures: what no arm may have for itself
PAIR = "pair of these arms with one prompt, photo and seed that you have not compared"


def make(studio: Studio, person: Person, asked: Asked, key: str | None = None) -> Pair:
    """Makes a pair, once for each key.

    Raises:
        InvalidInput: the arms are one, or one has a prompt, photo or seed of its own.
        Refused: the gallery has none.
    """
    request = ["pair", asked.model_dump(mode="json", exclude={"wait"})]
    if (made := answered(studio, person.name, key, request)) is not None:
        return show(studio, made["id"])
    said = [one.model_dump(mode="json", exclude_defaults=True) for one in (asked.a, asked.b)]
    # In one order, whichever was named first: so that they have one tally.
    arms = sorted(({"graph": asked.graph, **shapes.clean_json(one, "arm")} for one in said), key=_text)
    if arms[0] == arms[1]:
        raise InvalidInput("b", "an arm that differs from a", said[1])
    known = _inputs(studio, arms)
    for name, one in zip("ab", (asked.a, asked.b), strict=True):
        _check(known.get(one.graph or asked.graph, {}), one.inputs, f"{name}.inputs")
    own = new_id()
    row = Comparison(
        id=own,
        owner=person.name,
        tally=content_hash(_text(arms)),
        graph=asked.graph,
        arms=arms,
        jobs=[],
        a_is_left=random.random() < 0.5,
    )
    if asked.inputs is None:
        _find(studio, row, known)
    else:
        _draw(studio, person, row, asked.inputs)

    def work(session: Session) -> Made:
        session.add(row)
        session.flush()
        return Made(id=row.id)

    drawn = set(row.jobs)
    made = once(studio, person.name, key, request, work, changes="")
    if made["id"] != own:  # the same request came at the same time, and was first
        for id in drawn:
            jobs.cancel(studio, id)
    return show(studio, made["id"])


def _text(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def _inputs(studio: Studio, arms: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Field]]:
    """Returns the inputs of the arms' graphs, by their names; of graphs that are not known here none."""
    found = {}
    for graph in {arm["graph"] for arm in arms}:
        with contextlib.suppress(ImagegraphError):  # pictures of theirs may be here
            found[graph] = {one.name: one for one in studio.backends.find(graph).describe().inputs}
    return found


def _check(known: Mapping[str, Field], inputs: Mapping[str, Any], field: str) -> None:
    """Refuses what is no parameter.

    Raises:
        InvalidInput: both arms must have it the same.
        UnknownName: the graph has no such input.
    """
    for name in inputs:
        if name in SAME or (name in known and known[name].kind in ("image", "images")):
            raise InvalidInput(
                f"{field}.{name}", "the same for both arms, beside them in `inputs`", inputs[name]
            )
        if known and name not in known:
            raise UnknownName("input", name, known)


def _find(studio: Studio, row: Comparison, known: Mapping[str, Mapping[str, Field]]) -> None:
    defaults = {graph: {name: one.default for name, one in inputs.items()} for graph, inputs in known.items()}
    arms = [dict(one) for one in row.arms]
    if any(one.get("bundle") for one in arms):
        for one in arms:  # who says none means the default
            one["bundle"] = one.get("bundle") or studio.backends.find(one["graph"]).version(None)
    with studio.database.read() as session:
        found = pairs.find(session, row.owner, row.tally, arms, defaults)
    if found is None:
        raise Refused(404, f"the gallery has no {PAIR}")
    row.picture_a, row.picture_b = (one.id for one in found)
    row.prompt = found[0].prompt or ""


def _draw(studio: Studio, person: Person, row: Comparison, inputs: Mapping[str, Any]) -> None:
    """Begins the jobs of both arms: one, where they are pictures of the same."""
    begun: dict[bytes, str] = {}
    try:
        for arm in row.arms:
            said = shapes.clean_json({**inputs, **arm.get("inputs", {})}, "inputs")
            same = _text([arm["graph"], arm.get("bundle"), said])
            if same not in begun:
                begun[same] = jobs.begin(studio, person, arm["graph"], said, arm.get("bundle"))["id"]
            row.jobs = [*row.jobs, begun[same]]
    except BaseException:
        for id in begun.values():  # of one arm alone there is no pair
            jobs.cancel(studio, id)
        raise
    row.prompt = str(inputs.get("prompt") or "")


def show(studio: Studio, id: str) -> Pair:
    """Shows a pair, with its pictures once they are drawn.

    Raises:
        UnknownName: there is none.
    """
    with studio.database.read() as session:
        row = find(session, id)
        if row.pictures:
            return _shown(session, row)
        pictures, error = _drawn(session, row)
        if not pictures:
            known: dict[str, Any] = {"id": row.id, "prompt": row.prompt, "left": None, "right": None}
            return Pair(**known, state="failed" if error else "drawing", error=error)
    with studio.database.write(changes="") as session:
        row = find(session, id)
        row.picture_a, row.picture_b = pictures
        return _shown(session, row)


def find(session: Session, id: str) -> Comparison:
    """Returns a comparison.

    Raises:
        UnknownName: there is none.
    """
    if (row := session.get(Comparison, id)) is None:
        raise UnknownName("comparison", id, ())
    return row


def _shown(session: Session, row: Comparison) -> Pair:
    left, right = (_side(session, one) for one in in_places(row))
    state: Any = "answered" if row.choice else "ready"
    return Pair(id=row.id, state=state, prompt=row.prompt, left=left, right=right)


def in_places(row: Comparison) -> list[str]:
    """Returns the ids of the pictures, the left one first."""
    return list(row.pictures if row.a_is_left else reversed(row.pictures))


def _side(session: Session, id: str) -> Side:
    content = session.get_one(Content, gallery.find(session, id, deleted=True).hash)
    url = f"/api/contents/{content.hash}"
    return Side(url=url, thumbnail=f"{url}?size=512", width=content.width, height=content.height)


def _drawn(session: Session, row: Comparison) -> tuple[list[str], shapes.Problem | None]:
    """Returns the pictures of a comparison once its jobs are done, or why there will be none."""
    found: list[str] = []
    for arm, id in zip(row.arms, row.jobs, strict=True):
        job = queue.find(session, id)
        if job.state in queue.ACTIVE:
            return [], None
        drawn = [one for one in gallery.of_jobs(session, [id])[id] if _fits(one, arm.get("prior"))]
        if not drawn:
            words = f"no picture of {arm.get('prior') or arm['graph']} was drawn"
            return [], shapes.Problem(**(job.error or about(409, words)))
        found.append(drawn[0].picture.id)
    return found, None


def _fits(row: Row, prior: str | None) -> bool:
    return row.picture.kind == "generated" and prior in (None, row.picture.prior)
