"""Train pocket's segmentation: a Segformer that tells wall, floor and five kinds of objects."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessor,
)

from pocket.data import Scenes, load
from pocket.pictures import HALF, recolour, roughen, to_tensor
from pocket.training import DEVICE, arguments, model_card, save, train
from pocket.world import CLASSES, PALETTE, SIZE

STEPS = 1400
BATCH = 24
LEARNING_RATE = 2e-3
OBJECT_WEIGHT = 4.0  # of an object's pixel against one of wall or floor
CONFIG = dict(
    hidden_sizes=[24, 48, 96, 128],
    depths=[2, 2, 2, 2],
    num_attention_heads=[1, 2, 4, 4],
    decoder_hidden_size=64,
    classifier_dropout_prob=0.0,
    drop_path_rate=0.0,
    id2label=dict(enumerate(CLASSES)),
    label2id={name: i for i, name in enumerate(CLASSES)},
    palette=PALETTE.tolist(),
)


def predict(model: nn.Module, pixels: Tensor) -> Tensor:
    """Return logits [N, classes, H, W], the model's quarter resolution enlarged."""
    return F.interpolate(model(pixels).logits, size=pixels.shape[-2:], mode="bilinear")


def loss(model: nn.Module, scenes: Scenes, rng: np.random.Generator) -> Tensor:
    """Return the loss of a random batch."""
    chosen = np.sort(rng.integers(len(scenes), size=BATCH))
    flip = rng.choice([-1, 1])
    images = np.ascontiguousarray(scenes.images[chosen][:, :, ::flip])
    truth = np.ascontiguousarray(scenes.segmentation[chosen][:, :, ::flip])
    weight = torch.tensor([1.0, 1.0] + [OBJECT_WEIGHT] * (len(CLASSES) - 2), device=DEVICE)
    logits = predict(model, roughen(to_tensor(recolour(images, rng)), rng))
    return F.cross_entropy(logits, torch.from_numpy(truth).long().to(DEVICE), weight)


@torch.no_grad()
def measure(model: nn.Module, scenes: Scenes, count: int = 500) -> dict[str, float]:
    """Return the IoU of every class over all pixels, and their mean."""
    confusion = np.zeros((len(CLASSES), len(CLASSES)))
    for i in range(0, count, 50):
        guess = predict(model, to_tensor(scenes.images[i : i + 50])).argmax(1).cpu().numpy()
        np.add.at(confusion, (scenes.segmentation[i : i + 50], guess), 1)
    common = confusion.diagonal()
    iou = common / (confusion.sum(0) + confusion.sum(1) - common)
    return {"mIoU": iou.mean()} | dict(zip(CLASSES, iou, strict=True))


def main() -> None:
    """Train, measure, save."""
    options = arguments(__doc__)
    torch.manual_seed(0)
    scenes, held_out = load("train"), load("validation")
    model = SegformerForSemanticSegmentation(SegformerConfig(**CONFIG))
    trained = train(
        model,
        lambda rng: loss(model, scenes, rng),
        options,
        name="segmentation",
        steps=STEPS,
        learning_rate=LEARNING_RATE,
    )
    quality = measure(trained, held_out)
    print(quality)
    card = model_card(
        "pocket: segmentation",
        "image-segmentation",
        "`SegformerForSemanticSegmentation` for pictures of 128 x 128 px; classes "
        f"{', '.join(CLASSES)}. `config.json` carries their `palette`.",
        f"AdamW, {LEARNING_RATE} cosine, batches of {BATCH}; cross entropy, objects weighted "
        f"{OBJECT_WEIGHT:g} times; mirrored, recoloured, blurred and noisy pictures (`pocket/pictures.py`).",
        quality,
    )
    folder = save({"": trained}, "segmentation", card)
    size = {"height": SIZE, "width": SIZE}
    SegformerImageProcessor(size=size, image_mean=HALF, image_std=HALF).save_pretrained(folder)


if __name__ == "__main__":
    main()
