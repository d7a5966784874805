"""What steers the ControlNets, drawn once for all scenes: see `controls.py`.

python -m pocket.control_maps [count]        draws every kind for the training scenes
"""

import multiprocessing
import os
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pocket.controls import CONTROLS
from pocket.data import CHUNK, Scenes, load, open_scenes

FILE = "control-{kind}.npy"


def load_maps(scenes: Scenes, kind: str) -> NDArray[np.uint8]:
    """Return the control pictures [N, H, W, 3] of all scenes, drawing them first where they are missing."""
    path = scenes.folder / FILE.format(kind=kind)
    if not path.exists():
        unfinished = path.with_suffix(f".{os.getpid()}")
        np.lib.format.open_memmap(unfinished, "w+", np.uint8, scenes.images.shape).flush()
        with multiprocessing.get_context("spawn").Pool(os.cpu_count() or 1) as pool:
            draw = partial(_draw_chunk, scenes.folder, unfinished, kind)
            pool.map(draw, range(0, len(scenes), CHUNK), chunksize=1)
        unfinished.rename(path)
    return np.load(path, mmap_mode="c")


def _draw_chunk(folder: Path, path: Path, kind: str, first: int) -> None:
    """Draw the controls `first` to `first + CHUNK`."""
    cv2.setNumThreads(1)
    scenes = open_scenes(folder)
    maps = np.load(path, mmap_mode="r+")
    for i in range(first, min(first + CHUNK, len(scenes))):
        maps[i] = CONTROLS[kind].draw(scenes.truth(i))


if __name__ == "__main__":
    drawn = load("train", int(sys.argv[1]) if len(sys.argv) > 1 else None)
    for name in CONTROLS:
        load_maps(drawn, name)
