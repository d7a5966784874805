"""What the API takes and answers, as JSON."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from imagegraph.errors import InvalidInput
from studio.backends import form
from studio.problems import NOT_BLANK
from studio.settings import Role
from studio.store import models

DEEPEST = 100  # lists and objects in each other


def clean(text: str) -> str:
    """Refuses what no database takes as text: zero characters, and halves of surrogate pairs.

    Raises:
        ValueError: says so.
    """
    if "\0" in text or any("\ud800" <= one <= "\udfff" for one in text):
        raise ValueError("text without zero characters and lone surrogates")
    return text


def clean_json(value: Any, field: str) -> Any:
    """Returns a value of JSON; see `plain`.

    Raises:
        InvalidInput: names the field.
    """
    try:
        return plain(value)
    except ValueError as error:
        raise InvalidInput(field, str(error), value) from None


def plain(value: Any, depth: int = 0) -> Any:
    """Refuses what not every database and every reader of JSON takes; see `clean`.

    Raises:
        ValueError: says so.
    """
    if depth > DEEPEST:
        raise ValueError(f"at most {DEEPEST} lists and objects in each other")
    if isinstance(value, str):
        clean(value)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("a whole number of 64 bits")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a finite number")
    elif isinstance(value, list):
        for one in value:
            plain(one, depth + 1)
    elif isinstance(value, dict):
        for key, one in value.items():
            clean(key)
            plain(one, depth + 1)
    return value


def _spelled(value: Any) -> Any:
    """Refuses times that are numbers, which pydantic would take for seconds or milliseconds.

    Raises:
        ValueError: says so.
    """
    if isinstance(value, str) and "-" in value[1:]:
        return value
    raise ValueError("a time such as 2026-01-31T12:00:00Z")


def _in_utc(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


Moment = Annotated[datetime, BeforeValidator(_spelled), AfterValidator(_in_utc)]
Values = Annotated[dict[str, Any], AfterValidator(plain)]
Text = Annotated[str, AfterValidator(clean)]
Name = Annotated[Text, Field(min_length=1, max_length=200, pattern=NOT_BLANK)]
State = models.State
PictureKind = models.PictureKind
AN_ID = "4f1d2c3b4a596877f0e1d2c3"
Id = Annotated[str, Field(pattern="^[0-9a-f]{24}$", examples=[AN_ID])]


class Shape(BaseModel):
    """Refuses what it does not know."""

    model_config = ConfigDict(extra="forbid")


def example(**said: Any) -> ConfigDict:
    """Shows in the API's document what a body may be, as a part of a shape's configuration."""
    return ConfigDict(json_schema_extra={"examples": [said]})


class Fault(Shape):
    """What is wrong with one field."""

    field: str
    expected: str
    received: str
    message: str


class Problem(BaseModel):
    """An error, RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    node: str | None = None
    used_bytes: int | None = Field(None, description="Of pictures, where somebody has too many")
    allowed_bytes: int | None = Field(None, description="Likewise")
    errors: list[Fault] = []


class Node(Shape):
    """A node of a graph's tree; `outputs` are the values that it writes."""

    name: str
    entry: str
    type: str
    summary: str
    outputs: list[str]
    children: list[Node]


class Input(Shape):
    """What a graph takes, and how a form asks for it."""

    name: str
    kind: form.Kind
    group: form.Group
    required: bool
    default: Any
    is_prior: bool = Field(description="It may be given instead of having it read")
    json_schema: dict[str, Any] = Field(serialization_alias="schema")
    limits: dict[str, Any]
    description: str


class Output(Shape):
    """What a graph answers."""

    name: str
    kind: Literal["image", "images", "value"]
    is_prior: bool
    of: list[str] = Field(description="Lists of pictures of each of which it says something")
    json_schema: dict[str, Any] = Field(serialization_alias="schema")


class GraphSummary(Shape):
    """A graph in a list."""

    name: str = Field(examples=["reimagine"])
    kind: Literal["graph", "component"]
    summary: str
    takes: list[str] = Field(description="Names of the inputs that are pictures")
    bundles: list[str] = Field(description="Versions that may be asked for, the default first")
    where: str = Field(description="embedded, or the URL of its server")
    ready: bool
    loading: str = Field(description="What is being loaded")
    error: str


class Graph(GraphSummary):
    """A graph with all that a form needs."""

    tree: Node
    inputs: list[Input]
    outputs: list[Output]
    priors: list[str]


class PictureLink(Shape):
    """Where a picture is found by its content; `picture` where it is one of the gallery."""

    hash: str
    url: str
    thumbnail: str
    width: int
    height: int
    picture: str | None = None


class Recall(Shape):
    """What would draw a picture again, as far as its photos are in the store."""

    graph: str
    bundle: str | None
    inputs: dict[str, Any]


class Picture(Shape):
    """A picture of the gallery."""

    id: Id
    hash: str = Field(description="SHA-256 of its bytes as they were drawn or uploaded")
    width: int
    height: int
    media_type: str
    bytes: int
    created_at: datetime
    owner: str
    job: str | None
    graph: str | None
    node: str | None
    port: str | None
    place: int = Field(description="Among the pictures of its job, the best first")
    kind: PictureKind
    prior: str | None = Field(description="What it was steered by")
    prompt: str | None
    seed: int | None
    version: str | None = Field(description="The bundle, or version, that drew it")
    stars: int | None
    starred: bool
    note: str
    boards: list[str]
    scores: dict[str, float]
    provenance: dict[str, Any] | None = Field(description="What drew it; in lists it is left out")
    recall: Recall | None = Field(None, description="Likewise")
    similarity: float | None = Field(None, description="Cosine, of `like` and `about`")
    deleted: bool = False
    url: str
    thumbnail: str


class Pictures(Shape):
    """A page of pictures."""

    items: list[Picture]
    next: str | None = Field(description="The cursor of the next page")
    total: int = Field(description="How many the filter finds")
    as_of: int = Field(description="Give it back with `offset`, so that positions stay the same")


class JobNode(Shape):
    """A node of a job."""

    name: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    progress: float | None
    seconds: float | None
    cached: bool
    batch: int | None = Field(None, description="How many requests were computed together")
    outputs: dict[str, Any] = Field(description="By port: a value, or one or several PictureLinks")


class Job(Shape):
    """A run of a graph."""

    id: Id
    graph: str
    backend: str
    bundle: str
    state: State
    position: int | None = Field(description="How many wait before it")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    owner: str
    inputs: dict[str, Any] = Field(description='Pictures as {"picture": id}')
    seed: int | None
    seconds: float | None
    nodes: list[JobNode]
    outputs: dict[str, Any]
    pictures: list[Picture] = Field(description="The best first")
    scores: dict[str, list[float]] = Field(description="By name, of its ranked pictures in their order")
    best: str | None = Field(description="The picture that somebody chose as the best")
    error: Problem | None
    cancelling: bool


class Jobs(Shape):
    """A page of jobs, the newest first."""

    items: list[Job]
    next: str | None
    total: int


class NewJob(Shape):
    """What is to be run."""

    inputs: dict[str, Any] = Field(
        default_factory=dict,
        description='By name; a picture is {"picture": id} or base64',
        examples=[{"image": {"picture": AN_ID}, "prompt": "a red cone", "seed": 7}],
    )
    bundle: Name | None = None


class Me(Shape):
    """Who asks, and what they may do."""

    name: str
    role: Role
    anonymous: bool = Field(description="Nobody has to say who they are")
    limits: dict[str, float]
