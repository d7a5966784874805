"""Which part of a data set a picture is in: by its hash, so that it stays there whatever is added."""

from __future__ import annotations

from dataclasses import dataclass

from imagegraph.errors import InvalidInput


@dataclass(frozen=True)
class Splits:
    """How much of all pictures is kept for validation and for the test, 0..1; the rest is for training."""

    validation: float = 0.1
    test: float = 0.0

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            if not 0 <= getattr(self, name) < 1:
                raise InvalidInput(name, "a part of all pictures, 0 or more and below 1", getattr(self, name))
        if self.validation + self.test >= 1:
            raise InvalidInput("validation and test", "parts that leave some for training", "all of it")

    def of(self, share: float) -> str:
        """Returns the split of the picture at a place in 0..1."""
        if share < self.test:
            return "test"
        return "validation" if share < self.test + self.validation else "train"
