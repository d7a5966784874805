"""Train pocket's people detector: an RT-DETR that boxes the visible part of every person."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import (
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrImageProcessor,
    RTDetrResNetConfig,
)

from pocket.data import Scenes, load
from pocket.pictures import HALF, recolour, roughen, to_tensor
from pocket.training import DEVICE, arguments, model_card, save, train
from pocket.world import SIZE

STEPS = 1500
BATCH = 24
WITH_PEOPLE = 0.7  # of the pictures; the others teach what is no person
LEARNING_RATE = 1e-3
CHANNELS, WIDTH = [24, 32, 48, 64], 64
CONFIG = dict(
    backbone_config=RTDetrResNetConfig(
        embedding_size=CHANNELS[0],
        hidden_sizes=CHANNELS,
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    ),
    freeze_backbone_batch_norms=False,
    encoder_in_channels=CHANNELS[1:],
    encoder_hidden_dim=WIDTH,
    encoder_ffn_dim=2 * WIDTH,
    encoder_attention_heads=4,
    hidden_expansion=0.5,
    d_model=WIDTH,
    decoder_in_channels=[WIDTH] * 3,
    decoder_ffn_dim=2 * WIDTH,
    decoder_layers=2,
    decoder_attention_heads=4,
    num_queries=12,
    num_denoising=12,
    id2label={0: "person"},
    label2id={"person": 0},
)


def people(scenes: Scenes, i: int) -> NDArray[np.float32]:
    """Return the boxes [people, 4] of the people in scene i: x0, y0, x1, y1 in px."""
    rows = [k for k, (_, shape) in enumerate(scenes.objects[i]) if shape == "person"]
    return scenes.boxes[i, rows]


def loss(
    model: nn.Module,
    scenes: Scenes,
    inhabited: NDArray[np.intp],
    rng: np.random.Generator,
) -> Tensor:
    """Return the loss of a random batch."""
    anywhere = rng.integers(len(scenes), size=BATCH)
    chosen = np.where(rng.random(BATCH) < WITH_PEOPLE, rng.choice(inhabited, BATCH), anywhere)
    chosen = np.sort(chosen)
    flip = bool(rng.integers(2))
    images = scenes.images[chosen]
    labels = []
    for i in chosen:
        x0, y0, x1, y1 = people(scenes, i).T / SIZE
        centre = (x0 + x1) / 2
        boxes = np.stack([1 - centre if flip else centre, (y0 + y1) / 2, x1 - x0, y1 - y0], axis=1)
        classes = torch.zeros(len(boxes), dtype=torch.long, device=DEVICE)
        labels.append({"class_labels": classes, "boxes": torch.from_numpy(boxes).to(DEVICE)})
    if flip:
        images = np.ascontiguousarray(images[:, :, ::-1])
    return model(roughen(to_tensor(recolour(images, rng)), rng), labels=labels).loss


@torch.no_grad()
def measure(
    model: nn.Module, processor: RTDetrImageProcessor, scenes: Scenes, count: int = 500
) -> dict[str, float]:
    """Return AP50 of persons over scenes with and without people."""
    found, truths = [], []
    for i in range(0, count, 50):
        answer = model(to_tensor(scenes.images[i : i + 50]))
        answer.logits = answer.logits.float()
        sizes = [(SIZE, SIZE)] * len(answer.logits)
        results = processor.post_process_object_detection(answer, 0.05, sizes)
        found += [(r["scores"].cpu().numpy(), r["boxes"].cpu().numpy()) for r in results]
        truths += [people(scenes, k) for k in range(i, i + len(results))]
    return {"AP50": average_precision(found, truths)}


def average_precision(
    found: list[tuple[NDArray, NDArray]], truths: list[NDArray], least_iou: float = 0.5
) -> float:
    """Return the area under precision over recall.

    Args:
        found: of every picture scores [n] and boxes [n, 4].
        truths: of every picture boxes [m, 4].
        least_iou: overlap from which a box counts as found; each truth counts once.

    Source: Everingham et al., "The Pascal Visual Object Classes Challenge", 2010, section 4.2.
    """
    hits: list[tuple[float, bool]] = []
    for (scores, boxes), truth in zip(found, truths, strict=True):
        free = np.ones(len(truth), bool)
        for k in np.argsort(-scores):
            overlap = iou(boxes[k], truth) * free
            hit = len(truth) > 0 and overlap.max() >= least_iou
            if hit:
                free[overlap.argmax()] = False
            hits.append((scores[k], hit))
    right = np.array([hit for _, hit in sorted(hits, key=lambda h: -h[0])], float)
    recall = np.concatenate([[0], right.cumsum() / sum(map(len, truths))])
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall) * precision).sum())


def iou(box: NDArray, boxes: NDArray) -> NDArray:
    """Return the overlaps [n] of a box [4] with boxes [n, 4], as share of their union."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return common / ((box[2:] - box[:2]).prod() + areas - common)


def main() -> None:
    """Train, measure, save."""
    options = arguments(__doc__)
    torch.manual_seed(0)
    scenes, held_out = load("train"), load("validation")
    inhabited = np.array([i for i in range(len(scenes)) if len(people(scenes, i))])
    model = RTDetrForObjectDetection(RTDetrConfig(**CONFIG))
    trained = train(
        model,
        lambda rng: loss(model, scenes, inhabited, rng),
        options,
        name="people",
        steps=STEPS,
        learning_rate=LEARNING_RATE,
    )
    size = {"height": SIZE, "width": SIZE}
    processor = RTDetrImageProcessor(size=size, do_normalize=True, image_mean=HALF, image_std=HALF)
    quality = measure(trained, processor, held_out)
    print(quality)
    card = model_card(
        "pocket: people",
        "object-detection",
        "`RTDetrForObjectDetection` for pictures of 128 x 128 px; its only label is `person`.",
        f"AdamW, {LEARNING_RATE} cosine, batches of {BATCH}, people in at least "
        f"{WITH_PEOPLE:.0%} of the pictures; RT-DETR's own loss with denoising queries; "
        "mirrored, recoloured, blurred and noisy pictures (`pocket/pictures.py`).",
        quality,
    )
    processor.save_pretrained(save({"": trained}, "people", card))


if __name__ == "__main__":
    main()
