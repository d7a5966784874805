"""The scenes that the models are measured on."""

import functools

from pocket.data import Scenes, load

SCENES = 300  # of each split, for the readers
HELD_OUT = ("seen", "unseen")


@functools.cache
def scenes_of(split: str) -> Scenes:
    """Return the held-out scenes of a split."""
    return load(split, SCENES)
