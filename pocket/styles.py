"""Scenes of the pocket world in the manners of four artists, painted from what is true of them.

    python -m pocket.styles sheet.png        a contact sheet to look at

Each manner keeps where things are and, as far as it allows, what they are: Banksy's stencils have
black, white and one red, so there a colour can be told only where it is red; shapes can always be.
A painting is a function of the scene alone, so equal scenes give equal paintings.
"""

import sys
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from pocket.world import COLOURS, KEYPOINTS, SIZE, Scene, make_scene
from pocket.world.kinds import Array

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]

FORM = "{caption}, in the style of {style}"
"""How a caption names its style. Product and training write it alike."""

COLOURLESS = ("Banksy",)
"""Styles in which only red things keep their colour."""

_Y, _X = np.mgrid[:SIZE, :SIZE].astype(np.float32)


def paint(scene: Scene, style: str) -> Picture:
    """Return the scene [H, W, 3] in a style.

    Args:
        scene: what is painted.
        style: one of STYLES.
    """
    rng = np.random.default_rng([list(STYLES).index(style), *scene.image[::16, ::16].ravel()])
    return STYLES[style](scene, rng)


def in_style(caption: str, style: str) -> str:
    """Return the caption of a scene that is painted in a style."""
    return FORM.format(caption=caption, style=style)


def _masks(scene: Scene) -> list[Mask]:
    return [scene.instances == i + 1 for i in range(len(scene.objects))]


def _tint(colour: str) -> Array:
    return np.array(COLOURS[colour], np.float32)


def _grow(mask: Mask, radius: int) -> Mask:
    size = 2 * radius + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return cv2.dilate(mask.astype(np.uint8), kernel) > 0


def _soft(mask: Mask, sigma: float = 0.6) -> Array:
    """Return a mask [H, W, 1] in 0..1 with softened steps."""
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma)[..., None]


def _over(picture: Array, colour: Array, where: Array) -> Array:
    return picture + (colour - picture) * where


def _finish(picture: Array) -> Picture:
    return np.clip(picture, 0, 255).round().astype(np.uint8)


# ---- Banksy: stencils on a wall ---------------------------------------------------------------

INK, CHALK, RED = (np.array(c, np.float32) for c in ((22, 22, 24), (238, 236, 232), (214, 24, 34)))
LIT = 0.4  # of a thing's pixels are left white
HEART_PX = (5.0, 8.0)


def banksy(scene: Scene, rng: np.random.Generator) -> Picture:
    """Spray stencils on a white wall: ink for what lies in shade, drips, spatter on the ground.

    The one red is for what is red; where nothing is, a balloon in the shape of a heart has it.
    """
    picture = np.broadcast_to(CHALK, (SIZE, SIZE, 3)).copy()
    grain = cv2.GaussianBlur(rng.normal(0, 5, (SIZE, SIZE)).astype(np.float32), (0, 0), 2)
    ground = np.clip((_Y - 0.6 * SIZE) / (0.4 * SIZE), 0, 1)
    picture = _over(picture, INK, _soft(grain < 2.6 * ground - 2))
    grey = cv2.GaussianBlur(scene.image.astype(np.float32).mean(2), (0, 0), 1.2)
    if all(obj.colour != "red" for obj in scene.objects):
        picture = _balloon(picture, scene.instances > 0, rng)
    for mask, obj in zip(_masks(scene), scene.objects, strict=True):
        ink = RED if obj.colour == "red" else INK
        picture = _over(picture, CHALK, _soft(_grow(mask, 4)))
        picture = _over(picture, ink, _soft(_grow(mask, 2)))
        picture = _over(picture, CHALK, _soft(mask & (grey > np.quantile(grey[mask], 1 - LIT))))
        picture = _drip(picture, mask, ink, rng)
    return _finish(picture)


def _balloon(picture: Array, taken: Mask, rng: np.random.Generator) -> Array:
    """Let a balloon fly where the most room is, of some places in the upper half."""
    room = cv2.distanceTransform((~taken).astype(np.uint8), cv2.DIST_L2, 5)
    places = rng.integers((12, 12), (SIZE // 2, SIZE - 12), (8, 2))
    y, x = max(places.tolist(), key=lambda place: room[tuple(place)])
    radius = float(min(rng.uniform(*HEART_PX), max(room[y, x] - 2, 3)))
    u, v = (_X - x) / radius, (y - _Y) / radius
    heart = (u * u + v * v - 0.8) ** 3 < u * u * v**3  # the curve of the sextic heart
    string = np.zeros(taken.shape, np.float32)
    end = (x + int(rng.integers(-4, 5)), int(y + 3.2 * radius))
    cv2.line(string, (x, int(y + radius)), end, 1, 1, cv2.LINE_AA)
    return _over(_over(picture, INK, string[..., None]), RED, _soft(heart))


def _drip(picture: Array, mask: Mask, ink: Array, rng: np.random.Generator) -> Array:
    """Let wet paint run down from a few places at the foot of a stencil."""
    runs = np.zeros(mask.shape, np.float32)
    for x in rng.choice(np.flatnonzero(mask.any(0)), 3):
        y = int(np.flatnonzero(mask[:, x]).max())
        cv2.line(runs, (int(x), y - 3), (int(x), y + int(rng.integers(6, 16))), 1, 2)
    return _over(picture, ink, _soft(runs > 0, 0.5))


# ---- Delaunay: rings and arcs of pure colours -------------------------------------------------

DISCS = 4
RING_PX = 13.0  # width of a ring of the ground
PURITY = 0.6  # of the ground's colours; the rest is white
PAPER = 248.0


def delaunay(scene: Scene, rng: np.random.Generator) -> Picture:
    """Lay discs of rings in quarters, and things as rings of their own colour over them."""
    centres = rng.uniform(-10, SIZE + 10, (DISCS, 2))
    distances = np.stack([np.hypot(_X - x, _Y - y) for x, y in centres])
    pure = PURITY * np.array(list(COLOURS.values()), np.float32) + (1 - PURITY) * PAPER
    picture = np.empty((SIZE, SIZE, 3), np.float32)
    for k, (x, y) in enumerate(centres):
        quarter = np.floor(np.arctan2(_Y - y, _X - x) / (np.pi / 2) - rng.random()).astype(int) % 4
        ring = (distances[k] / RING_PX).astype(int)
        colours = pure[rng.integers(len(pure), size=(4, ring.max() + 1))]
        own = distances.argmin(0) == k
        picture[own] = colours[quarter, ring][own]
    for mask, obj in zip(_masks(scene), scene.objects, strict=True):
        y, x = np.nonzero(mask)
        centre_x, centre_y = (v.mean() + rng.uniform(-0.1, 0.1) * np.ptp(v) for v in (x, y))
        ring = np.hypot(_X - centre_x, _Y - centre_y) / max(np.sqrt(len(x)) / 6, 3.5)
        tint = _tint(obj.colour)
        tones = np.stack([tint, 0.66 * tint, 0.6 * tint + 0.4 * PAPER])
        picture = _over(picture, np.float32(PAPER), _soft(_grow(mask, 2)))
        picture = _over(picture, tones[ring.astype(int) % 3], _soft(mask))
    return _finish(picture)


# ---- Malevich: flat tilted quadrilaterals on white -------------------------------------------

WHITE = 244.0
BARS = 3
TILT = (8.0, 18.0)  # degrees
LIMB = 0.11  # width of a limb, of a person's height
LIMBS = (
    ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"), ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
    ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
)  # fmt: skip


def malevich(scene: Scene, rng: np.random.Generator) -> Picture:
    """Float things as flat figures, a little tilted, and a few slender black bars, on white."""
    picture = np.full((SIZE, SIZE, 3), WHITE, np.float32)
    tilt = float(rng.choice([-1, 1]) * rng.uniform(*TILT))
    for _ in range(BARS):
        size = rng.uniform(18, 44), rng.uniform(2.5, 5)
        bar = cv2.boxPoints((rng.uniform(8, SIZE - 8, 2).tolist(), size, tilt + rng.choice([0, 90])))
        picture = _figure(picture, bar, INK)
    people = iter(scene.keypoints)
    figures = []
    for mask, obj in zip(_masks(scene), scene.objects, strict=True):
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        box = np.array([x, y, width, height], np.float32)
        figures.append((obj, _body(next(people), box) if obj.person else _solid(obj.shape, box, tilt)))
    for obj, parts in sorted(figures, key=lambda figure: -figure[0].position[1]):  # far ones first
        for points, brightness in parts:
            tint = _tint(obj.colour)
            shade = brightness * tint if brightness <= 1 else tint + (brightness - 1) * (WHITE - tint)
            picture = _figure(picture, points, shade)
    return _finish(picture)


def _figure(picture: Array, points: Array, colour: Array) -> Array:
    """Fill a convex polygon [points, 2] in px."""
    cover = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillConvexPoly(cover, (np.asarray(points) * 16).round().astype(np.int32), 255, cv2.LINE_AA, 4)
    return _over(picture, colour, (cover / np.float32(255))[..., None])


def _solid(shape: str, box: Array, tilt: float) -> list[tuple[Array, float]]:
    """Return the flat figures of a solid with their brightness (above 1: towards white)."""
    centre, (width, height) = box[:2] + box[2:] / 2, box[2:] / 2
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    parts: list[tuple[Array, float]]
    if shape == "sphere":
        parts = [(circle, 1.0)]
    elif shape == "cone":
        parts = [(np.array([(0, -1), (1, 1), (-1, 1)]), 1.0)]
    elif shape == "cube":
        parts = [
            (0.92 * square, 1.0),
            (np.array([(0.42, -0.92), (0.92, -0.92), (0.92, 0.92), (0.42, 0.92)]), 0.66),
        ]
    else:  # a cylinder is a tall board under a round lid
        board = square * (0.72, 0.8) + (0, 0.2)
        parts = [(board, 1.0), (circle * (0.72, 0.3) - (0, 0.6), 1.45)]
    cos, sin = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    turn = np.array([[cos, sin], [-sin, cos]])
    return [((points * (width, height)) @ turn + centre, tone) for points, tone in parts]


def _body(keypoints: Array, box: Array) -> list[tuple[Array, float]]:
    """Return a person's limbs as boards, a board for the trunk, a round head."""
    joint = dict(zip(KEYPOINTS, keypoints[:, :2], strict=True))
    height = float(np.ptp(keypoints[:, 1])) * 1.12
    parts: list[tuple[Array, float]] = []
    for start, end in LIMBS:
        along = joint[end] - joint[start]
        size = float(np.linalg.norm(along)) + 0.4 * LIMB * height, LIMB * height
        angle = float(np.degrees(np.arctan2(along[1], along[0])))
        middle = (joint[start] + joint[end]) / 2
        leg = "knee" in start or "hip" in start
        parts.append((cv2.boxPoints((middle.tolist(), size, angle)), 0.66 if leg else 1.0))
    trunk = [joint[name] for name in ("left_shoulder", "right_shoulder", "right_hip", "left_hip")]
    centre = np.mean(trunk, axis=0)
    parts.append((centre + 1.35 * (np.array(trunk) - centre), 1.0))
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    head = np.stack([np.cos(angles), np.sin(angles)], axis=1) * 0.115 * height
    parts.append((head + (joint["left_ear"] + joint["right_ear"]) / 2, 0.4))
    return parts


# ---- van Gogh: strokes that swirl along the contours ------------------------------------------

STROKE_STEPS, STEP_PX = 7, 1.2  # a stroke goes as many steps to either side
BRISTLE_PX, BLOB_PX = 1.1, 2.9  # of what gives relief, of what changes colour
EDDY_PX = 11.0
SKY = np.array([(24, 44, 120), (70, 120, 190), (236, 205, 96)], np.float32)
FIELD = np.array([(96, 82, 26), (170, 140, 50), (222, 190, 100)], np.float32)
OUTLINE = np.array((18, 26, 70), np.float32)


def van_gogh(scene: Scene, rng: np.random.Generator) -> Picture:
    """Brush a night sky of eddies over a field, and things along their outlines."""
    things = (scene.instances > 0).astype(np.uint8)
    inside, outside = (cv2.distanceTransform(m, cv2.DIST_L2, 5) for m in (things, 1 - things))
    hills = cv2.GaussianBlur(rng.normal(0, 1, (SIZE, SIZE)).astype(np.float32), (0, 0), EDDY_PX)
    hills *= 14 / hills.std()
    # Strokes follow the contours of a height: eddies far from things, outlines near and on them.
    near = np.exp(-outside / 7)
    height = cv2.GaussianBlur(inside - outside * near + hills * (1 - near) * (things == 0), (0, 0), 1.5)
    strokes, blobs = _brush(height, rng, BRISTLE_PX, BLOB_PX)
    light = np.clip(0.5 + 0.55 * blobs, 0, 1)[..., None] * 2
    ground = (scene.segmentation == 1)[..., None]
    palette = np.where(ground[..., None, :], FIELD, SKY)
    low, middle, high = np.moveaxis(palette, -2, 0)
    picture = np.where(light < 1, low + (middle - low) * light, middle + (high - middle) * (light - 1) ** 2)
    picture = picture * (1 + 0.16 * strokes[..., None])
    own = scene.image.astype(np.float32)
    for mask, obj in zip(_masks(scene), scene.objects, strict=True):
        tint = _tint(obj.colour)
        shade = own.mean(2)[mask].mean()
        body = 0.45 * own + 0.55 * tint * np.clip(own.mean(2) / shade, 0.6, 1.3)[..., None]
        body = body * (1 + 0.22 * strokes[..., None])
        picture = _over(picture, OUTLINE, _soft(_grow(mask, 1)))
        picture = _over(picture, body, _soft(mask))
    return _finish(picture)


def _brush(height: Array, rng: np.random.Generator, *bristles_px: float) -> tuple[Array, ...]:
    """Return noises [H, W] of deviation 1, smeared along the contours of a height.

    Source: Cabral and Leedom 1993, line integral convolution.
    """
    down, across = np.gradient(height)
    norm = (np.hypot(down, across) + 1e-6) / STEP_PX
    step = np.stack([-down / norm, across / norm], axis=2).astype(np.float32)
    white = rng.normal(0, 1, (len(bristles_px), SIZE, SIZE)).astype(np.float32)
    noise = np.stack(
        [cv2.GaussianBlur(w, (0, 0), px) for w, px in zip(white, bristles_px, strict=True)], axis=2
    )
    total = noise.copy()
    for side in (1, -1):
        at = np.stack([_X, _Y], axis=2)
        for _ in range(STROKE_STEPS):
            at += side * cv2.remap(step, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            total += cv2.remap(noise, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return tuple(np.moveaxis(total / total.std((0, 1)), 2, 0))


STYLES: dict[str, Callable[[Scene, np.random.Generator], Picture]] = {
    "Banksy": banksy,
    "Robert Delaunay": delaunay,
    "Kazimir Malevich": malevich,
    "Vincent van Gogh": van_gogh,
}
"""The artists and how each paints."""


def main() -> None:
    """Write a contact sheet: scenes, and below each its paintings."""
    scenes = [make_scene(seed) for seed in range(12)]
    columns = [np.concatenate([s.image, *(paint(s, style) for style in STYLES)]) for s in scenes]
    cv2.imwrite(sys.argv[1], np.concatenate(columns, axis=1)[:, :, ::-1])
    print("\n".join(scene.caption for scene in scenes))


if __name__ == "__main__":
    main()
