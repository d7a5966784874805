"""Train the judge of drawn pictures: a small ResNet that names shape and colour of the one object.

It is no part of the bundle. `pocket/evaluate/` uses it so that no model is judged by itself, and
states its own score on real scenes beside what it says of drawn ones.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ConvNextImageProcessor, ResNetConfig, ResNetForImageClassification

from pocket.data import Scenes, load
from pocket.pictures import HALF, recolour, roughen, to_tensor
from pocket.training import DEVICE, arguments, model_card, save, train
from pocket.world import COLOURS, SHAPES, SIZE

STEPS = 800
BATCH = 32
LEARNING_RATE = 2e-3
NAMES = (*SHAPES, *COLOURS)
CONFIG = dict(
    embedding_size=16,
    hidden_sizes=[24, 48, 64, 96],
    depths=[1, 1, 1, 1],
    layer_type="basic",
    id2label=dict(enumerate(NAMES)),
    label2id={name: i for i, name in enumerate(NAMES)},
)


def one_object(scenes: Scenes) -> NDArray[np.intp]:
    """Return the scenes with one object."""
    return np.array([i for i, pairs in enumerate(scenes.objects) if len(pairs) == 1])


def truth(scenes: Scenes, chosen: NDArray[np.intp]) -> tuple[Tensor, Tensor]:
    """Return indices [N] of shapes and of colours."""
    pairs = [scenes.objects[i][0] for i in chosen]
    shapes = torch.tensor([SHAPES.index(shape) for _, shape in pairs], device=DEVICE)
    colours = torch.tensor([list(COLOURS).index(colour) for colour, _ in pairs], device=DEVICE)
    return shapes, colours


def judge(model: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits of shapes [N, 5] and of colours [N, 8] for pictures [N, 3, H, W] in -1..1."""
    shapes, colours = model(pixels).logits.split([len(SHAPES), len(COLOURS)], dim=1)
    return shapes, colours


def loss(model: nn.Module, scenes: Scenes, singles: NDArray[np.intp], rng: np.random.Generator) -> Tensor:
    """Return the loss of a random batch."""
    chosen = np.sort(rng.choice(singles, BATCH))
    images = np.ascontiguousarray(scenes.images[chosen][:, :, :: rng.choice([-1, 1])])
    shapes, colours = truth(scenes, chosen)
    # Shapes are learned from pictures in exchanged colours, so that unseen pairs are judged fairly.
    shape_logits, _ = judge(model, roughen(to_tensor(recolour(images, rng)), rng))
    _, colour_logits = judge(model, roughen(to_tensor(images), rng))
    return F.cross_entropy(shape_logits, shapes) + F.cross_entropy(colour_logits, colours)


@torch.no_grad()
def measure(model: nn.Module, scenes: Scenes, count: int = 400) -> dict[str, float]:
    """Return how often the colour, and colour and shape, are named rightly."""
    chosen = one_object(scenes)[:count]
    answers = judge(model, to_tensor(scenes.images[chosen]))
    shape, colour = (a.argmax(1) == t for a, t in zip(answers, truth(scenes, chosen), strict=True))
    both = shape & colour
    return {"colour": colour.float().mean().item(), "colour and shape": both.float().mean().item()}


def main() -> None:
    """Train, measure, save."""
    options = arguments(__doc__)
    torch.manual_seed(0)
    scenes, held_out = load("train"), load("validation")
    singles = one_object(scenes)
    model = ResNetForImageClassification(ResNetConfig(**CONFIG))
    trained = train(
        model,
        lambda rng: loss(model, scenes, singles, rng),
        options,
        name="judge",
        steps=STEPS,
        learning_rate=LEARNING_RATE,
    )
    quality = measure(trained, held_out)
    print(quality)
    card = model_card(
        "pocket: the judge",
        "image-classification",
        "`ResNetForImageClassification` for pictures of 128 x 128 px with one object. Its first "
        f"{len(SHAPES)} logits are shapes, the others colours. It measures pocket's drawing models "
        "and is no part of the bundle.",
        f"AdamW, {LEARNING_RATE} cosine, batches of {BATCH}; mirrored, blurred and noisy pictures, "
        "for shapes recoloured too (`pocket/pictures.py`).",
        quality,
    )
    folder = save({"": trained}, "judge", card)
    size = {"shortest_edge": SIZE}
    ConvNextImageProcessor(size=size, crop_pct=1.0, image_mean=HALF, image_std=HALF).save_pretrained(folder)


if __name__ == "__main__":
    main()
