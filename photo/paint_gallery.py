"""Paints the gallery of styles that `restyle` knows by name: `python -m photo.paint_gallery`.

Each picture is made of strokes, cells or bands by a seed, after a manner of painting and not after any one
painting, so that nobody else has a right to them.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photo.conversion import WEIGHTS

GALLERY = WEIGHTS / "style" / "gallery"
SIDE = 768  # px, as painted
SAVED = 256  # px, as the network reads styles

Field = NDArray[np.float32]  # [SIDE, SIDE]
Canvas = NDArray[np.uint8]  # [SIDE, SIDE, 3], RGB
Colour = tuple[int, int, int]

_Y, _X = np.mgrid[:SIDE, :SIDE].astype(np.float32)


def noise(rng: np.random.Generator, scale: float, octaves: int = 2) -> Field:
    """Return smooth noise, about -1..1, whose largest waves are `scale` px long."""
    total = np.zeros((SIDE, SIDE), np.float32)
    for octave in range(octaves):
        cells = max(2, round(SIDE * 2**octave / scale))
        grid = rng.normal(size=(cells, cells)).astype(np.float32)
        total += cv2.resize(grid, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) / 2**octave
    return total / np.abs(total).max()


def palette(values: Field, colours: list[Colour]) -> Canvas:
    """Return colours blended along `values` (0..1)."""
    stops = np.linspace(0, 1, len(colours))
    channels = [np.interp(values, stops, channel) for channel in np.array(colours).T]
    return np.stack(channels, -1).astype(np.uint8)


def strokes(
    rng: np.random.Generator, ground: Canvas, angle: Field, count: int, length: float, width: tuple[int, int]
) -> Canvas:
    """Return `ground` under strokes of its own colours, lighter and darker, along `angle` (radians)."""
    canvas = ground.copy()
    for x, y in rng.uniform(0, SIDE - 1, (count, 2)):
        colour = ground[int(y), int(x)] + rng.normal(0, 26) + rng.normal(0, 9, 3)
        points = [(x, y)]
        for _ in range(6):
            x, y = points[-1]
            turn = angle[int(np.clip(y, 0, SIDE - 1)), int(np.clip(x, 0, SIDE - 1))]
            points.append((x + length / 6 * np.cos(turn), y + length / 6 * np.sin(turn)))
        line = np.round(points).astype(np.int32)
        cv2.polylines(
            canvas, [line], False, np.clip(colour, 0, 255).tolist(), int(rng.integers(*width)), cv2.LINE_AA
        )
    return canvas


def swirls(rng: np.random.Generator) -> Canvas:
    """Thick strokes turn around lights in a night sky."""
    angle = noise(rng, 500, 1) * 0.8
    glow = np.zeros((SIDE, SIDE), np.float32)
    for x, y, radius in ((560, 150, 110), (180, 220, 80), (390, 430, 95), (640, 520, 60), (120, 600, 70)):
        near = np.hypot(_X - x, _Y - y) / radius
        pull = np.exp(-((near / 1.6) ** 2))
        angle += pull * (np.arctan2(_Y - y, _X - x) + np.pi / 2 - angle)
        glow = np.maximum(glow, np.exp(-(near**2)))
    sky = np.clip(0.45 + 0.42 * noise(rng, 150) + 0.9 * glow, 0, 1)
    sky[glow < 0.12] *= 0.72
    ground = palette(
        sky, [(12, 20, 62), (24, 52, 122), (52, 102, 172), (126, 172, 196), (232, 206, 96), (252, 232, 150)]
    )
    return strokes(rng, ground, angle, 9000, 46, (4, 9))


def dusk(rng: np.random.Generator) -> Canvas:
    """Wavering bands of orange and red over a dark blue bay."""
    bend = 60 * noise(rng, 420) + 16 * noise(rng, 130)
    height = (_Y + bend) / SIDE
    bands = np.clip(height + 0.10 * np.sin(height * 42), 0, 1)
    ground = palette(
        bands,
        [
            (190, 42, 22),
            (238, 112, 28),
            (250, 178, 64),
            (226, 92, 34),
            (120, 62, 60),
            (28, 48, 88),
            (18, 62, 72),
            (64, 58, 36),
        ],
    )
    slope = np.arctan(np.gradient(bend, axis=1) * -1)
    return strokes(rng, ground, slope.astype(np.float32), 6000, 90, (4, 10))


def waves(rng: np.random.Generator) -> Canvas:
    """Scales of waves with foam, as printed from wood in indigo."""
    canvas = np.full((SIDE, SIDE, 3), (236, 226, 200), np.uint8)
    blues = [(24, 42, 92), (44, 84, 142), (98, 146, 178), (172, 198, 198)]
    step = 300
    for row, y in enumerate(range(-20, SIDE + 2 * step, step // 3)):
        for x in range(-step, SIDE + step, step):
            centre = (x + (row % 2) * step // 2 + int(rng.integers(-30, 31)), y + int(rng.integers(-16, 17)))
            radius = int(step * rng.uniform(0.52, 0.62))
            for ring, part in enumerate((1.0, 0.9, 0.74, 0.62, 0.46, 0.34, 0.18)):
                fill = (244, 238, 220) if ring % 2 else blues[int(rng.integers(len(blues)))]
                cv2.circle(canvas, centre, round(radius * part), fill, -1, cv2.LINE_AA)
                cv2.circle(canvas, centre, round(radius * part), (14, 24, 56), 4, cv2.LINE_AA)
            for turn in np.linspace(np.pi, 2 * np.pi, 15):
                at = (centre[0] + int(radius * np.cos(turn)), centre[1] + int(radius * np.sin(turn)))
                cv2.circle(canvas, at, int(rng.integers(7, 16)), (250, 246, 232), -1, cv2.LINE_AA)
                cv2.circle(canvas, at, 15, (14, 24, 56), 3, cv2.LINE_AA)
    return canvas


def _cells(rng: np.random.Generator, count: int) -> tuple[NDArray[np.int32], Field, Field]:
    """Return the nearest of `count` points for every pixel, how far it is and how much farther the next."""
    points = rng.uniform(-30, SIDE + 30, (count, 2)).astype(np.float32)
    distances = np.stack([np.hypot(_X - x, _Y - y) for x, y in points])
    order = np.argpartition(distances, 1, axis=0)[:2]
    first, second = np.sort(np.take_along_axis(distances, order, 0), axis=0)
    return distances.argmin(0).astype(np.int32), first, second - first


def glass(rng: np.random.Generator) -> Canvas:
    """Panes of glass in lead."""
    pane, away, border = _cells(rng, 130)
    colours = np.array(
        [
            (176, 22, 30),
            (20, 60, 150),
            (240, 178, 30),
            (24, 120, 72),
            (222, 96, 26),
            (90, 40, 130),
            (30, 140, 170),
            (244, 222, 150),
        ]
    )
    chosen = colours[rng.integers(len(colours), size=130)][pane].astype(np.float32)
    light = 1.12 - 0.5 * np.clip(away / 60, 0, 1) + 0.16 * noise(rng, 40)
    picture = np.clip(chosen * light[..., None], 0, 255)
    picture[border < 11] = (16, 14, 16)
    return picture.astype(np.uint8)


def facets(rng: np.random.Generator) -> Canvas:
    """Planes that cut each other, in ochre, umber and grey."""
    canvas = palette(
        (_Y + 90 * noise(rng, 300)).clip(0, SIDE - 1) / SIDE, [(120, 104, 84), (176, 148, 104), (86, 82, 80)]
    )
    colours = [
        (206, 172, 112),
        (150, 108, 62),
        (92, 70, 50),
        (64, 66, 70),
        (124, 130, 128),
        (222, 206, 168),
        (44, 40, 40),
        (112, 124, 96),
    ]
    for _ in range(260):
        x, y = rng.uniform(-40, SIDE + 40, 2)
        size = rng.uniform(40, 150)
        turns = np.sort(rng.uniform(0, 2 * np.pi, 4))
        points = np.stack([x + size * np.cos(turns), y + size * np.sin(turns)], 1)
        area = np.zeros((SIDE, SIDE), np.uint8)
        cv2.fillPoly(area, [points.astype(np.int32)], 255, cv2.LINE_AA)
        slope = rng.uniform(0, 2 * np.pi)
        shade = 0.5 + ((_X - x) * np.cos(slope) + (_Y - y) * np.sin(slope)) / (2.2 * size)
        alpha = (area / 255 * np.clip(shade, 0.1, 1) * 0.95)[..., None]
        canvas = (canvas * (1 - alpha) + np.array(colours[int(rng.integers(len(colours)))]) * alpha).astype(
            np.uint8
        )
        cv2.polylines(canvas, [points.astype(np.int32)[:3]], False, (32, 26, 24), 3, cv2.LINE_AA)
    return strokes(rng, canvas, noise(rng, 200, 1) * 3, 2600, 16, (3, 6))


def ink(rng: np.random.Generator) -> Canvas:
    """Hatching with a pen on cream paper."""
    canvas = np.full((SIDE, SIDE, 3), (240, 230, 208), np.uint8)
    dark = noise(rng, 190, 3) * 0.5 + 0.5
    for threshold, turn in ((0.62, 0.7), (0.52, -0.75), (0.42, 0.1), (0.34, 1.5)):
        for x, y in rng.uniform(0, SIDE - 1, (1500, 2)):
            if dark[int(y), int(x)] < threshold:
                tilt = turn + rng.normal(0, 0.07)
                reach = rng.uniform(12, 34)
                ends = [
                    (x - reach * np.cos(tilt), y - reach * np.sin(tilt)),
                    (x + reach * np.cos(tilt), y + reach * np.sin(tilt)),
                ]
                start, end = (tuple(map(int, point)) for point in ends)
                cv2.line(canvas, start, end, (34, 28, 30), int(rng.integers(1, 4)), cv2.LINE_AA)
    return canvas


def dots(rng: np.random.Generator) -> Canvas:
    """Points of pure colour, warm in the light and blue in the shade."""
    value = np.clip(0.5 + 0.6 * noise(rng, 260), 0, 1)
    ground = palette(
        value, [(34, 44, 110), (60, 110, 90), (120, 160, 70), (240, 200, 90), (250, 150, 90), (250, 228, 180)]
    )
    canvas = ground.copy()
    for x, y in rng.uniform(0, SIDE - 1, (15000, 2)):
        colour = ground[int(y), int(x)].astype(np.float32)
        if rng.random() < 0.28:  # the complement makes it shine
            colour = 255 - colour
        colour = np.clip(colour + rng.normal(0, 22, 3), 0, 255)
        cv2.circle(canvas, (int(x), int(y)), int(rng.integers(5, 9)), colour.tolist(), -1, cv2.LINE_AA)
    return canvas


def marble(rng: np.random.Generator) -> Canvas:
    """Colours drawn through each other on water, as for the paper of books."""
    warp = 150 * noise(rng, 330) + 55 * noise(rng, 120)
    comb = np.sin((_X + warp) / 15 + 2.6 * noise(rng, 240)) * 0.5 + 0.5
    bands = (comb * 0.55 + (0.5 + 0.5 * np.sin((_Y + 1.4 * warp) / 46)) * 0.45).astype(np.float32)
    steps = np.floor(bands * 8) / 7
    picture = palette(
        np.clip(steps, 0, 1),
        [
            (130, 18, 36),
            (24, 40, 72),
            (212, 76, 48),
            (242, 226, 192),
            (20, 118, 124),
            (232, 170, 62),
            (24, 40, 72),
            (150, 30, 44),
        ],
    )
    return cv2.medianBlur(picture, 5)


PAINTERS: dict[str, Callable[[np.random.Generator], Canvas]] = {
    painter.__name__: painter for painter in (swirls, dusk, waves, glass, facets, ink, dots, marble)
}


def paint(name: str) -> Image.Image:
    """Return the picture of a style, SAVED x SAVED px."""
    rng = np.random.default_rng(sum(map(ord, name)))
    return Image.fromarray(PAINTERS[name](rng)).resize((SAVED, SAVED), Image.Resampling.LANCZOS)


def save(folder: Path, name: str) -> None:
    """Paint a style into a folder."""
    paint(name).save(folder / f"{name}.jpg", quality=85, subsampling=0, optimize=True)


def main() -> None:
    """Paint all styles."""
    GALLERY.mkdir(parents=True, exist_ok=True)
    for name in PAINTERS:
        save(GALLERY, name)


if __name__ == "__main__":
    main()
