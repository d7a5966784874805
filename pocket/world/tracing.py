"""How rays go through a room: what they meet, and how it is lit."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pocket.world.kinds import SIZE, Array
from pocket.world.placing import SceneObject
from pocket.world.room import Room
from pocket.world.shapes import dot, hit, look


class Body:
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
        """Return points [3, n] of the world in the object's own frame."""
        return self.turn.T @ (p - self.foot) / np.float32(self.obj.size)

    def outside(self, joints: Array) -> Array:
        """Return points [n, 3] of the object's own frame in the world."""
        return (self.turn @ joints.T * self.obj.size + self.foot).T

    def hit(self, o: Array, d: Array) -> tuple[NDArray[np.intp], Array, NDArray[np.intp] | None]:
        """Return indices of the rays that pass near, their parameter and the part they hit."""
        c = o - self.centre
        cd = dot(c, d)
        near = np.flatnonzero(cd * cd > (dot(c, c) - self.radius**2) * dot(d, d))
        o = self.inside(o if o.shape[1] == 1 else o[:, near])
        t, part = hit(self.obj, o, self.turn.T @ d[:, near] / np.float32(self.obj.size))
        return near, t, part


@dataclass
class Hits:
    """What rays [3, n] met: ray parameter, instance (0 = background), part and rays met in all."""

    t: Array
    instance: NDArray[np.uint8]
    part: NDArray[np.intp]
    floor: NDArray[np.bool_]
    counts: list[int]


def trace(room: Room, bodies: list[Body], d: Array) -> Hits:
    """Follow rays [3, n] from the camera."""
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
    return Hits(t, instance, part, to_floor < to_wall, counts)


def shadow(room: Room, bodies: list[Body], d: Array, hits: Hits) -> Array:
    """Return how much of the lamp [H, W] reaches each pixel: hard shadows, then softened."""
    p = room.eye[:, None] + hits.t * d
    to_lamp = room.lamp[:, None] - p
    lit = np.ones(p.shape[1], np.float32)
    for i, body in enumerate(bodies):
        near, t, _ = body.hit(p, to_lamp)
        lit[near[(t > 0) & (t < 1) & (hits.instance[near] != i + 1)]] = 0
    return cv2.GaussianBlur(lit.reshape(SIZE, SIZE), (0, 0), 1.8)


def shade(room: Room, bodies: list[Body], d: Array, hits: Hits, lit: Array) -> tuple[Array, Array]:
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
        tint, own_normal = look(body.obj, body.inside(p[:, on]), hits.part[on])
        colour[:, on] = tint
        normal[:, on] = body.turn @ (own_normal / np.sqrt(dot(own_normal, own_normal)))
        gloss[on] = 0.0 if body.obj.person else 0.3
    to_lamp = room.lamp[:, None] - p
    to_lamp /= np.sqrt(dot(to_lamp, to_lamp))
    facing = dot(normal, to_lamp)
    colour *= room.ambient + (1.05 - room.ambient) * np.maximum(facing, 0) * lit
    on = np.flatnonzero(gloss)
    view = d[:, on] / np.sqrt(dot(d[:, on], d[:, on]))
    mirrored = dot(view, to_lamp[:, on]) - 2 * facing[on] * dot(view, normal[:, on])
    colour[:, on] += gloss[on] * lit[on] * np.maximum(mirrored, 0) ** 24
    return (255 * np.clip(colour, 0, 1)).T, normal
