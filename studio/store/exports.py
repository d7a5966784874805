"""Judgements as tables that training scripts read as they are."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet
from sqlalchemy import select
from sqlalchemy.orm import Session

from imagegraph.image import Image
from studio.store import decoding
from studio.store.database import Database
from studio.store.models import Comparison, Job, Picture, Rating

JPEG_QUALITY = 95
ROWS = 64  # of a batch; each holds two pictures
_STRING, _BINARY, _BOOL, _FLOAT = pa.string(), pa.binary(), pa.bool_(), pa.float64()
# The columns of Pick-a-Pic. Source: Kirstain et al. 2023, and the card of its data set.
PREFERENCES = pa.schema(
    {
        "are_different": _BOOL, "best_image_uid": _STRING, "caption": _STRING,
        "created_at": pa.timestamp("us", tz="UTC"), "has_label": _BOOL, "image_0_uid": _STRING,
        "image_0_url": _STRING, "image_1_uid": _STRING, "image_1_url": _STRING, "jpg_0": _BINARY,
        "jpg_1": _BINARY, "label_0": _FLOAT, "label_1": _FLOAT, "model_0": _STRING, "model_1": _STRING,
        "ranking_id": pa.int64(), "user_id": pa.int64(), "num_example_per_prompt": pa.int64(),
    }
)  # fmt: skip
_IMAGE = pa.struct({"bytes": _BINARY, "path": _STRING})  # as `datasets` keeps an Image
RATINGS = pa.schema(
    {
        "image": _IMAGE, "text": _STRING, "stars": pa.int64(), "image_uid": _STRING, "model": _STRING,
        "user_id": pa.int64(), "created_at": pa.timestamp("us", tz="UTC"),
    },
    metadata={"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})},
)  # fmt: skip
# Returns bytes by hash.
Fetch = Callable[[str], bytes]
# Of a: 1 and 0 for a clear choice, halves for a tie; both-bad is no preference.
_LABELS = {"a": 1.0, "b": 0.0, "tie": 0.5, "both-bad": 0.5}


# Nobody holds a session while a client reads: what rows say is read at once, and then picture by picture.
def preferences(database: Database, fetch: Fetch) -> Iterator[dict[str, Any]]:
    """Yields pairs: of blind comparisons, and of each job's best picture with its others."""
    with database.read() as session:
        pairs = list(_pairs(session))
    counts: dict[str, int] = {}
    for one, *_ in pairs:
        counts[one.prompt or ""] = counts.get(one.prompt or "", 0) + 1
    for place, (one, other, label, has_label, owner, at) in enumerate(pairs):
        try:
            pictures = [jpeg(fetch(picture.hash)) for picture in (one, other)]
        except FileNotFoundError:
            continue  # retention has taken it meanwhile
        best = one.id if label == 1 else other.id if label == 0 else ""
        yield {
            "are_different": one.hash != other.hash, "best_image_uid": best, "caption": one.prompt or "",
            "created_at": datetime.fromtimestamp(at, UTC), "has_label": has_label,
            "image_0_uid": one.id, "image_0_url": f"/api/pictures/{one.id}/file",
            "image_1_uid": other.id, "image_1_url": f"/api/pictures/{other.id}/file",
            "jpg_0": pictures[0], "jpg_1": pictures[1], "label_0": label, "label_1": 1 - label,
            "model_0": model(one), "model_1": model(other), "ranking_id": place, "user_id": user(owner),
            "num_example_per_prompt": counts[one.prompt or ""],
        }  # fmt: skip


def _pairs(session: Session) -> Iterator[tuple[Picture, Picture, float, bool, str, float]]:
    there = select(Picture).where(Picture.deleted_at.is_(None))
    answered = select(Comparison).where(Comparison.choice.is_not(None)).order_by(Comparison.answered_at)
    for row in session.scalars(answered):
        found = [session.scalar(there.where(Picture.id == one)) for one in row.pictures]
        if len(found) == 2 and found[0] and found[1]:
            label = _LABELS[str(row.choice)]
            at = row.answered_at or row.created_at
            yield found[0], found[1], label, row.choice != "both-bad", row.owner, at
    for job in session.scalars(select(Job).where(Job.best.is_not(None)).order_by(Job.number)):
        rows = session.scalars(there.where(Picture.job == job.id, Picture.kind == "generated")).all()
        best = next((one for one in rows if one.id == job.best), None)
        for one in rows:
            if best is not None and one is not best and one.prompt == best.prompt:
                yield best, one, 1.0, True, job.owner, job.finished_at or job.created_at


def ratings(database: Database, fetch: Fetch) -> Iterator[dict[str, Any]]:
    """Yields pictures with the stars that each person gave."""
    rated = select(Rating, Picture).join(Picture, Picture.number == Rating.picture)
    rated = rated.where(Picture.deleted_at.is_(None))
    with database.read() as session:
        rows = session.execute(rated.order_by(Rating.picture, Rating.owner)).all()
    for rating, picture in rows:
        try:
            image = fetch(picture.hash)
        except FileNotFoundError:
            continue
        yield {
            "image": image, "text": picture.prompt or "", "stars": rating.stars, "image_uid": picture.id,
            "model": model(picture), "user_id": user(rating.owner),
            "created_at": datetime.fromtimestamp(rating.at, UTC),
        }  # fmt: skip


def write_parquet(path: Path, schema: pa.Schema, rows: Iterator[dict[str, Any]]) -> None:
    """Writes rows, a few at a time."""
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        images = [one.name for one in schema if one.type == _IMAGE]
        batch: list[dict[str, Any]] = []
        for row in rows:
            batch.append({**row, **{name: {"bytes": row[name]} for name in images}})
            if len(batch) == ROWS:
                writer.write_table(pa.Table.from_pylist(batch, schema))
                batch = []
        if batch:  # readers take the size of the first group for that of all
            writer.write_table(pa.Table.from_pylist(batch, schema))


def lines(rows: Iterator[Mapping[str, Any]]) -> Iterator[bytes]:
    """Yields rows as lines of JSON, pictures as base64."""

    def plain(value: Any) -> str:
        return base64.b64encode(value).decode() if isinstance(value, bytes) else value.isoformat()

    for row in rows:
        yield json.dumps(row, default=plain, ensure_ascii=False).encode() + b"\n"


def jpeg(data: bytes) -> bytes:
    """Returns a picture as JPEG."""
    buffer = io.BytesIO()
    image = Image(data)
    with decoding.HERE.decoding(image.size):
        image.rgb().save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def model(picture: Picture) -> str:
    """Names what drew a picture: graph, bundle, prior; "" for an upload, which may say anything of itself."""
    if picture.job is None:
        return ""
    return "/".join(one for one in (picture.graph, picture.bundle, picture.prior) if one)


def user(name: str) -> int:
    """Returns a number for a person, the same each time; who knows the name can work it out."""
    return zlib.crc32(name.encode())
