"""What the models have to reach, and what was measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Floor:
    """What a model has to reach on the split "seen".

    Args:
        value: the least value, or the most when `at_most`.
        at_most: smaller is better.
        goal: what we want, where the committed weights do not reach it yet; `value` is then what
            they reach, so that they do not get worse.
    """

    value: float
    at_most: bool = False
    goal: float | None = None

    def __str__(self) -> str:
        sign = "≤" if self.at_most else "≥"
        return f"{sign} {self.value:g}" + (f" (goal {sign} {self.goal:g})" if self.goal else "")

    def holds(self, value: float) -> bool:
        """Return whether a measured value is good enough."""
        return value <= self.value if self.at_most else value >= self.value

    def short_of_goal(self, value: float) -> bool:
        """Return whether a measured value misses what we want."""
        goal = self.value if self.goal is None else self.goal
        return value > goal if self.at_most else value < goal


FLOORS = {
    "text to image: colour": Floor(0.97),
    "text to image: colour and shape": Floor(0.85),
    "control by segmentation: foreground IoU": Floor(0.78),
    "control by segmentation: IoU won by it": Floor(0.35),
    "control by edges: F1 (±1 px)": Floor(0.7, goal=0.75),
    "control by depth: Pearson": Floor(0.85),
    "control by pose: PCK@0.2": Floor(0.7),
    "control by normals: angle on objects, degrees": Floor(20, at_most=True),
    "control by lineart: F1 (±1 px)": Floor(0.7),
    "control by scribble: foreground IoU": Floor(0.78),
    "style from words: told right": Floor(0.9),
    "style from words: asked one first": Floor(0.9),
    "style from photo and words: told right": Floor(0.85),
    "style from photo and words: colour and shape kept": Floor(0.7),
    "questions: style told": Floor(0.95),
    "questions: own style first": Floor(0.9),
    "normals: angle on objects, degrees": Floor(15, at_most=True),
    "CLIP: right caption first of 32": Floor(0.95),
    "depth: MAE on objects": Floor(0.08, at_most=True),
    "segmentation: mIoU": Floor(0.88),
    "segment: mIoU by box": Floor(0.9),
    "segment: mIoU by one point": Floor(0.8),
    "segment: recall without prompts (IoU 0.75)": Floor(0.9),
    "segment: Pearson of foreseen and true IoU": Floor(0.6),
    "pose: PCK@0.2": Floor(0.9),
    "people: AP50": Floor(0.9),
    "caption: every colour and shape right": Floor(0.85),
    "upscale: dB over bicubic on photographs": Floor(0.5),
    "ten-step picture on one core, s": Floor(0.5, at_most=True),
    "whole bundle loaded, GB resident": Floor(1.2, at_most=True),
}


@dataclass(frozen=True)
class Score:
    """A measured value and, where a judge is used, what the judge says of real scenes."""

    value: float
    ceiling: float | None = None


Scores = dict[str, Score]
