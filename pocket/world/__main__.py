"""Look at the world, or measure how fast it is drawn."""

import argparse
import time

import cv2
import numpy as np
from numpy.typing import NDArray

from pocket.world import PALETTE, SPLITS, Scene, make_scene


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
