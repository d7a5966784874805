"""A scene: the picture of a seed with everything that is true of it."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pocket.world.kinds import CLASSES, FAR, KEYPOINTS, NEAR, SIZE, SPLITS, Array
from pocket.world.placing import SceneObject, describe, place
from pocket.world.room import Room
from pocket.world.tracing import Body, Hits, shade, shadow, trace


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
        placed = place(rng, room, count, split)
        if placed is not None:
            scene = render(room, placed)
            if scene is not None:
                return scene


_Y, _X = np.mgrid[:SIZE, :SIZE].astype(np.float32).reshape(2, -1)


def render(room: Room, objects: tuple[SceneObject, ...]) -> Scene | None:
    """Draw the scene; None when an object is mostly hidden."""
    bodies = [Body(obj) for obj in objects]
    d = room.rays(_X, _Y)
    hits = trace(room, bodies, d)
    visible = [np.count_nonzero(hits.instance == i + 1) for i in range(len(bodies))]
    if any(seen < 0.4 * max(all_, 150) for seen, all_ in zip(visible, hits.counts, strict=True)):
        return None
    lit = shadow(room, bodies, d, hits)
    colours, normals = shade(room, bodies, d, hits, lit.ravel())
    image = colours.reshape(SIZE, SIZE, 3)

    # Four rays instead of one wherever neighbours differ.
    contrast = cv2.morphologyEx(image, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    y, x = np.nonzero(cv2.inRange(contrast, (0, 0, 0), (20, 20, 20)) == 0)
    offsets = np.array([(-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25)], np.float32)
    fine = room.rays(*(np.stack([x, y])[:, None] + offsets.T[:, :, None]).reshape(2, -1))
    fine_lit = np.tile(lit[y, x], 4)
    colours, _ = shade(room, bodies, fine, trace(room, bodies, fine), fine_lit)
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
        caption=describe(room, objects),
        objects=objects,
        edges=cv2.Canny(picture, 100, 200),
    )


def _encode_normals(room: Room, normals: Array) -> NDArray[np.uint8]:
    """Return unit normals [3, n] of the world as a picture in the camera's frame."""
    seen = np.stack([-normals[0], room.up @ normals, -room.forward @ normals], axis=1)
    return ((seen + 1) * 127.5).round().astype(np.uint8).reshape(SIZE, SIZE, 3)


def _keypoints(room: Room, body: Body, instance: int, hits: Hits) -> Array:
    """Return [17, 3]: x, y, and 0 where another object stands before the joint."""
    assert body.obj.person is not None
    points = room.project(body.outside(body.obj.person.joints))
    x, y = points[:, :2].round().astype(int).T
    within = (x >= 0) & (x < SIZE) & (y >= 0) & (y < SIZE)
    pixel = np.clip(y, 0, SIZE - 1) * SIZE + np.clip(x, 0, SIZE - 1)
    other = (hits.instance[pixel] != 0) & (hits.instance[pixel] != instance)
    hidden = other & (hits.t[pixel] < points[:, 2])
    return np.concatenate([points[:, :2], (within & ~hidden)[:, None]], axis=1)
