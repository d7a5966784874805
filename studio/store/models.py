"""The tables, as SQLAlchemy has them; `migrations/` makes them."""

from __future__ import annotations

import secrets
import time
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import (
    JSON,
    BigInteger,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Number = BigInteger().with_variant(Integer, "sqlite")
MediaType = Literal["image/png", "image/jpeg", "image/webp"]
State = Literal["queued", "running", "done", "failed", "cancelled"]
PictureKind = Literal["generated", "prior", "mask", "upload", "example"]
Choice = Literal["a", "b", "tie", "both-bad"]
EventKind = Annotated[str, Field(pattern="^[a-z-]+$")]
Sources = dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]]


class Hex(String):
    """So many letters of 0-9 and a-f: ids (24) and SHA-256 (64)."""


def new_id() -> str:
    """Returns a name that nobody guesses."""
    return secrets.token_hex(12)


class Table(DeclarativeBase):
    """The base of all tables. Times are seconds since 1970, UTC.

    What a column's type does not say of its values, its `info` does: "is" is their type for pydantic.
    """

    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON, float: Double, int: Number, str: Text}  # noqa: RUF012


class Content(Table):
    """Bytes in the storage, by their SHA-256.

    Attributes:
        used_at: when somebody last brought them; they go only some time after that, once nothing has them.
    """

    __tablename__ = "contents"
    hash: Mapped[str] = mapped_column(Hex(64), primary_key=True)
    size: Mapped[int]
    media_type: Mapped[str] = mapped_column(info={"is": MediaType})
    width: Mapped[int]
    height: Mapped[int]
    used_at: Mapped[float] = mapped_column(default=time.time)


class Job(Table):
    """A run of a graph.

    Attributes:
        number: in the order of arrival.
        inputs: by name; pictures as {"picture": id}.
        sources: hashes of these pictures, by their ids.
        nodes: what is known of each node, in the order in which they began.
        record: what drew its pictures; see `imagegraph.run.provenance`.
        server, leased_until: who runs it, and until when nobody else may.
        cancelling: somebody wants it to end.
        last_event: the number of its latest event.
    """

    __tablename__ = "jobs"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(Hex(24), unique=True, default=new_id)
    owner: Mapped[str]
    graph: Mapped[str]
    backend: Mapped[str]
    bundle: Mapped[str]
    state: Mapped[str] = mapped_column(String(16), default="queued", info={"is": State})
    created_at: Mapped[float] = mapped_column(default=time.time)
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    inputs: Mapped[dict[str, Any]]
    sources: Mapped[dict[str, Any]] = mapped_column(info={"is": Sources})
    nodes: Mapped[list[Any]] = mapped_column(default=list, info={"is": list[dict[str, Any]]})
    outputs: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    record: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    best: Mapped[str | None] = mapped_column(Hex(24))
    server: Mapped[str | None]
    leased_until: Mapped[float | None]
    attempts: Mapped[int] = mapped_column(default=0)
    cancelling: Mapped[bool] = mapped_column(default=False)
    last_event: Mapped[int] = mapped_column(default=0)

    __table_args__ = (
        Index("jobs_by_state", "state", "number"),
        Index("jobs_by_owner", "owner", "state"),
        {"sqlite_autoincrement": True},
    )


class JobEvent(Table):
    """What happened to a job, numbered from 1."""

    __tablename__ = "job_events"
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(32), info={"is": EventKind})
    data: Mapped[dict[str, Any]]
    at: Mapped[float] = mapped_column(default=time.time)


class JobContent(Table):
    """Bytes that a node of a job wrote."""

    __tablename__ = "job_contents"
    job: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    hash: Mapped[str] = mapped_column(ForeignKey("contents.hash"), primary_key=True, index=True)


class Picture(Table):
    """A picture of the gallery; what is large is elsewhere, so that lists are read quickly.

    Attributes:
        number: in the order of arrival.
        place: among the pictures of its job, the best first; `item` is its index in the answer's list.
        kind: generated, prior, mask, upload or example.
        prior: what it was steered by.
        stars: as last given by anybody; None is not rated.
        deleted_at: it can be brought back until it is purged.
    """

    __tablename__ = "pictures"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(Hex(24), unique=True, default=new_id)
    owner: Mapped[str]
    hash: Mapped[str] = mapped_column(ForeignKey("contents.hash"), index=True)
    created_at: Mapped[float] = mapped_column(default=time.time)
    job: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    graph: Mapped[str | None]
    node: Mapped[str | None]
    port: Mapped[str | None]
    place: Mapped[int] = mapped_column(default=0)
    item: Mapped[int] = mapped_column(default=0)
    kind: Mapped[str] = mapped_column(String(16), info={"is": PictureKind})
    prior: Mapped[str | None]
    prompt: Mapped[str | None]
    seed: Mapped[int | None]
    bundle: Mapped[str | None]
    about: Mapped[dict[str, Any]] = mapped_column(default=dict)
    stars: Mapped[int | None]
    starred: Mapped[bool] = mapped_column(default=False)
    note: Mapped[str] = mapped_column(default="")
    deleted_at: Mapped[float | None]

    __table_args__ = (
        # Holds all that lists are filtered by: pages far down are counted without reading the rows.
        Index(
            "pictures_wall",
            *("number", "deleted_at", "kind", "owner", "graph", "prior", "bundle", "stars", "starred"),
            "created_at",
        ),
        {"sqlite_autoincrement": True},
    )


class Recalled(Table):
    """The provenance that an uploaded picture brought along."""

    __tablename__ = "recalled"
    picture: Mapped[int] = mapped_column(ForeignKey("pictures.number", ondelete="CASCADE"), primary_key=True)
    record: Mapped[dict[str, Any]]


class Vector(Table):
    """A picture as CLIP sees it: a unit vector of float16, in the space of one model."""

    __tablename__ = "vectors"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    picture: Mapped[int] = mapped_column(ForeignKey("pictures.number", ondelete="CASCADE"))
    space: Mapped[str]
    vector: Mapped[bytes] = mapped_column(LargeBinary)

    __table_args__ = (UniqueConstraint("picture", "space"), {"sqlite_autoincrement": True})


class Board(Table):
    """A named collection of pictures."""

    __tablename__ = "boards"
    id: Mapped[str] = mapped_column(Hex(24), primary_key=True, default=new_id)
    owner: Mapped[str]
    name: Mapped[str]
    created_at: Mapped[float] = mapped_column(default=time.time)

    __table_args__ = (UniqueConstraint("owner", "name"),)


class BoardPicture(Table):
    """A picture on a board."""

    __tablename__ = "board_pictures"
    board: Mapped[str] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), primary_key=True)
    picture: Mapped[int] = mapped_column(
        ForeignKey("pictures.number", ondelete="CASCADE"), primary_key=True, index=True
    )
    added_at: Mapped[float] = mapped_column(default=time.time)


class Rating(Table):
    """The stars that one person gave a picture."""

    __tablename__ = "ratings"
    picture: Mapped[int] = mapped_column(ForeignKey("pictures.number", ondelete="CASCADE"), primary_key=True)
    owner: Mapped[str] = mapped_column(primary_key=True)
    stars: Mapped[int]
    at: Mapped[float] = mapped_column(default=time.time)


class Comparison(Table):
    """A blind pair.

    Attributes:
        arms: what the two were drawn with, a then b.
        tally: the same for all comparisons of two arms, in whichever order they were named.
        jobs: that draw them, a then b.
        picture_a, picture_b: their ids; None while they are drawn.
        a_is_left: on which side a is shown.
        choice: a, b, tie or both-bad.
    """

    __tablename__ = "comparisons"
    id: Mapped[str] = mapped_column(Hex(24), primary_key=True, default=new_id)
    owner: Mapped[str]
    tally: Mapped[str] = mapped_column(Hex(64), index=True)
    graph: Mapped[str]
    arms: Mapped[list[Any]] = mapped_column(info={"is": list[dict[str, Any]]})
    jobs: Mapped[list[Any]] = mapped_column(info={"is": list[str]})
    picture_a: Mapped[str | None] = mapped_column(Hex(24))
    picture_b: Mapped[str | None] = mapped_column(Hex(24))
    prompt: Mapped[str] = mapped_column(default="")
    a_is_left: Mapped[bool]
    choice: Mapped[str | None] = mapped_column(String(16), info={"is": Choice})
    created_at: Mapped[float] = mapped_column(default=time.time)
    answered_at: Mapped[float | None]

    @property
    def pictures(self) -> list[str]:
        """The ids of both pictures; none while they are drawn."""
        return [self.picture_a, self.picture_b] if self.picture_a and self.picture_b else []


class Answered(Table):
    """What a request with an Idempotency-Key was answered; kept for a day."""

    __tablename__ = "answered"
    owner: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request: Mapped[str] = mapped_column(Hex(64))
    body: Mapped[dict[str, Any]]
    at: Mapped[float] = mapped_column(default=time.time)
