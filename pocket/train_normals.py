"""Train pocket's normals: a Segformer whose three logits are the surface normal of every pixel.

Red is to the left, green up, blue towards the camera, each -1..1, as `world.Scene.normals`.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

from pocket.data import Scenes, load
from pocket.pictures import HALF, recolour, roughen, to_tensor
from pocket.train_segmentation import CONFIG as SEGMENTATION
from pocket.train_segmentation import predict
from pocket.training import DEVICE, ON_GPU, arguments, model_card, resident, save, train
from pocket.world import SIZE

STEPS = 1400
SCENES = 6_000
BATCH = 96 if ON_GPU else 24
LEARNING_RATE = 2e-3
OBJECT_WEIGHT = 5.0  # of an object's pixel against one of wall or floor
AXES = ("left", "up", "near")
CONFIG = {name: value for name, value in SEGMENTATION.items() if name != "palette"} | {
    "id2label": dict(enumerate(AXES)),
    "label2id": {name: i for i, name in enumerate(AXES)},
}


def vectors(normals: Tensor) -> Tensor:
    """Turn `world.Scene.normals` [N, H, W, 3] into [N, 3, H, W] in -1..1."""
    return normals.permute(0, 3, 1, 2) / 127.5 - 1


def loss(model: nn.Module, facts: tuple[Tensor, Tensor, Tensor], rng: np.random.Generator) -> Tensor:
    """Return the loss of a random batch.

    Args:
        model: is trained.
        facts: pictures, normals and instances of all scenes.
        rng: draws the batch.
    """
    chosen = torch.from_numpy(rng.integers(len(facts[0]), size=BATCH)).to(DEVICE)
    images, normals, instances = (fact[chosen] for fact in facts)
    true, objects = vectors(normals), instances > 0
    if rng.random() < 0.5:  # in a mirror, left is right
        images, objects, true = images.flip(2), objects.flip(2), true.flip(3)
        true = true * torch.tensor([-1, 1, 1], device=DEVICE)[:, None, None]
    guess = predict(model, roughen(to_tensor(recolour(images, rng)), rng))
    weight = 1 + (OBJECT_WEIGHT - 1) * objects
    angle = 1 - F.cosine_similarity(guess, true, dim=1, eps=1e-4)
    return (weight * ((guess - true).abs().mean(1) + angle)).mean() / weight.mean()


def angles(guess: Tensor, scenes: Scenes, chosen: NDArray[np.intp] | slice) -> NDArray[np.float32]:
    """Return the angles [N, H, W] in degrees of predicted vectors [N, 3, H, W] with the true normals."""
    true = F.normalize(vectors(torch.from_numpy(scenes.normals[chosen])), dim=1)
    cosine = (F.normalize(guess, dim=1).cpu() * true).sum(1).clamp(-1, 1)
    return torch.rad2deg(cosine.acos()).numpy()


@torch.no_grad()
def measure(model: nn.Module, scenes: Scenes, count: int = 500) -> dict[str, float]:
    """Return the mean angle in degrees between what is seen and what is true: everywhere, on objects."""
    everywhere, on_objects = [], []
    for i in range(0, count, 50):
        part = slice(i, i + 50)
        off = angles(predict(model, to_tensor(scenes.images[part])), scenes, part)
        everywhere.append(off.mean())
        on_objects.append(off[scenes.instances[part] > 0].mean())
    return {"angle": float(np.mean(everywhere)), "angle on objects": float(np.mean(on_objects))}


def main() -> None:
    """Train, measure, save."""
    options = arguments(__doc__)
    torch.manual_seed(0)
    scenes, held_out = load("train", options.scenes or SCENES), load("validation")
    facts = resident(scenes.images), resident(scenes.normals), resident(scenes.instances)
    model = SegformerForSemanticSegmentation(SegformerConfig(**CONFIG))
    trained = train(
        model,
        lambda rng: loss(model, facts, rng),
        options,
        name="normals",
        steps=STEPS,
        learning_rate=LEARNING_RATE,
    )
    quality = measure(trained, held_out)
    print(quality)
    card = model_card(
        "pocket: surface normals",
        "image-to-image",
        "`SegformerForSemanticSegmentation` for pictures of 128 x 128 px, whose three logits are a normal: "
        "to the left, up, towards the camera, each -1..1.",
        f"AdamW, {LEARNING_RATE} cosine, batches of {BATCH}; absolute error and angle, objects weighted "
        f"{OBJECT_WEIGHT:g} times; mirrored, recoloured, blurred and noisy pictures (`pocket/pictures.py`).",
        quality,
    )
    folder = save({"": trained}, "normals", card)
    size = {"height": SIZE, "width": SIZE}
    SegformerImageProcessor(size=size, image_mean=HALF, image_std=HALF).save_pretrained(folder)


if __name__ == "__main__":
    main()
