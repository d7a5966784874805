"""Measure what is drawn, by a judge and by readers that no drawing model was trained with."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pocket import train_judge, train_normals, train_pose, train_segmentation
from pocket.bundle import Picture, draw, find_poses, pipeline, reader
from pocket.controls import CONTROLS as DRAWN_BY
from pocket.data import Scenes
from pocket.evaluate.floors import Score, Scores
from pocket.evaluate.held_out import scenes_of
from pocket.pictures import to_tensor
from pocket.train_vae import edge_f1
from pocket.world import COLOURS, SHAPES, UNSEEN

DRAWN = {"seen": 48, "unseen": 24}  # scenes to draw anew under each ControlNet
ONE_OBJECT = {"seen": 3, "unseen": 8}  # pictures of each pair of colour and shape


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
    if kind in ("edges", "lineart"):
        again = through_vae(scenes.images[chosen])
        score, ceiling = (edges_alike(p, scenes.images[chosen]) for p in (pictures, again))
        return {f"control by {kind}: F1 (±1 px)": Score(score, ceiling)}
    if kind == "scribble":
        score, ceiling = (foreground_iou(p, scenes, chosen) for p in (pictures, scenes.images[chosen]))
        return {"control by scribble: foreground IoU": Score(score, ceiling)}
    if kind == "normals":
        score, ceiling = (normals_alike(p, scenes, chosen) for p in (pictures, scenes.images[chosen]))
        return {"control by normals: angle on objects, degrees": Score(score, ceiling)}
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


@torch.no_grad()
def normals_alike(pictures: Picture, scenes: Scenes, chosen: NDArray[np.intp]) -> float:
    """Return the mean angle in degrees, on objects, of normals read from pictures with the true ones."""
    read = train_normals.predict(reader("normals"), to_tensor(pictures))
    return float(train_normals.angles(read, scenes, chosen)[scenes.instances[chosen] > 0].mean())


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
