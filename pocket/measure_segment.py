"""Measure pocket's Segment Anything on scenes that training did not see.

python -m pocket.measure_segment        the committed weights, two minutes on one core
"""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import SamModel

from components.masks import within
from components.segment import Segment
from imagegraph.component import Progress, Weights
from imagegraph.image import Image
from imagegraph.spec.catalogue import Catalogue
from pocket.data import Scenes, load
from pocket.training import DEVICE, WEIGHTS, write_quality_section

LEAST_IOU = 0.75  # with which an object counts as found
SCENES, CUT_UP = 300, 100  # for prompts, and of these without


@torch.no_grad()
def measure(
    model: SamModel, scenes: Scenes, count: int = SCENES, automatic: int = CUT_UP
) -> dict[str, float]:
    """Return how well objects are cut out; of three masks that is taken which the model thinks best.

    A click is in the middle of an object (farthest from its outline) or on any of its pixels.

    Args:
        model: on DEVICE.
        scenes: that training did not see.
        count: scenes for prompts.
        automatic: scenes of these that are cut up without a prompt, by the committed weights.
    """
    segment = Segment()
    segment.load(Weights({"model": WEIGHTS / "segment"}))
    defaults = Catalogue.read().entry("segment").variant("pocket").defaults
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {"box": [], "click": [], "any pixel": []}
    pairs: list[tuple[float, float]] = []
    recalled: list[bool] = []
    for i in range(count):
        image = torch.from_numpy(scenes.images[i : i + 1].copy()).permute(0, 3, 1, 2)
        embedding = model.get_image_embeddings(image.to(DEVICE).float() / 127.5 - 1)
        objects = len(scenes.objects[i])
        truth = scenes.instances[i] == np.arange(1, objects + 1)[:, None, None]
        masks = torch.from_numpy(truth).to(DEVICE)
        prompts = {
            "box": {"input_boxes": torch.from_numpy(scenes.boxes[i, :objects].copy())},
            "click": {"input_points": torch.tensor([[middle(mask)] for mask in truth])},
            "any pixel": {"input_points": torch.tensor([[any_pixel(mask, rng)] for mask in truth])},
        }
        for name, prompt in prompts.items():
            asked = {key: value[None].float().to(DEVICE) for key, value in prompt.items()}
            answer = model(image_embeddings=embedding, **asked)
            drawn = answer.pred_masks[0] > 0  # [objects, 3, H, W]
            if name == "box":
                drawn = within(drawn, asked["input_boxes"][0][:, None])
            true = iou(drawn, masks[:, None])
            best = answer.iou_scores[0].argmax(1, keepdim=True)
            found[name] += true.gather(1, best)[:, 0].tolist()
            pairs += zip(answer.iou_scores.flatten().tolist(), true.flatten().tolist(), strict=True)
        if i < automatic:
            answer = segment.predict(Progress(), Image.from_array(scenes.images[i]), **defaults)
            cut = torch.from_numpy(np.array([mask.map() > 0 for mask in answer["masks"]])).to(DEVICE)
            recalled += (iou(cut[None], masks[:, None]) >= LEAST_IOU).any(1).tolist()
    return {
        "mIoU by box": float(np.mean(found["box"])),
        "mIoU by one point": float(np.mean(found["click"])),
        "mIoU by any pixel": float(np.mean(found["any pixel"])),
        f"recall without prompts (IoU {LEAST_IOU})": float(np.mean(recalled)),
        "Pearson of foreseen and true IoU": float(np.corrcoef(np.array(pairs).T)[0, 1]),
    }


def middle(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Return x, y of the pixel that is farthest from the outline."""
    inside = np.pad(mask, 1).astype(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(distance.argmax(), mask.shape)
    return int(x), int(y)


def any_pixel(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[int, int]:
    """Return x, y of a random pixel of a mask."""
    y, x = rng.choice(np.argwhere(mask))
    return int(x), int(y)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU [...] of bool masks [..., H, W]; 0 where both are empty."""
    return (a & b).sum((-2, -1)) / (a | b).sum((-2, -1)).clamp(min=1)


def main() -> None:
    """Measure the committed weights and write their model card."""
    torch.set_num_threads(1)
    model = SamModel.from_pretrained(WEIGHTS / "segment", dtype=torch.float32).to(DEVICE).eval()
    quality = {
        f"{name}, {split}": value
        for split in ("seen", "unseen")
        for name, value in measure(model, load(split, SCENES)).items()
    }
    for name, value in quality.items():
        print(f"{name}: {value:.3f}")
    write_quality_section("segment", quality)


if __name__ == "__main__":
    main()
