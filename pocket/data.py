"""Scenes drawn once into memory-mapped arrays, so that training reads instead of drawing.

python -m pocket.data [count]      draws the training set (about 9 GB, minutes) and the validation set

scenes = load("train")       draws it first where it is missing
scenes.images[i]             and so on, see Scenes
"""

import functools
import json
import multiprocessing
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pocket.controls import Truth
from pocket.styles import STYLES, in_style, paint
from pocket.world import SIZE, make_scene

WORK = Path(__file__).parent / ".work"
COUNTS = {"train": 40_000, "validation": 1_000}
CHUNK = 250
MOST_OBJECTS = 3

FIELDS = {
    "images": (np.uint8, (SIZE, SIZE, 3)),
    "styled": (np.uint8, (SIZE, SIZE, 3)),
    "depth": (np.uint16, (SIZE, SIZE)),
    "normals": (np.uint8, (SIZE, SIZE, 3)),
    "segmentation": (np.uint8, (SIZE, SIZE)),
    "instances": (np.uint8, (SIZE, SIZE)),
    "boxes": (np.float32, (MOST_OBJECTS, 4)),
    "keypoints": (np.float32, (MOST_OBJECTS, 17, 3)),
}


@dataclass(frozen=True)
class Scenes:
    """Many scenes as arrays; the fields of `world.Scene` with a first axis.

    Attributes:
        folder: where they lie.
        images: uint8 [N, H, W, 3].
        styled: uint8 [N, H, W, 3], the same scenes painted in `styles`.
        depth: uint16 [N, H, W], 65535 = nearest.
        normals: uint8 [N, H, W, 3].
        segmentation: uint8 [N, H, W].
        instances: uint8 [N, H, W], 0 = background, k + 1 = objects[n][k].
        boxes: float32 [N, 3, 4]; rows beyond the scene's objects are zero.
        keypoints: float32 [N, 3, 17, 3]; row k belongs to objects[n][k], zero if that is no person.
        captions: N strings.
        objects: N lists of (colour, shape).
    """

    folder: Path
    images: NDArray[np.uint8]
    styled: NDArray[np.uint8]
    depth: NDArray[np.uint16]
    normals: NDArray[np.uint8]
    segmentation: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    captions: list[str]
    objects: list[list[tuple[str, str]]]

    def __len__(self) -> int:
        return len(self.captions)

    @functools.cached_property
    def styles(self) -> list[str]:
        """The style of each styled picture, in turn."""
        return [style_of(i) for i in range(len(self))]

    @functools.cached_property
    def styled_captions(self) -> list[str]:
        """The captions of the styled pictures."""
        return [in_style(caption, style_of(i)) for i, caption in enumerate(self.captions)]

    def truth(self, i: int) -> Truth:
        """Return what controls of scene `i` are drawn from."""
        return Truth(
            self.images[i],
            self.depth[i],
            self.segmentation[i],
            self.keypoints[i],
            self.normals[i],
            self.instances[i],
        )


def style_of(i: int) -> str:
    """Return the style that scene `i` is painted in."""
    return list(STYLES)[i % len(STYLES)]


def load(split: str = "train", count: int | None = None) -> Scenes:
    """Open the scenes of a split, drawing them first where they are missing.

    Args:
        split: one of `world.SPLITS`.
        count: number of scenes; that of COUNTS when None.
    """
    count = count or COUNTS[split]
    folder = WORK / "data" / f"{split}-{count}"
    if not all((folder / f"{name}.npy").exists() for name in FIELDS):  # or drawn before a field was added
        shutil.rmtree(folder, ignore_errors=True)
        _draw(folder, split, count)
    return open_scenes(folder)


def open_scenes(folder: Path) -> Scenes:
    """Open the scenes that lie in a folder."""
    words = json.loads((folder / "words.json").read_text())
    # Copy-on-write, as PyTorch takes no arrays that are read-only.
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="c") for name in FIELDS}
    objects = [[(colour, shape) for colour, shape in pairs] for pairs in words["objects"]]
    return Scenes(folder=folder, captions=words["captions"], objects=objects, **arrays)


def _draw(folder: Path, split: str, count: int) -> None:
    """Draw with all cores into a folder that takes its name only when it is complete."""
    partial_folder = folder.with_suffix(".partial")
    partial_folder.mkdir(parents=True, exist_ok=True)
    for name, (dtype, shape) in FIELDS.items():
        path = partial_folder / f"{name}.npy"
        np.lib.format.open_memmap(path, "w+", dtype, (count, *shape)).flush()
    captions: list[str] = []
    objects: list[list[tuple[str, str]]] = []
    start = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(os.cpu_count() or 1) as pool:
        draw = functools.partial(_draw_chunk, partial_folder, split, count)
        for chunk in pool.imap(draw, range(0, count, CHUNK)):
            for caption, pairs in chunk:
                captions.append(caption)
                objects.append(pairs)
            rate = len(captions) / (time.perf_counter() - start)
            print(f"\rdrawing {split}: {len(captions)}/{count}, {rate:.0f}/s", end="", flush=True)
    print()
    words = {"captions": captions, "objects": objects}
    (partial_folder / "words.json").write_text(json.dumps(words))
    partial_folder.rename(folder)


def _draw_chunk(folder: Path, split: str, count: int, first: int) -> list[tuple[str, list[tuple[str, str]]]]:
    """Draw the scenes `first` to `first + CHUNK` into the arrays; return their words."""
    cv2.setNumThreads(1)
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in FIELDS}
    words = []
    for i in range(first, min(first + CHUNK, count)):
        scene = make_scene(i, split)
        arrays["images"][i] = scene.image
        arrays["styled"][i] = paint(scene, style_of(i))
        arrays["depth"][i] = (scene.depth * 65535).round()
        arrays["normals"][i] = scene.normals
        arrays["segmentation"][i] = scene.segmentation
        arrays["instances"][i] = scene.instances
        arrays["boxes"][i, : len(scene.objects)] = scene.boxes
        people = [k for k, obj in enumerate(scene.objects) if obj.shape == "person"]
        arrays["keypoints"][i, people] = scene.keypoints
        words.append((scene.caption, [(obj.colour, obj.shape) for obj in scene.objects]))
    return words


if __name__ == "__main__":
    load("train", int(sys.argv[1]) if len(sys.argv) > 1 else None)
    load("validation")
