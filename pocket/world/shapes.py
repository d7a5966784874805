"""How rays meet shapes, and what is seen there.

Every shape has height 1 and stands on the origin of its own frame.
"""

import numpy as np
from numpy.typing import NDArray

from pocket.world.kinds import COLOURS, Array
from pocket.world.people import Person
from pocket.world.placing import SceneObject


def dot(a: Array, b: Array) -> Array:
    """Return the products [n] of vectors [3, n]."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _nearest_root(a: Array, b: Array, c: Array) -> Array:
    """Return the smaller root of a t^2 + 2 b t + c, inf where there is none."""
    disc = b * b - a * c
    return np.where(disc > 0, (-b - np.sqrt(np.maximum(disc, 0))) / a, np.inf)


def hit(obj: SceneObject, o: Array, d: Array) -> tuple[Array, NDArray[np.intp] | None]:
    """Return the ray parameter [n] of the first hit (inf = none) and the part hit [n].

    Args:
        obj: what is looked for.
        o: origins [3, n] or [3, 1] in its own frame.
        d: directions [3, n] in its own frame.
    """
    if obj.person:
        return _hit_capsules(obj.person, o, d)
    if obj.shape == "sphere":
        c = o - np.array([[0], [0.5], [0]], np.float32)
        return _nearest_root(dot(d, d), dot(c, d), dot(c, c) - 0.25), None
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
    toward = dot(o, d) - middle @ d
    away = dot(o, o) - 2 * middle @ o + (middle * middle).sum(1, keepdims=True)
    part, ray = np.nonzero(toward * toward > (away - reach * reach) * dot(d, d))

    d, axis, r = d[:, ray], axis[part].T, person.radius[part]
    o = (o if o.shape[1] == 1 else o[:, ray]) - person.start[part].T
    aa, dd, ad, ao, od = (dot(u, v) for u, v in ((axis, axis), (d, d), (axis, d), (axis, o), (o, d)))
    outside = dot(o, o) - r * r
    side = _nearest_root(aa * dd - ad * ad, aa * od - ao * ad, aa * outside - ao * ao)
    y = ao + np.where(np.isfinite(side), side, 0) * ad
    top = y > 0
    ball = _nearest_root(dd, od - top * ad, outside + top * (aa - 2 * ao))
    ball[np.isinf(side)] = np.inf
    t = np.full(toward.shape, np.inf, np.float32)
    t[part, ray] = np.where((y > 0) & (y < aa), side, ball)
    first = t.argmin(axis=0)
    return np.take_along_axis(t, first[None], axis=0)[0], first


def look(obj: SceneObject, p: Array, part: NDArray[np.intp] | None) -> tuple[Array, Array]:
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
    along = np.clip(dot(p - a, axis) / dot(axis, axis), 0, 1)
    normal = p - a - along * axis
    tint = person.tint[part].T.copy()
    head = part == len(person.start) - 1
    x, y, z = normal / 0.125
    tint[:, head & ((y > 0.5) | (z > 0.25))] = person.hair[:, None]
    eyes = (np.abs(np.abs(x) - 0.4) < 0.15) & (np.abs(y - 0.12) < 0.16)
    mouth = (np.abs(x) < 0.3) & (np.abs(y + 0.45) < 0.09)
    tint[:, head & (z < 0) & (eyes | mouth)] *= 0.25
    return tint, normal
