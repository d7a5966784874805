"""Measure every pocket model on scenes that training did not see; write QUALITY.md, samples.png.

    python -m pocket.evaluate        about three minutes on two cores

The split "seen" has the pairs of colour and shape that training had, in other scenes; every scene
of "unseen" has at least one pair that training never showed. What drawn pictures show is judged by
`weights/judge` (a classifier trained apart), by Canny and by the readers (segmentation, depth,
pose), which no drawing model was trained with. The ceiling is what the same judge says of real
scenes, or for edges of real scenes that went through the VAE.
"""

import functools
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pocket import (
    photographs,
    train_caption,
    train_clip,
    train_depth,
    train_judge,
    train_people,
    train_pose,
    train_segmentation,
    train_upscale,
)
from pocket.bundle import (
    CONTROLS,
    READERS,
    Picture,
    draw,
    find_poses,
    load_controlnet,
    pipeline,
    processor,
    reader,
)
from pocket.controls import CONTROLS as DRAWN_BY
from pocket.data import Scenes, load
from pocket.pictures import to_tensor
from pocket.samples import write_samples
from pocket.train_vae import edge_f1
from pocket.training import HERE, write_quality_section
from pocket.world import COLOURS, SHAPES, UNSEEN

SCENES = 300  # of each split, for the readers
DRAWN = {"seen": 48, "unseen": 24}  # scenes to draw anew under each ControlNet
ONE_OBJECT = {"seen": 3, "unseen": 8}  # pictures of each pair of colour and shape
HELD_OUT = ("seen", "unseen")
# What is drawn is measured here and not where it was trained.
CARDS = {"text to image": "stable-diffusion"} | {
    f"control by {kind}": f"controlnet-{kind}" for kind in CONTROLS
}


@dataclass(frozen=True)
class Floor:
    """What a model has to reach on the split "seen".

    Args:
        value: the least value, or the most when `at_most`.
        at_most: smaller is better.
        goal: what we want, where the committed weights do not reach it yet; `value` is then what
            they reach, so that they do not get worse.
    """

    value: float
    at_most: bool = False
    goal: float | None = None

    def __str__(self) -> str:
        sign = "≤" if self.at_most else "≥"
        return f"{sign} {self.value:g}" + (f" (goal {sign} {self.goal:g})" if self.goal else "")

    def holds(self, value: float) -> bool:
        """Return whether a measured value is good enough."""
        return value <= self.value if self.at_most else value >= self.value

    def short_of_goal(self, value: float) -> bool:
        """Return whether a measured value misses what we want."""
        goal = self.value if self.goal is None else self.goal
        return value > goal if self.at_most else value < goal


FLOORS = {
    "text to image: colour": Floor(0.97),
    "text to image: colour and shape": Floor(0.85),
    "control by segmentation: foreground IoU": Floor(0.78),
    "control by segmentation: IoU won by it": Floor(0.35),
    "control by edges: F1 (±1 px)": Floor(0.7, goal=0.75),
    "control by depth: Pearson": Floor(0.85),
    "control by pose: PCK@0.2": Floor(0.7),
    "CLIP: right caption first of 32": Floor(0.95),
    "depth: MAE on objects": Floor(0.08, at_most=True),
    "segmentation: mIoU": Floor(0.88),
    "pose: PCK@0.2": Floor(0.9),
    "people: AP50": Floor(0.9),
    "caption: every colour and shape right": Floor(0.85),
    "upscale: dB over bicubic on photographs": Floor(0.5),
    "ten-step picture on one core, s": Floor(0.5, at_most=True),
    "whole bundle loaded, GB resident": Floor(1.2, at_most=True),
}


@dataclass(frozen=True)
class Score:
    """A measured value and, where a judge is used, what the judge says of real scenes."""

    value: float
    ceiling: float | None = None


Scores = dict[str, Score]


# ---- the readers ----------------------------------------------------------------------------


def segmentation(split: str) -> Scores:
    """Measure the Segformer."""
    model = reader("segmentation")
    return {"segmentation: mIoU": Score(train_segmentation.measure(model, scenes_of(split), SCENES)["mIoU"])}


def depth(split: str) -> Scores:
    """Measure the depth model."""
    model = reader("depth")
    found = train_depth.measure(model, scenes_of(split), SCENES)
    return {f"depth: {name}": Score(value) for name, value in found.items()}


def people(split: str) -> Scores:
    """Measure the people detector."""
    model = reader("people")
    return {
        "people: AP50": Score(
            train_people.measure(model, processor("people"), scenes_of(split), SCENES)["AP50"]
        )
    }


def pose(split: str) -> Scores:
    """Measure the key points of people in true boxes."""
    scenes = scenes_of(split)
    model = reader("pose")
    found = train_pose.measure(model, processor("pose"), scenes, train_pose.find_people(scenes))
    return {f"pose: {name}": Score(value) for name, value in found.items()}


def caption(split: str) -> Scores:
    """Measure the captions."""
    model = reader("caption")
    found = train_caption.measure(model, processor("caption").tokenizer, scenes_of(split), SCENES)
    return {f"caption: {name}": Score(value) for name, value in found.items()}


def clip(split: str) -> Scores:
    """Measure CLIP."""
    model = reader("clip")
    found = train_clip.measure(model, processor("clip").tokenizer, scenes_of(split), SCENES)
    return {f"CLIP: {name}": Score(value) for name, value in found.items()}


def upscale(split: str) -> Scores:
    """Measure super-resolution, on photographs (with "seen") and on our own scenes."""
    model = reader("upscale")
    scenes = [Image.fromarray(image) for image in scenes_of(split).images[:50]]
    sets = {"scenes": scenes}
    if split == "seen":
        sets["photographs"] = [photographs.load(photo) for photo in photographs.HELD_OUT]
    return {
        f"upscale: dB over bicubic on {name}": Score(
            train_upscale.measure(model, processor("upscale"), pictures)["gain over bicubic, dB"]
        )
        for name, pictures in sets.items()
    }


# ---- what is drawn --------------------------------------------------------------------------


def text_to_image(split: str) -> Scores:
    """Draw every pair of colour and shape and ask the judge what the pictures show."""
    pairs = [(c, s) for s in SHAPES for c in COLOURS if ((c, s) in UNSEEN) == (split == "unseen")]
    pairs *= ONE_OBJECT[split]
    captions = [f"a person in {c}" if s == "person" else f"a{'n' * (c[0] == 'o')} {c} {s}" for c, s in pairs]
    shape, colour = name_objects(draw(captions))
    right_colour = colour == [list(COLOURS).index(c) for c, _ in pairs]
    right_shape = shape == [SHAPES.index(s) for _, s in pairs]
    real = train_judge.measure(reader("judge"), scenes_of(split))
    return {
        "text to image: colour": Score(right_colour.mean(), real["colour"]),
        "text to image: colour and shape": Score(
            (right_colour & right_shape).mean(), real["colour and shape"]
        ),
    }


@torch.no_grad()
def name_objects(pictures: Picture) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return indices [N] of the shapes and colours that the judge sees."""
    model = reader("judge")
    shape, colour = train_judge.judge(model, to_tensor(pictures))
    return shape.argmax(1).numpy(), colour.argmax(1).numpy()


def control(kind: str, split: str) -> Scores:
    """Draw scenes anew under a ControlNet and compare what can be read from them."""
    scenes = scenes_of(split)
    chosen = np.arange(len(scenes))
    if kind == "pose":
        chosen = np.unique(train_pose.find_people(scenes)[:, 0])
    chosen = chosen[: DRAWN[split]]
    captions = [scenes.captions[i] for i in chosen]
    pictures = draw(captions, kind, [true_control(kind, scenes, i) for i in chosen])
    if kind == "segmentation":
        steered, free, real = (
            foreground_iou(p, scenes, chosen) for p in (pictures, draw(captions), scenes.images[chosen])
        )
        return {
            "control by segmentation: foreground IoU": Score(steered, real),
            "control by segmentation: IoU won by it": Score(steered - free, real - free),
        }
    if kind == "edges":
        again = through_vae(scenes.images[chosen])
        score, ceiling = (edges_alike(p, scenes.images[chosen]) for p in (pictures, again))
        return {"control by edges: F1 (±1 px)": Score(score, ceiling)}
    if kind == "depth":
        score, ceiling = (depth_alike(p, scenes, chosen) for p in (pictures, scenes.images[chosen]))
        return {"control by depth: Pearson": Score(score, ceiling)}
    score, ceiling = (poses_alike(p, scenes, chosen) for p in (pictures, scenes.images[chosen]))
    return {"control by pose: PCK@0.2": Score(score, ceiling)}


def true_control(kind: str, scenes: Scenes, i: int) -> Picture:
    """Return the control picture of a scene, made from the truth."""
    return DRAWN_BY[kind].draw(scenes.truth(i))


@torch.no_grad()
def foreground_iou(pictures: Picture, scenes: Scenes, chosen: NDArray[np.intp]) -> float:
    """Return the mean IoU of where the Segformer sees objects with where they should be."""
    model = reader("segmentation")
    seen = train_segmentation.predict(model, to_tensor(pictures)).argmax(1).numpy() > 1
    wanted = scenes.instances[chosen] > 0
    return float(np.mean((seen & wanted).sum((1, 2)) / (seen | wanted).sum((1, 2))))


def edges_alike(pictures: Picture, wanted: Picture) -> float:
    """Return the mean F1 of Canny edges."""
    edges = ([cv2.Canny(picture, 100, 200) for picture in some] for some in (wanted, pictures))
    return float(np.mean([edge_f1(a, b) for a, b in zip(*edges, strict=True)]))


@torch.no_grad()
def through_vae(pictures: Picture) -> Picture:
    """Return the pictures coded and decoded again."""
    vae = pipeline().vae
    again = vae.decode(vae.encode(to_tensor(pictures)).latent_dist.mode()).sample
    return ((again.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


@torch.no_grad()
def depth_alike(pictures: Picture, scenes: Scenes, chosen: NDArray[np.intp]) -> float:
    """Return the mean correlation of the depth read from pictures with the depth they should have."""
    read = reader("depth")(to_tensor(pictures)).predicted_depth.numpy()
    pairs = zip(read, scenes.depth[chosen], strict=True)
    return float(np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]))


def poses_alike(pictures: Picture, scenes: Scenes, chosen: NDArray[np.intp]) -> float:
    """Return the share of the visible key points that are found again where they should be."""
    right = []
    for picture, i in zip(pictures, chosen, strict=True):
        found = find_poses(picture)[:, :, :2]
        for truth in scenes.keypoints[i]:
            visible = truth[:, 2] > 0
            if not visible.any():
                continue
            hits = [train_pose.within(points, truth)[visible] for points in found]
            right += max(hits, key=sum, default=np.zeros(visible.sum(), bool)).tolist()
    return float(np.mean(right))


# ---- time and memory ------------------------------------------------------------------------


def picture_time(_: str) -> Scores:
    """Time a ten-step picture with guidance on one core, the best of five."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        draw(["a red sphere left of a blue cube"])
        times.append(time.perf_counter() - start)
    return {"ten-step picture on one core, s": Score(min(times))}


def memory(_: str) -> Scores:
    """Load the whole bundle and return what this process then holds."""
    base = pipeline()
    nets = [load_controlnet(kind) for kind in CONTROLS]
    readers = [reader(name) for name in READERS]
    status = Path("/proc/self/status").read_text().splitlines()
    kib = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    del base, nets, readers
    return {"whole bundle loaded, GB resident": Score(kib / 1e6)}


# ---- all together ---------------------------------------------------------------------------

MEASURES: dict[str, Callable[[str], Scores]] = {
    **{f"control by {kind}": functools.partial(control, kind) for kind in CONTROLS},
    "text to image": text_to_image,
    "CLIP": clip,
    "depth": depth,
    "segmentation": segmentation,
    "pose": pose,
    "people": people,
    "caption": caption,
    "upscale": upscale,
}
ALONE: dict[str, Callable[[str], Scores]] = {"time": picture_time, "memory": memory}


@functools.cache
def scenes_of(split: str) -> Scenes:
    """Return the held-out scenes of a split."""
    return load(split, SCENES)


def evaluate() -> dict[str, dict[str, Score]]:
    """Return the scores of every measure by split; time and memory have "seen" alone."""
    for split in HELD_OUT:
        scenes_of(split)  # drawn once, before the workers ask for them
    scores: dict[str, dict[str, Score]] = {}

    def note(split: str, future: Future[Scores]) -> None:
        for name, score in future.result().items():
            scores.setdefault(name, {})[split] = score

    with workers(os.cpu_count() or 1) as pool:
        jobs = [(s, pool.submit(measure, s)) for measure in MEASURES.values() for s in HELD_OUT]
        for split, future in jobs:
            note(split, future)
    for measure in ALONE.values():
        with workers(1) as pool:
            note("seen", pool.submit(measure, "seen"))
    return scores


def workers(count: int) -> ProcessPoolExecutor:
    """Return processes that start fresh and use one thread each."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, context, initializer=torch.set_num_threads, initargs=(1,))


def write_quality(scores: dict[str, dict[str, Score]], path: Path) -> None:
    """Write the table."""
    rows = []
    for name in sorted(scores, key=lambda n: list(FLOORS).index(n) if n in FLOORS else len(FLOORS)):
        by_split = scores[name]
        ceiling = by_split["seen"].ceiling if "seen" in by_split else None
        cells = [f"{by_split[s].value:.3f}" if s in by_split else "" for s in HELD_OUT]
        cells += [str(FLOORS.get(name, "")), "" if ceiling is None else f"{ceiling:.3f}"]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    path.write_text(
        "# How good the pocket models are\n\n"
        "Written by `make pocket-eval` (`pocket/evaluate.py`); do not edit. Measured on scenes that "
        "training did not see: `seen` has its pairs of colour and shape, `unseen` has others. Floors "
        "hold for `seen`. The ceiling is what the same judge says of real scenes (for edges: of real "
        "scenes that went through the VAE).\n\n"
        "| measure | seen | unseen | floor | ceiling |\n|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def write_cards(scores: dict[str, dict[str, Score]]) -> None:
    """Put the figures of what is drawn into the model cards."""
    for start, folder in CARDS.items():
        quality: dict[str, str | float] = {
            f"{name}, {split}": score.value
            for name, by_split in scores.items()
            if name.startswith(start)
            for split, score in by_split.items()
        }
        write_quality_section(folder, quality)


def main() -> None:
    """Measure, write, say what falls short."""
    start = time.perf_counter()
    scores = evaluate()
    write_quality(scores, HERE / "QUALITY.md")
    write_cards(scores)
    write_samples(HERE / "samples.png")
    print((HERE / "QUALITY.md").read_text())
    for name, floor in FLOORS.items():
        value = scores[name]["seen"].value
        if not floor.holds(value):
            print(f"BELOW ITS FLOOR: {name} {value:.3f}, wanted {floor}")
        elif floor.short_of_goal(value):
            print(f"short of its goal: {name} {value:.3f}, wanted {floor}")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
