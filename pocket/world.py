"""A small 3-D world in the manner of CLEVR with exact truth, drawn by vectorised ray casting.

Spheres, cubes, cones, cylinders and jointed people stand on a textured floor before a wall, lit by
one lamp. Everything is a function of (seed, split), so scenes need no storage to be repeated.

    python -m pocket.world --bench              scenes per second on this core
    python -m pocket.world --sheet sheet.png    a contact sheet to look at

Conventions: world x right, y up, z away from the camera, which stands at (0, height, 0). Image
coordinates are (x, y) with pixel centres at whole numbers. Ray arrays are [3, rays] and ray
directions have length 1 along the camera's axis, so a ray parameter is a distance in depth.
"""

import argparse
import time
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

SIZE = 128
FOCAL = 150.0  # px; a field of view of 46 degrees
NEAR, FAR = 2.5, 10.0  # the fixed range that depth is normalised over

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (205, 32, 38),
    "orange": (245, 125, 20),
    "yellow": (245, 215, 40),
    "green": (38, 150, 50),
    "cyan": (30, 195, 205),
    "blue": (35, 70, 205),
    "purple": (125, 45, 175),
    "pink": (240, 100, 175),
}
SHAPES = ("sphere", "cube", "cone", "cylinder", "person")
CLASSES = ("wall", "floor", *SHAPES)
PALETTE = np.array(
    [
        (120, 120, 120), (80, 50, 50), (255, 210, 0), (0, 90, 255),
        (0, 200, 80), (255, 110, 30), (150, 5, 61),
    ],
    dtype=np.uint8,
)  # fmt: skip
SPLITS = ("train", "validation", "seen", "unseen")
UNSEEN = frozenset(
    {
        ("orange", "sphere"), ("cyan", "cube"), ("purple", "cone"), ("green", "cylinder"),
        ("blue", "cone"), ("pink", "cube"), ("yellow", "person"),
    }
)  # fmt: skip
"""Pairs (colour, shape) that only the split "unseen" shows, at least one in each scene."""

KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip

SKIN = ((240, 200, 170), (222, 170, 135), (165, 112, 80), (105, 68, 48))
HAIR = ((40, 28, 22), (95, 60, 30), (70, 70, 75))
DARK = (45, 42, 48)


@dataclass(frozen=True)
class SceneObject:
    """One object; `position` is its foot on the floor, `size` its height in world units."""

    shape: str
    colour: str
    position: tuple[float, float]  # x, z
    size: float
    yaw: float
    person: "Person | None" = None


@dataclass(frozen=True)
class Person:
    """A body of capsules in its own frame: height 1, feet at the origin, face towards -z."""

    joints: Array  # [17, 3] COCO order
    start: Array  # [parts, 3]
    end: Array  # [parts, 3]
    radius: Array  # [parts]
    tint: Array  # [parts, 3] in 0..1
    hair: Array  # [3] in 0..1


@dataclass(frozen=True)
class Scene:
    """A picture with everything that is true of it.

    Attributes:
        image: uint8 [H, W, 3] RGB.
        depth: float32 [H, W] in 0..1, normalised inverse distance over NEAR..FAR (1 = near).
        normals: uint8 [H, W, 3], unit normals of the surfaces seen, -1..1 as 0..255: red to the left, green
            up, blue towards the camera, as the normal ControlNets of Stable Diffusion know them.
        segmentation: uint8 [H, W], index into CLASSES.
        instances: uint8 [H, W], 0 = background, i + 1 = objects[i].
        boxes: float32 [objects, 4] x0, y0, x1, y1 around the visible pixels (x1, y1 exclusive).
        keypoints: float32 [people, 17, 3] x, y, visibility (0 = hidden by another object or
            outside), in the order of the people among `objects`.
        caption: lower case, objects in canonical order, so equal scenes have equal captions.
        objects: in canonical order (by shape, then colour).
        edges: uint8 [H, W], Canny(100, 200) of the image, 0 or 255.
    """

    image: NDArray[np.uint8]
    depth: Array
    normals: NDArray[np.uint8]
    segmentation: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    boxes: Array
    keypoints: Array
    caption: str
    objects: tuple[SceneObject, ...]
    edges: NDArray[np.uint8]


def make_scene(seed: int, split: str = "train", objects: int | None = None) -> Scene:
    """Draw the scene of a seed.

    Args:
        seed: any non-negative number; the splits share no scene for equal seeds.
        split: one of SPLITS.
        objects: number of objects, 1 to 3; drawn at random (45, 35, 20 %) when None.
    """
    rng = np.random.default_rng([SPLITS.index(split), seed])
    count = objects or int(rng.choice([1, 2, 3], p=[0.45, 0.35, 0.2]))
    while True:
        room = Room(rng)
        placed = _place(rng, room, count, split)
        if placed is not None:
            scene = _render(room, placed)
            if scene is not None:
                return scene


# ---- what stands where ----------------------------------------------------------------------


class Room:
    """Camera, lamp, floor and wall of one scene."""

    def __init__(self, rng: np.random.Generator) -> None:
        height = rng.uniform(1.5, 2.6)
        pitch = np.arctan2(height - rng.uniform(0.45, 0.7), 4.8)
        self.eye = np.array([0, height, 0], np.float32)
        self.up = np.array([0, np.cos(pitch), np.sin(pitch)], np.float32)
        self.forward = np.array([0, -np.sin(pitch), np.cos(pitch)], np.float32)
        self.wall_z = rng.uniform(7.0, 8.5)
        self.lamp = np.array(
            [rng.choice([-1, 1]) * rng.uniform(1.5, 3.5), rng.uniform(5, 7), rng.uniform(0, 2.5)],
            np.float32,
        )
        self.ambient = rng.uniform(0.46, 0.58)
        self.surfaces = (
            _Surface(rng, ("plain", "stripes", "panels")),
            _Surface(rng, ("plain", "checker", "planks")),
        )

    def rays(self, x: Array, y: Array) -> Array:
        """Return ray directions [3, n] through image points."""
        u, v = (x - (SIZE - 1) / 2) / FOCAL, ((SIZE - 1) / 2 - y) / FOCAL
        return np.stack([u, v * self.up[1] + self.forward[1], v * self.up[2] + self.forward[2]])

    def project(self, points: Array) -> Array:
        """Return x, y in px and distance along the axis for world points [n, 3]."""
        q = points - self.eye
        z = q @ self.forward
        x = FOCAL * q[:, 0] / z + (SIZE - 1) / 2
        return np.stack([x, (SIZE - 1) / 2 - FOCAL * (q @ self.up) / z, z], axis=1)


class _Surface:
    """A pale colour with a pattern of low contrast, so that Canny sees objects and not texture."""

    def __init__(self, rng: np.random.Generator, patterns: tuple[str, ...]) -> None:
        self.pattern = str(rng.choice(patterns))
        grey = rng.uniform(0.5, 0.8)
        self.colour = (grey * (1 + rng.uniform(-0.09, 0.09, 3))).astype(np.float32)
        self.angle, self.period = rng.uniform(0, np.pi), rng.uniform(0.7, 1.3)
        self.tones = rng.uniform(-1, 1, 16).astype(np.float32)
        self.waves = rng.normal(0, 3.0, (3, 3)).astype(np.float32)
        self.contrast = rng.uniform(0.02, 0.045)

    def albedo(self, u: Array, v: Array) -> Array:
        """Return colours [3, n] at surface coordinates."""
        tone = np.zeros_like(u)
        for wave_u, wave_v, phase in self.waves:  # grain
            tone += 0.15 * np.sin(wave_u * u + wave_v * v + phase)
        if self.pattern == "stripes":
            tone += np.clip(4 * np.sin(2 * np.pi * u / self.period), -1, 1)
        elif self.pattern == "panels":
            tone += self.tones[(u // self.period).astype(int) % 16]
        elif self.pattern != "plain":
            cos, sin = float(np.cos(self.angle)), float(np.sin(self.angle))
            u, v = cos * u + sin * v, cos * v - sin * u
            if self.pattern == "checker":
                across = np.sin(np.pi * u / self.period) * np.sin(np.pi * v / self.period)
                tone += np.clip(8 * across, -1, 1)
            else:
                tone += self.tones[(2 * u // self.period).astype(int) % 16]
        return self.colour[:, None] * (1 + self.contrast * tone)


def _place(rng: np.random.Generator, room: Room, count: int, split: str) -> tuple[SceneObject, ...] | None:
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
        person = _pose(rng, colour) if shape == "person" else None
        size = rng.uniform(1.75, 2.05) if person else rng.uniform(0.95, 1.3)
        z = rng.uniform(3.6, 5.8)
        side = 0.41 * z - 0.5 * (1.2 if person else size)
        yaw = rng.uniform(-0.8, 0.8)
        objects.append(SceneObject(shape, colour, (rng.uniform(-side, side), z), size, yaw, person))
    if any(_relation(room, objects[0], other) is None for other in objects[1:]):
        return None
    if count == 3 and _relation(room, objects[1], objects[2]) is None:
        return None
    return tuple(objects)


def _relation(room: Room, a: SceneObject, b: SceneObject) -> str | None:
    """Name where `a` is from `b`; None when it would be a matter of taste."""
    centres = np.array([(o.position[0], 0, o.position[1]) for o in (a, b)])
    (ax, _, az), (bx, _, bz) = room.project(centres)
    if abs(ax - bx) > 30:
        return "left of" if ax < bx else "right of"
    if abs(az - bz) > 0.9 and abs(ax - bx) < 22:
        return "in front of" if az < bz else "behind"
    return None


def _describe(room: Room, objects: tuple[SceneObject, ...]) -> str:
    """Write the caption: the first object, and where it is from each of the others."""
    names = [
        f"a person in {o.colour}" if o.shape == "person" else f"{_article(o.colour)} {o.shape}"
        for o in objects
    ]
    relations = [
        f"{_relation(room, objects[0], other)} {name}"
        for other, name in zip(objects[1:], names[1:], strict=True)
    ]
    return f"{names[0]} {' and '.join(relations)}".strip()


def _article(colour: str) -> str:
    return f"an {colour}" if colour[0] in "aeiou" else f"a {colour}"


def _pose(rng: np.random.Generator, colour: str) -> Person:
    """Build a person in one of six poses, with jitter in every joint."""
    kind = rng.choice(["standing", "arms up", "waving", "arms out", "on hips", "walking"])
    # Angle of the upper arm from hanging down, and how much further the forearm turns.
    lift, bend = rng.uniform(0.12, 0.4, 2), rng.uniform(-0.1, 0.3, 2)
    stride, swing = 0.0, np.zeros(2)
    if kind == "arms up":
        lift, bend = rng.uniform(2.1, 2.9, 2), rng.uniform(-0.3, 0.3, 2)
    elif kind == "arms out":
        lift, bend = rng.uniform(1.2, 1.8, 2), rng.uniform(-0.3, 0.3, 2)
    elif kind == "on hips":
        lift, bend = rng.uniform(0.7, 0.9, 2), rng.uniform(-1.9, -1.5, 2)
    elif kind == "waving":
        arm = rng.integers(2)
        lift[arm], bend[arm] = rng.uniform(1.3, 1.9), rng.uniform(0.6, 1.3)
    elif kind == "walking":
        stride = rng.choice([-1, 1]) * rng.uniform(0.3, 0.6)
        swing = np.array([-1.2, 1.2]) * stride
    spread = rng.uniform(0.02, 0.22)

    def limb(angle: float, side: int, forward: float) -> Array:
        v = np.array([side * np.sin(angle), -np.cos(angle), -forward])
        return v / np.linalg.norm(v)

    ahead = np.array([0, 0, -1])
    parts: list[tuple[Array, Array, float, Array]] = []
    clothes = np.array(COLOURS[colour]) / 255
    trousers, shoe = clothes * 0.72, np.array(DARK) / 255
    skin = np.array(SKIN[rng.integers(len(SKIN))]) / 255
    joints = {"nose": np.array([0, 0.86, -0.125])}
    for i, (name, side) in enumerate((("left", 1), ("right", -1))):
        joints[f"{name}_eye"] = np.array([side * 0.05, 0.895, -0.105])
        joints[f"{name}_ear"] = np.array([side * 0.12, 0.875, 0])
        shoulder = np.array([side * 0.125, 0.675, 0])
        elbow = shoulder + 0.155 * limb(lift[i], side, swing[i])
        wrist = elbow + 0.15 * limb(lift[i] + bend[i], side, swing[i] + 0.1)
        hip = np.array([side * 0.062, 0.43, 0])
        knee = hip + 0.19 * limb(spread, side, (-stride, stride)[i])
        ankle = knee + 0.19 * limb(spread * 0.6, side, 0.4 * (-stride, stride)[i])
        joints |= {f"{name}_shoulder": shoulder, f"{name}_elbow": elbow, f"{name}_wrist": wrist}
        joints |= {f"{name}_hip": hip, f"{name}_knee": knee, f"{name}_ankle": ankle}
        hand = wrist + 0.2 * (wrist - elbow)
        parts += [(shoulder, elbow, 0.047, clothes), (elbow, wrist, 0.04, clothes)]
        parts += [(wrist, hand, 0.044, skin), (hip, knee, 0.062, trousers)]
        parts += [(knee, ankle, 0.05, trousers)]
        parts += [(ankle + 0.02 * ahead, ankle + 0.06 * ahead, 0.046, shoe)]
    parts += [
        (np.array([-0.09, 0.665, 0]), np.array([0.09, 0.665, 0]), 0.07, clothes),
        (np.array([0, 0.45, 0]), np.array([0, 0.62, 0]), 0.105, clothes),
        (np.array([0, 0.865, 0]), np.array([0, 0.885, 0]), 0.125, skin),  # the head comes last
    ]
    foot = np.array([0, 0.046 - min(joints[f"{side}_ankle"][1] for side in ("left", "right")), 0])
    start, end, radius, tint = (np.array(a, np.float32) for a in zip(*parts, strict=True))
    return Person(
        joints=np.array([joints[name] + foot for name in KEYPOINTS], np.float32),
        start=(start + foot).astype(np.float32),
        end=(end + foot).astype(np.float32),
        radius=radius,
        tint=tint,
        hair=np.array(HAIR[rng.integers(len(HAIR))], np.float32) / 255,
    )


# ---- how rays meet shapes -------------------------------------------------------------------
# Every shape has height 1 and stands on the origin of its own frame. `_hit` returns the ray
# parameter [n] of the first hit (inf = none) and the part hit [n]; `_look` colours and normals.


def _dot(a: Array, b: Array) -> Array:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _nearest_root(a: Array, b: Array, c: Array) -> Array:
    """Return the smaller root of a t^2 + 2 b t + c, inf where there is none."""
    disc = b * b - a * c
    return np.where(disc > 0, (-b - np.sqrt(np.maximum(disc, 0))) / a, np.inf)


def _hit(obj: SceneObject, o: Array, d: Array) -> tuple[Array, NDArray[np.intp] | None]:
    if obj.person:
        return _hit_capsules(obj.person, o, d)
    if obj.shape == "sphere":
        c = o - np.array([[0], [0.5], [0]], np.float32)
        return _nearest_root(_dot(d, d), _dot(c, d), _dot(c, c) - 0.25), None
    if obj.shape == "cube":
        return _hit_cube(o, d), None
    if obj.shape == "cone":  # rho = (1 - y) / 2
        k, q, e = np.float32(0.25), 1 - o[1], d[1]
        t = _nearest_root(
            d[0] ** 2 + d[2] ** 2 - k * e * e,
            o[0] * d[0] + o[2] * d[2] + k * q * e,
            o[0] ** 2 + o[2] ** 2 - k * q * q,
        )
        y = o[1] + t * e
        return np.where((y > 0) & (y < 1), t, np.inf), None
    across = d[0] ** 2 + d[2] ** 2
    t = _nearest_root(across, o[0] * d[0] + o[2] * d[2], o[0] ** 2 + o[2] ** 2 - 0.25)
    y = o[1] + t * d[1]
    lid = (1 - o[1]) / d[1]
    on_lid = (o[0] + lid * d[0]) ** 2 + (o[2] + lid * d[2]) ** 2 < 0.25
    return np.where((y > 0) & (y < 1), t, np.where(on_lid, lid, np.inf)), None


def _hit_cube(o: Array, d: Array) -> Array:
    low = np.array([[-0.5], [0], [-0.5]], np.float32)
    (ax, ay, az), (bx, by, bz) = (low - o) / d, (low + 1 - o) / d
    enter = np.maximum(np.maximum(np.minimum(ax, bx), np.minimum(ay, by)), np.minimum(az, bz))
    leave = np.minimum(np.minimum(np.maximum(ax, bx), np.maximum(ay, by)), np.maximum(az, bz))
    return np.where(enter < leave, enter, np.inf)


def _hit_capsules(person: Person, o: Array, d: Array) -> tuple[Array, NDArray[np.intp]]:
    """Meet all capsules at once. Source: Inigo Quilez, "intersectors", capsule."""
    # Only the pairs of a capsule and a ray through the ball around it are worth the formula.
    middle, axis = (person.start + person.end) / 2, person.end - person.start
    reach = np.linalg.norm(axis, axis=1, keepdims=True) / 2 + person.radius[:, None]
    toward = _dot(o, d) - middle @ d
    away = _dot(o, o) - 2 * middle @ o + (middle * middle).sum(1, keepdims=True)
    part, ray = np.nonzero(toward * toward > (away - reach * reach) * _dot(d, d))

    d, axis, r = d[:, ray], axis[part].T, person.radius[part]
    o = (o if o.shape[1] == 1 else o[:, ray]) - person.start[part].T
    aa, dd, ad, ao, od = (_dot(u, v) for u, v in ((axis, axis), (d, d), (axis, d), (axis, o), (o, d)))
    outside = _dot(o, o) - r * r
    side = _nearest_root(aa * dd - ad * ad, aa * od - ao * ad, aa * outside - ao * ao)
    y = ao + np.where(np.isfinite(side), side, 0) * ad
    top = y > 0
    ball = _nearest_root(dd, od - top * ad, outside + top * (aa - 2 * ao))
    ball[np.isinf(side)] = np.inf
    t = np.full(toward.shape, np.inf, np.float32)
    t[part, ray] = np.where((y > 0) & (y < aa), side, ball)
    first = t.argmin(axis=0)
    return np.take_along_axis(t, first[None], axis=0)[0], first


def _look(obj: SceneObject, p: Array, part: NDArray[np.intp] | None) -> tuple[Array, Array]:
    """Return albedo [3, n] and normals [3, n] (any length) at points on the object, own frame."""
    tint = np.array(COLOURS[obj.colour], np.float32)[:, None] / 255
    if obj.person and part is not None:
        return _look_person(obj.person, p, part)
    normal = p - np.array([[0], [0.5], [0]], np.float32)
    if obj.shape == "cube":
        reach = np.abs(normal)
        normal = np.where(reach == reach.max(axis=0), np.sign(normal), np.float32(0))
    elif obj.shape == "cone":
        normal[1] = 0.5 * np.hypot(p[0], p[2])
    elif obj.shape == "cylinder":
        lid = p[1] > 0.9995
        normal = np.where(lid, np.array([[0], [1], [0]], np.float32), p)
        normal[1] = lid
    return np.broadcast_to(tint, p.shape), normal


def _look_person(person: Person, p: Array, part: NDArray[np.intp]) -> tuple[Array, Array]:
    a, axis = person.start[part].T, (person.end - person.start)[part].T
    along = np.clip(_dot(p - a, axis) / _dot(axis, axis), 0, 1)
    normal = p - a - along * axis
    tint = person.tint[part].T.copy()
    head = part == len(person.start) - 1
    x, y, z = normal / 0.125
    tint[:, head & ((y > 0.5) | (z > 0.25))] = person.hair[:, None]
    eyes = (np.abs(np.abs(x) - 0.4) < 0.15) & (np.abs(y - 0.12) < 0.16)
    mouth = (np.abs(x) < 0.3) & (np.abs(y + 0.45) < 0.09)
    tint[:, head & (z < 0) & (eyes | mouth)] *= 0.25
    return tint, normal


# ---- from rays to a picture -----------------------------------------------------------------


class _Body:
    """An object with the change into its own frame and a ball around it for culling."""

    def __init__(self, obj: SceneObject) -> None:
        self.obj = obj
        cos, sin = np.cos(obj.yaw), np.sin(obj.yaw)
        self.turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], np.float32)
        self.foot = np.array([[obj.position[0]], [0], [obj.position[1]]], np.float32)
        self.centre = self.foot + np.array([[0], [obj.size / 2], [0]], np.float32)
        reach = {"sphere": 0.51, "cube": 0.87}.get(obj.shape, 0.72)
        if obj.person:
            ends = np.concatenate([obj.person.start, obj.person.end])
            reach = np.linalg.norm(ends - [0, 0.5, 0], axis=1).max() + 0.06
        self.radius = float(reach * obj.size)

    def inside(self, p: Array) -> Array:
        return self.turn.T @ (p - self.foot) / np.float32(self.obj.size)

    def outside(self, joints: Array) -> Array:
        return (self.turn @ joints.T * self.obj.size + self.foot).T

    def hit(self, o: Array, d: Array) -> tuple[NDArray[np.intp], Array, NDArray[np.intp] | None]:
        """Return indices of the rays that pass near, their parameter and the part they hit."""
        c = o - self.centre
        cd = _dot(c, d)
        near = np.flatnonzero(cd * cd > (_dot(c, c) - self.radius**2) * _dot(d, d))
        o = self.inside(o if o.shape[1] == 1 else o[:, near])
        t, part = _hit(self.obj, o, self.turn.T @ d[:, near] / np.float32(self.obj.size))
        return near, t, part


@dataclass
class _Hits:
    """What rays [3, n] met: ray parameter, instance (0 = background), part and rays met in all."""

    t: Array
    instance: NDArray[np.uint8]
    part: NDArray[np.intp]
    floor: NDArray[np.bool_]
    counts: list[int]


def _trace(room: Room, bodies: list[_Body], d: Array) -> _Hits:
    to_wall = room.wall_z / d[2]
    to_floor = np.where(d[1] < 0, room.eye[1] / -np.minimum(d[1], -1e-6), np.inf)
    t = np.minimum(to_wall, to_floor).astype(np.float32)
    instance, part = np.zeros(t.shape, np.uint8), np.zeros(t.shape, np.intp)
    counts = []
    for i, body in enumerate(bodies):
        near, t_body, part_body = body.hit(room.eye[:, None], d)
        counts.append(np.count_nonzero(np.isfinite(t_body)))
        first = t_body < t[near]
        index = near[first]
        t[index], instance[index] = t_body[first], i + 1
        if part_body is not None:
            part[index] = part_body[first]
    return _Hits(t, instance, part, to_floor < to_wall, counts)


def _shadow(room: Room, bodies: list[_Body], d: Array, hits: _Hits) -> Array:
    """Return how much of the lamp [H, W] reaches each pixel: hard shadows, then softened."""
    p = room.eye[:, None] + hits.t * d
    to_lamp = room.lamp[:, None] - p
    lit = np.ones(p.shape[1], np.float32)
    for i, body in enumerate(bodies):
        near, t, _ = body.hit(p, to_lamp)
        lit[near[(t > 0) & (t < 1) & (hits.instance[near] != i + 1)]] = 0
    return cv2.GaussianBlur(lit.reshape(SIZE, SIZE), (0, 0), 1.8)


def _shade(room: Room, bodies: list[_Body], d: Array, hits: _Hits, lit: Array) -> tuple[Array, Array]:
    """Return colours [n, 3] in 0..255 and unit normals [3, n]."""
    p = room.eye[:, None] + hits.t * d
    colour, normal = np.empty_like(p), np.zeros_like(p)
    gloss = np.zeros_like(hits.t)
    wall, floor = room.surfaces
    on = np.flatnonzero(~hits.floor)
    colour[:, on], normal[2, on] = wall.albedo(p[0, on], p[1, on]), -1
    on = np.flatnonzero(hits.floor)
    colour[:, on], normal[1, on] = floor.albedo(p[0, on], p[2, on]), 1
    for i, body in enumerate(bodies):
        on = np.flatnonzero(hits.instance == i + 1)
        tint, own_normal = _look(body.obj, body.inside(p[:, on]), hits.part[on])
        colour[:, on] = tint
        normal[:, on] = body.turn @ (own_normal / np.sqrt(_dot(own_normal, own_normal)))
        gloss[on] = 0.0 if body.obj.person else 0.3
    to_lamp = room.lamp[:, None] - p
    to_lamp /= np.sqrt(_dot(to_lamp, to_lamp))
    facing = _dot(normal, to_lamp)
    colour *= room.ambient + (1.05 - room.ambient) * np.maximum(facing, 0) * lit
    on = np.flatnonzero(gloss)
    view = d[:, on] / np.sqrt(_dot(d[:, on], d[:, on]))
    mirrored = _dot(view, to_lamp[:, on]) - 2 * facing[on] * _dot(view, normal[:, on])
    colour[:, on] += gloss[on] * lit[on] * np.maximum(mirrored, 0) ** 24
    return (255 * np.clip(colour, 0, 1)).T, normal


_Y, _X = np.mgrid[:SIZE, :SIZE].astype(np.float32).reshape(2, -1)


def _render(room: Room, objects: tuple[SceneObject, ...]) -> Scene | None:
    """Draw the scene; None when an object is mostly hidden."""
    bodies = [_Body(obj) for obj in objects]
    d = room.rays(_X, _Y)
    hits = _trace(room, bodies, d)
    visible = [np.count_nonzero(hits.instance == i + 1) for i in range(len(bodies))]
    if any(seen < 0.4 * max(all_, 150) for seen, all_ in zip(visible, hits.counts, strict=True)):
        return None
    lit = _shadow(room, bodies, d, hits)
    colours, normals = _shade(room, bodies, d, hits, lit.ravel())
    image = colours.reshape(SIZE, SIZE, 3)

    # Four rays instead of one wherever neighbours differ.
    contrast = cv2.morphologyEx(image, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    y, x = np.nonzero(cv2.inRange(contrast, (0, 0, 0), (20, 20, 20)) == 0)
    offsets = np.array([(-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25)], np.float32)
    fine = room.rays(*(np.stack([x, y])[:, None] + offsets.T[:, :, None]).reshape(2, -1))
    fine_lit = np.tile(lit[y, x], 4)
    colours, _ = _shade(room, bodies, fine, _trace(room, bodies, fine), fine_lit)
    image[y, x] = colours.reshape(4, -1, 3).mean(axis=0)

    picture = image.round().astype(np.uint8)
    instances = hits.instance.reshape(SIZE, SIZE)
    kinds = np.array([0] + [CLASSES.index(o.shape) for o in objects], np.uint8)
    ground = hits.floor.reshape(SIZE, SIZE).astype(np.uint8)
    inverse = (1 / hits.t - 1 / FAR) / (1 / NEAR - 1 / FAR)
    boxes = [cv2.boundingRect((instances == i + 1).astype(np.uint8)) for i in range(len(bodies))]
    people = [_keypoints(room, b, i + 1, hits) for i, b in enumerate(bodies) if b.obj.person]
    return Scene(
        image=picture,
        depth=np.clip(inverse, 0, 1).reshape(SIZE, SIZE).astype(np.float32),
        normals=_encode_normals(room, normals),
        segmentation=np.where(instances > 0, kinds[instances], ground),
        instances=instances,
        boxes=np.array([(x, y, x + w, y + h) for x, y, w, h in boxes], np.float32),
        keypoints=np.array(people, np.float32).reshape(-1, len(KEYPOINTS), 3),
        caption=_describe(room, objects),
        objects=objects,
        edges=cv2.Canny(picture, 100, 200),
    )


def _encode_normals(room: Room, normals: Array) -> NDArray[np.uint8]:
    """Return unit normals [3, n] of the world as a picture in the camera's frame."""
    seen = np.stack([-normals[0], room.up @ normals, -room.forward @ normals], axis=1)
    return ((seen + 1) * 127.5).round().astype(np.uint8).reshape(SIZE, SIZE, 3)


def _keypoints(room: Room, body: _Body, instance: int, hits: _Hits) -> Array:
    """Return [17, 3]: x, y, and 0 where another object stands before the joint."""
    assert body.obj.person is not None
    points = room.project(body.outside(body.obj.person.joints))
    x, y = points[:, :2].round().astype(int).T
    within = (x >= 0) & (x < SIZE) & (y >= 0) & (y < SIZE)
    pixel = np.clip(y, 0, SIZE - 1) * SIZE + np.clip(x, 0, SIZE - 1)
    other = (hits.instance[pixel] != 0) & (hits.instance[pixel] != instance)
    hidden = other & (hits.t[pixel] < points[:, 2])
    return np.concatenate([points[:, :2], (within & ~hidden)[:, None]], axis=1)


def contact_sheet(scenes: list[Scene], columns: int) -> NDArray[np.uint8]:
    """Lay out rows of pictures, each above its depth, segmentation with key points, and edges."""
    cells = []
    for scene in scenes:
        truth = PALETTE[scene.segmentation].copy()
        for x, y, visible in scene.keypoints.reshape(-1, 3):
            cv2.circle(truth, (round(x), round(y)), 1, (255, 255, 255) if visible else (0, 0, 0))
        maps = (255 * scene.depth).astype(np.uint8), scene.edges
        grey = [np.repeat(m[:, :, None], 3, axis=2) for m in maps]
        cells.append(np.concatenate([scene.image, grey[0], truth, grey[1]]))
    rows = [np.concatenate(cells[i : i + columns], axis=1) for i in range(0, len(cells), columns)]
    return np.concatenate(rows)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", action="store_true", help="print scenes per second")
    parser.add_argument("--sheet", metavar="PNG", help="write a contact sheet")
    parser.add_argument("--split", choices=SPLITS, default="train")
    args = parser.parse_args()
    if args.bench:
        start = time.perf_counter()
        for seed in range(300):
            make_scene(seed)
        print(f"{300 / (time.perf_counter() - start):.0f} scenes/s")
    if args.sheet:
        scenes = [make_scene(seed, args.split) for seed in range(24)]
        cv2.imwrite(args.sheet, contact_sheet(scenes, columns=8)[:, :, ::-1])
        print("\n".join(scene.caption for scene in scenes))


if __name__ == "__main__":
    main()
