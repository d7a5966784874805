"""Every measure, and all of them together in processes of their own."""

import functools
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor

import torch

from pocket.bundle import CONTROLS
from pocket.evaluate import readers, styled
from pocket.evaluate.costs import memory, picture_time
from pocket.evaluate.drawing import control, text_to_image
from pocket.evaluate.floors import Score, Scores
from pocket.evaluate.held_out import HELD_OUT, scenes_of

MEASURES: dict[str, Callable[[str], Scores]] = {
    **{f"control by {kind}": functools.partial(control, kind) for kind in CONTROLS},
    "text to image": text_to_image,
    "styles": styled.styled,
    "questions": styled.vqa,
    "normals": readers.normals,
    "CLIP": readers.clip,
    "depth": readers.depth,
    "segmentation": readers.segmentation,
    "segment": readers.segment,
    "pose": readers.pose,
    "people": readers.people,
    "caption": readers.caption,
    "upscale": readers.upscale,
}
ALONE: dict[str, Callable[[str], Scores]] = {"time": picture_time, "memory": memory}


def evaluate(
    splits: Sequence[str] = HELD_OUT, some: Sequence[str] = (*MEASURES, *ALONE)
) -> dict[str, dict[str, Score]]:
    """Return the scores of every measure by split; time and memory have "seen" alone.

    Args:
        splits: of scenes.
        some: names of MEASURES and ALONE.
    """
    for split in splits:
        scenes_of(split)  # drawn once, before the workers ask for them
    scores: dict[str, dict[str, Score]] = {}

    def note(split: str, future: Future[Scores]) -> None:
        for name, score in future.result().items():
            scores.setdefault(name, {})[split] = score

    with workers(os.cpu_count() or 1) as pool:
        jobs = [
            (s, pool.submit(measure, s)) for name, measure in MEASURES.items() if name in some for s in splits
        ]
        for split, future in jobs:
            note(split, future)
    for name, measure in ALONE.items():
        if name in some:
            with workers(1) as pool:
                note("seen", pool.submit(measure, "seen"))
    return scores


def workers(count: int) -> ProcessPoolExecutor:
    """Return processes that start fresh and use one thread each."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, context, initializer=torch.set_num_threads, initargs=(1,))
