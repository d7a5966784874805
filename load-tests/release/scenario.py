"""What a scenario says: how requests arrive, which ones, what happens meanwhile, and what must come of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from imagegraph.errors import UnknownName
from imagegraph.spec import strict_yaml
from imagegraph.spec.strict_yaml import Misplaced, Strict

FOLDER = Path(__file__).parent / "scenarios"

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Part = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Way = Literal["binary", "json", "grpc", "stream", "job", "gallery"]
STUDIO_WAYS = frozenset({"job", "gallery"})


class Phase(Strict):
    """A while with so many arrivals a second.

    Attributes:
        rate: arrivals a second; with `to`, those of the first of `steps` that lead there.
        counts: whether what arrives meanwhile is in the figures; a warm-up is not.
    """

    rate: Positive
    seconds: Positive
    to: Positive | None = None
    steps: Annotated[int, Field(ge=2)] | None = None
    counts: bool = True

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        if (self.to is None) != (self.steps is None):
            given, missing = ("to", "steps") if self.steps is None else ("steps", "to")
            raise Misplaced((given,), f"expected {missing} beside it, got none")
        return self

    def rates(self) -> list[float]:
        """Returns the rate of every step."""
        if self.to is None or self.steps is None:
            return [self.rate]
        width = (self.to - self.rate) / (self.steps - 1)
        return [self.rate + step * width for step in range(self.steps)]


class Share(Strict):
    """One kind of request, and how large its part of all is beside the others'."""

    way: Way
    share: Positive = 1.0


class Kill(Strict):
    """When, after the first arrival that counts, something is killed: who runs the scenario says what."""

    at_seconds: Annotated[float, Field(ge=0)]


class Thresholds(Strict):
    """What must come of a run; what is not named is not asked.

    Attributes:
        errors: most requests that end in anything but an answer, as a part of 1, refusals left out.
        lost: most requests to which nothing came, be it by a broken connection or after the time; those that
            were not sent (see `in_flight`) break a run by themselves.
        refused: most answers 429 and 503, as a part of 1.
        retry_after: least of those that say when to come back, as a part of 1.
        p50_seconds, p95_seconds, p99_seconds: longest of such a part of the requests, counted from when they
            were due, refusals left out; one that got no answer is beyond all times.
        late_seconds: latest that 99 of 100 requests were sent by the generator itself.
    """

    errors: Part | None = None
    lost: Annotated[int, Field(ge=0)] | None = None
    refused: Part | None = None
    retry_after: Part | None = None
    p50_seconds: Positive | None = None
    p95_seconds: Positive | None = None
    p99_seconds: Positive | None = None
    late_seconds: Positive | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        # A server that is dead refuses nothing, and what is sent to it is sent in time.
        kept_by_the_dead = {"refused", "retry_after", "late_seconds"}
        if not self.model_dump(exclude_none=True).keys() - kept_by_the_dead:
            names = ", ".join(name for name in type(self).model_fields if name not in kept_by_the_dead)
            raise ValueError(f"expected at least one of {names}, which a dead server would break, got none")
        return self


class Scenario(Strict):
    """A scenario.

    Attributes:
        arrivals: `poisson` (as of many people who know nothing of each other) or `constant`.
        values: what requests bring: `same` all the same, `seeds` a seed of their own each (what was read out
            of the photo is known), `new` a photo of their own, too (nothing is known).
        timeout_seconds: longest that an answer is waited for.
        in_flight: most requests that wait for an answer at once; what is due beyond is not sent.
        split: whether each version of the release must have answered its part of the traffic.
    """

    summary: Annotated[str, Field(min_length=1)]
    arrivals: Literal["poisson", "constant"] = "poisson"
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    requests: Annotated[tuple[Share, ...], Field(min_length=1)]
    values: Literal["same", "seeds", "new"] = "seeds"
    timeout_seconds: Positive = 60.0
    in_flight: Annotated[int, Field(ge=1)] = 2000
    kill: Kill | None = None
    split: bool = False
    thresholds: Thresholds

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        ways = [one.way for one in self.requests]
        if not any(phase.counts for phase in self.phases):
            raise Misplaced(("phases",), "expected one that counts, got warm-ups alone")
        for place, way in enumerate(ways):
            if (way in STUDIO_WAYS) != (ways[0] in STUDIO_WAYS):
                raise Misplaced(
                    ("requests", place, "way"),
                    f"expected what one server answers, as '{ways[0]}', got '{way}': the studio has job and "
                    "gallery, graphs have the others",
                )
            if way in ways[:place]:
                raise Misplaced(("requests", place, "way"), f"expected every way once, got '{way}' twice")
        first = [phase.counts for phase in self.phases].index(True)
        seconds = sum(phase.seconds for phase in self.phases[first:])
        if self.kill and self.kill.at_seconds >= seconds:
            raise Misplaced(
                ("kill", "at_seconds"),
                f"expected less than {seconds:g}, when the run is over, got {self.kill.at_seconds:g}",
            )
        if self.split and ways[0] in STUDIO_WAYS:
            raise Misplaced(("split",), "expected ways of a graph, which tell the version, got the studio's")
        return self

    @property
    def of_studio(self) -> bool:
        """Whether a studio is asked, not a graph."""
        return self.requests[0].way in STUDIO_WAYS

    def times(self, factor: float) -> Self:
        """Returns the same with all rates so many times as high."""
        phases = tuple(
            one.model_copy(update={"rate": one.rate * factor, "to": one.to and one.to * factor})
            for one in self.phases
        )
        return self.model_copy(update={"phases": phases})

    @property
    def seconds(self) -> float:
        """How long requests arrive."""
        return sum(phase.seconds for phase in self.phases)


def read(name: str) -> Scenario:
    """Reads a scenario: one of ours by name, or a file.

    Raises:
        UnknownName: there is none of that name.
        InvalidDocument: with file and line: it is wrong.
    """
    known = {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}
    if name in known:
        return strict_yaml.read(known[name], Scenario)
    path = Path(name)
    if path.suffix not in (".yaml", ".yml") and not path.exists():
        raise UnknownName("scenario", name, known)
    return strict_yaml.read(path, Scenario)
