"""What stands where in a scene, and how its caption says so."""

from dataclasses import dataclass

import numpy as np

from pocket.world.kinds import COLOURS, SHAPES, UNSEEN
from pocket.world.people import Person, pose_person
from pocket.world.room import Room


@dataclass(frozen=True)
class SceneObject:
    """One object; `position` is its foot on the floor, `size` its height in world units."""

    shape: str
    colour: str
    position: tuple[float, float]  # x, z
    size: float
    yaw: float
    person: Person | None = None


def place(rng: np.random.Generator, room: Room, count: int, split: str) -> tuple[SceneObject, ...] | None:
    """Choose kinds, places and poses, or None when they stand too close to be told apart."""
    pairs = [(c, s) for s in SHAPES for c in COLOURS]
    seen = [pair for pair in pairs if pair not in UNSEEN]
    held_out = [pair for pair in pairs if pair in UNSEEN]
    chosen: list[tuple[str, str]] = []
    while len(chosen) < count:
        pool = seen if split != "unseen" else (pairs if chosen else held_out)
        colour, shape = pool[rng.integers(len(pool))]
        if all(colour != other for other, _ in chosen):
            chosen.append((colour, shape))
    chosen.sort(key=pairs.index)

    objects: list[SceneObject] = []
    for colour, shape in chosen:
        person = pose_person(rng, colour) if shape == "person" else None
        size = rng.uniform(1.75, 2.05) if person else rng.uniform(0.95, 1.3)
        z = rng.uniform(3.6, 5.8)
        side = 0.41 * z - 0.5 * (1.2 if person else size)
        yaw = rng.uniform(-0.8, 0.8)
        objects.append(SceneObject(shape, colour, (rng.uniform(-side, side), z), size, yaw, person))
    if any(relation(room, objects[0], other) is None for other in objects[1:]):
        return None
    if count == 3 and relation(room, objects[1], objects[2]) is None:
        return None
    return tuple(objects)


def relation(room: Room, a: SceneObject, b: SceneObject) -> str | None:
    """Name where `a` is from `b`; None when it would be a matter of taste."""
    centres = np.array([(o.position[0], 0, o.position[1]) for o in (a, b)])
    (ax, _, az), (bx, _, bz) = room.project(centres)
    if abs(ax - bx) > 30:
        return "left of" if ax < bx else "right of"
    if abs(az - bz) > 0.9 and abs(ax - bx) < 22:
        return "in front of" if az < bz else "behind"
    return None


def describe(room: Room, objects: tuple[SceneObject, ...]) -> str:
    """Write the caption: the first object, and where it is from each of the others."""
    names = [
        f"a person in {o.colour}" if o.shape == "person" else f"{article(o.colour)} {o.shape}"
        for o in objects
    ]
    relations = [
        f"{relation(room, objects[0], other)} {name}"
        for other, name in zip(objects[1:], names[1:], strict=True)
    ]
    return f"{names[0]} {' and '.join(relations)}".strip()


def article(colour: str) -> str:
    """Return a colour with its indefinite article."""
    return f"an {colour}" if colour[0] in "aeiou" else f"a {colour}"
