"""Bytes of pictures: whole, small, by their hash; sent only to who does not have them yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from imagegraph.errors import Expired, InvalidInput
from studio.api import downloads
from studio.api.access import Viewer
from studio.api.context import Open, Studio
from studio.store import contents, gallery, provenance
from studio.store.models import Content

router = APIRouter(tags=["pictures"])

FOR_EVER = "private, max-age=31536000, immutable"
# A picture is a picture, whatever stands in it: a browser shall run nothing of it.
SAFE = {"Cache-Control": FOR_EVER, "Content-Security-Policy": "default-src 'none'; sandbox"}
Size = Annotated[int, Query(description=f"Longer side in px: {', '.join(map(str, contents.SIZES))}")]
_FILES: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {
            "content": {
                f"image/{kind}": {"schema": {"type": "string", "format": "binary"}}
                for kind in ("png", "jpeg", "webp")
            }
        },
        304: {"description": "It is what If-None-Match names"},
    },
}


@router.head("/pictures/{id}/file", **_FILES)
@router.get("/pictures/{id}/file", **_FILES)
def picture_file(id: str, request: Request, studio: Open, person: Viewer, download: bool = False) -> Response:
    """Answers the picture; a PNG with its provenance in it."""
    with studio.database.read() as session:
        row = gallery.find(session, id)
        media_type = session.get_one(Content, row.hash).media_type
        record = gallery.provenance(session, row) if row.job else None
    answer = _answer(
        request, row.hash, media_type, lambda: provenance.stamped(studio.contents.read(row.hash), record)
    )
    if download:
        name = downloads.name_of(row, media_type)
        answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


@router.head("/pictures/{id}/thumbnail", **_FILES)
@router.get("/pictures/{id}/thumbnail", **_FILES)
def picture_thumbnail(id: str, request: Request, studio: Open, person: Viewer, size: Size = 256) -> Response:
    """Answers a small WebP of the picture."""
    with studio.database.read() as session:
        row = gallery.find(session, id)
    return _thumbnail(request, studio, row.hash, size)


@router.head("/contents/{hash}", **_FILES)
@router.get("/contents/{hash}", **_FILES)
def content(
    hash: str, request: Request, studio: Open, person: Viewer, size: Annotated[int, Query()] = 0
) -> Response:
    """Answers bytes by their SHA-256, such as what a node of a job wrote; with `size`, small."""
    with studio.database.read() as session:
        row = gallery.content(session, hash)
    if size:
        return _thumbnail(request, studio, row.hash, size)
    return _answer(request, row.hash, row.media_type, lambda: studio.contents.read(row.hash))


def _thumbnail(request: Request, studio: Studio, hash: str, size: int) -> Response:
    if size not in contents.SIZES:
        raise InvalidInput("size", f"one of {', '.join(map(str, contents.SIZES))}", size)
    return _answer(request, f"{hash}-{size}", "image/webp", lambda: studio.contents.thumbnail(hash, size))


def _answer(request: Request, name: str, media_type: str, read: Callable[[], bytes]) -> Response:
    """Answers bytes, or that they are still the same.

    Args:
        name: of these bytes, among all that were ever at this address.
    """
    tag = f'"{name}"'
    headers = {**SAFE, "ETag": tag}
    if _has(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    try:
        return Response(read(), media_type=media_type, headers=headers)
    except FileNotFoundError as error:
        raise Expired("its bytes are not in the storage any more") from error


def _has(told: str, tag: str) -> bool:
    """Whether If-None-Match names a tag, weakly. Source: RFC 9110, 13.1.2."""
    return told.strip() == "*" or tag in (one.strip().removeprefix("W/") for one in told.split(","))
