"""Pictures: lists, uploads, stars and notes, deletion that can be undone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Query, Response, UploadFile
from pydantic import Field

from imagegraph.errors import InvalidInput
from studio.api import alike, downloads, recalling, shapes, uploads, views
from studio.api.access import Maker, Viewer, must_own
from studio.api.context import Open, Studio
from studio.jobs.bell import PICTURES
from studio.problems import NOT_BLANK
from studio.store import gallery
from studio.store.gallery import Filter

router = APIRouter(tags=["pictures"])


async def _filter(
    kind: Annotated[
        list[shapes.PictureKind] | None, Query(description="By default generated, upload")
    ] = None,
    graph: shapes.Text | None = None,
    prior: shapes.Text | None = None,
    version: shapes.Text | None = None,
    stars: Annotated[int | None, Query(ge=1, le=5, description="At least so many")] = None,
    starred: bool | None = None,
    board: shapes.Text | None = None,
    job: shapes.Text | None = None,
    owner: shapes.Text | None = None,
    since: shapes.Moment | None = None,
    until: shapes.Moment | None = None,
    q: Annotated[
        shapes.Text, Query(max_length=500, description="Words of the prompt, note, graph, prior")
    ] = "",
) -> Filter:
    return Filter(
        kinds=tuple(kind or gallery.SHOWN), graph=graph, prior=prior, bundle=version, stars=stars,
        starred=starred, board=board, job=job, owner=owner, since=since.timestamp() if since else None,
        until=until.timestamp() if until else None, words=q,
    )  # fmt: skip


Filtered = Annotated[Filter, Depends(_filter)]


@router.get("/pictures")
def list_pictures(
    studio: Open,
    person: Viewer,
    filter: Filtered,
    cursor: Annotated[int | None, Query(ge=0, le=2**62)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
    as_of: Annotated[int | None, Query(ge=0, le=2**62)] = None,
    like: Annotated[shapes.Id | None, Query(description="A picture: the most alike first")] = None,
    about: Annotated[shapes.Text | None, Query(min_length=1, max_length=500, pattern=NOT_BLANK)] = None,
) -> Any:
    """Lists pictures, the newest first: by pages with `cursor`, or any row with `offset` and `as_of`.

    With `like` or `about`, what is most alike comes first, and pages go by `offset` alone.
    """
    if like is not None or about is not None:
        if cursor is not None:
            raise InvalidInput(
                "cursor", "nothing beside `like` and `about`: their pages go by `offset`", cursor
            )
        found = alike.find(studio, filter, like, about, offset, limit)
        return Response(found.model_dump_json(), media_type="application/json")
    with studio.database.read() as session:
        page = gallery.page(session, filter, limit, cursor, offset, as_of, studio.totals)
    shown = {
        "items": list(map(views.facts, page.rows)),
        "next": None if page.next is None else str(page.next),
        "total": page.total,
        "as_of": page.as_of,
    }
    return views.as_json(shown)


@router.get(
    "/pictures.zip",
    response_class=Response,
    responses={200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}},
)
def download_pictures(
    studio: Open,
    person: Viewer,
    filter: Filtered,
    ids: Annotated[list[shapes.Id] | None, Query(max_length=1000, description="These alone")] = None,
) -> Response:
    """Answers pictures in a ZIP, with what is known of each in pictures.json."""
    return downloads.zipped(studio, replace(filter, kinds=(), ids=tuple(ids)) if ids else filter)


@router.get("/pictures/{id}")
def show_picture(id: str, studio: Open, person: Viewer) -> shapes.Picture:
    """Shows a picture with its provenance."""
    return shown(studio, id)


def shown(studio: Studio, id: str, deleted: bool = False) -> shapes.Picture:
    """Returns a picture with its provenance.

    Raises:
        UnknownName: there is none.
    """
    with studio.database.read() as session:
        row = gallery.find(session, id, deleted)
        (whole,) = gallery.rows(session, [row.number])
        found = views.picture(whole, gallery.provenance(session, row))
        found.recall = recalling.recall(session, row, studio.backends)
        return found


Uploads = Annotated[list[UploadFile], File(description="PNG, JPEG, WebP", examples=[["photo.jpg"]])]


@router.post("/pictures", status_code=201)
async def upload_pictures(files: Uploads, studio: Open, person: Maker) -> list[shapes.Picture]:
    """Keeps pictures; what a PNG says of how it was drawn is recalled."""
    data = [(one.filename or "files", await one.read()) for one in files]
    return await asyncio.to_thread(_upload, studio, person.name, data)


def _upload(studio: Studio, owner: str, files: Sequence[tuple[str, bytes]]) -> list[shapes.Picture]:
    rows = [uploads.keep(studio, data, owner, f"files[{place}]") for place, (_, data) in enumerate(files)]
    return [shown(studio, row.id) for row in rows]


class Change(shapes.Shape):
    """What is to change in a picture."""

    model_config = shapes.example(starred=True, note="for Ann")

    starred: bool | None = None
    note: Annotated[shapes.Text, Field(max_length=10_000)] | None = None


@router.patch("/pictures/{id}")
def change_picture(id: str, change: Change, studio: Open, person: Maker) -> shapes.Picture:
    """Stars a picture, whoever made it, or writes a note on one's own."""
    with studio.database.write() as session:
        row = gallery.find(session, id)
        if change.starred is not None:
            row.starred = change.starred
        if change.note is not None:
            must_own(person, row.owner, "the picture")
            row.note = change.note
            gallery.index_words(session, row)
    studio.bell.ring(PICTURES)
    return shown(studio, id)


@router.delete("/pictures/{id}", status_code=204)
def delete_picture(id: str, studio: Open, person: Maker) -> Response:
    """Deletes a picture; for a day it can be restored."""
    with studio.database.write() as session:
        row = gallery.find(session, id)
        must_own(person, row.owner, "the picture")
        gallery.delete(session, row)
    studio.bell.ring(PICTURES)
    return Response(status_code=204)


@router.post("/pictures/{id}/restore")
def restore_picture(id: str, studio: Open, person: Maker) -> shapes.Picture:
    """Brings a deleted picture back."""
    with studio.database.write() as session:
        row = gallery.find(session, id, deleted=True)
        must_own(person, row.owner, "the picture")
        uploads.bring_back(studio, session, [row], "id")
    studio.bell.ring(PICTURES)
    return shown(studio, id)
