"""What the API takes and answers of blind comparisons, as JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from studio.api import jobs, shapes


class Arm(shapes.Shape):
    """One of two ways to draw; what is not said is the same in both."""

    graph: shapes.Name | None = None
    bundle: shapes.Name | None = Field(None, description="Or version")
    prior: shapes.Name | None = Field(None, description="The picture that this prior steered")
    inputs: shapes.Values = Field(
        default_factory=dict, description="Parameters, such as steps; neither prompt, picture nor seed"
    )


class Asked(shapes.Shape):
    """Two arms; with `inputs` they are drawn, without a pair is looked for in the gallery."""

    model_config = shapes.example(
        graph="reimagine",
        a={"prior": "depth"},
        b={"prior": "canny"},
        inputs={"image": {"picture": shapes.AN_ID}, "prompt": "a red cone", "seed": 7},
        wait=30,
    )

    a: Arm
    b: Arm
    graph: shapes.Name = "reimagine"
    inputs: shapes.Values | None = Field(None, description="Prompt, photo, seed: the same for both")
    wait: Annotated[float, Field(ge=0, le=jobs.MOST_WAIT_S)] = 0


class Side(shapes.Shape):
    """A picture of which nothing is said."""

    url: str
    thumbnail: str
    width: int
    height: int


class Pair(shapes.Shape):
    """A blind pair; without pictures while they are drawn."""

    id: shapes.Id
    state: Literal["drawing", "ready", "failed", "answered"]
    prompt: str
    left: Side | None
    right: Side | None
    error: shapes.Problem | None = None


class Made(shapes.Shape):
    """That there is a pair, which is shown as it is by then."""

    id: shapes.Id


class Choice(shapes.Shape):
    """Which one is better."""

    model_config = shapes.example(id=shapes.AN_ID, choice="left")

    id: shapes.Id
    choice: Literal["left", "right", "tie", "both-bad"]


class Wins(shapes.Shape):
    """How often each arm won."""

    a: int
    b: int


class ShownTally(shapes.Shape):
    """What comparisons of two arms say."""

    graph: str
    a: Arm
    b: Arm
    wins: Wins
    ties: int
    both_bad: int
    interval: tuple[float, float] = Field(description="Of the share of a's wins, Wilson, 95 %")
    p_value: float = Field(description="Exact sign test, two-sided")


class Revealed(shapes.Shape):
    """What a pair was, once somebody has chosen; nothing of a picture that is deleted."""

    left: shapes.Picture | None
    right: shapes.Picture | None
    left_arm: Literal["a", "b"]
    tally: ShownTally


class Arms(shapes.Shape):
    """What the gallery has pictures of."""

    graphs: list[str]
    bundles: list[str]
    priors: list[str]
