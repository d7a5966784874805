"""Judgements as files for training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from studio.api.access import Viewer
from studio.api.context import Open, Studio
from studio.api.spooled import as_attachment, spooled
from studio.store import exports

router = APIRouter(tags=["exports"])

Format = Literal["parquet", "jsonl"]
_TYPES = {"parquet": "application/vnd.apache.parquet", "jsonl": "application/x-ndjson"}
_FILES: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _TYPES.values()}}
}


@router.get("/exports/preferences.{format}", response_class=Response, responses=_FILES)
def export_preferences(format: Format, studio: Open, person: Viewer) -> Response:
    """Answers pairs with the columns of Pick-a-Pic: blind comparisons, and the best of each job."""
    return _export(studio, "preferences", format, exports.PREFERENCES, exports.preferences)


@router.get("/exports/ratings.{format}", response_class=Response, responses=_FILES)
def export_ratings(format: Format, studio: Open, person: Viewer) -> Response:
    """Answers pictures with their words and the stars that people gave: image, text, stars."""
    return _export(studio, "ratings", format, exports.RATINGS, exports.ratings)


def _export(
    studio: Studio, name: str, format: Format, schema: Any, rows: Callable[..., Iterator[dict[str, Any]]]
) -> Response:
    said = rows(studio.database, studio.contents.read)
    if format == "jsonl":
        headers = as_attachment(f"{name}.{format}")
        return StreamingResponse(exports.lines(said), media_type=_TYPES[format], headers=headers)
    with spooled(f"{name}.{format}", _TYPES[format]) as answer:
        exports.write_parquet(Path(answer.path), schema, said)
    return answer
