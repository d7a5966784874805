"""Train the judge of styles: a small ResNet that names the manner, the shape and the colour of one object.

Like the judge of plain pictures (`train_judge.py`) it is no part of the bundle and states its own
score on real styled scenes beside what it says of drawn ones.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ConvNextImageProcessor, ResNetConfig, ResNetForImageClassification

from pocket import train_judge
from pocket.data import Scenes, load
from pocket.pictures import HALF, recolour, roughen, to_tensor
from pocket.styles import COLOURLESS, STYLES
from pocket.training import (
    DEVICE,
    ON_GPU,
    WEIGHTS,
    arguments,
    model_card,
    resident,
    save,
    synthetic,
    train,
)
from pocket.world import COLOURS, SHAPES, SIZE

STEPS = 1500
BATCH = 256 if ON_GPU else 32
PLAIN_SHARE = 0.2  # of the pictures
LEARNING_RATE = 1e-3
PLAIN = "plain"
MANNERS = (PLAIN, *STYLES)
NAMES = (*MANNERS, *SHAPES, *COLOURS)
CONFIG = train_judge.CONFIG | {
    "id2label": dict(enumerate(NAMES)),
    "label2id": {name: i for i, name in enumerate(NAMES)},
}
WITHOUT_COLOUR = [MANNERS.index(style) for style in COLOURLESS]


def make_model() -> ResNetForImageClassification:
    """Build the model, which knows shapes and colours as the judge of plain pictures does, no manner yet."""
    model = ResNetForImageClassification(ResNetConfig(**CONFIG))
    known = ResNetForImageClassification.from_pretrained(WEIGHTS / "judge", dtype=torch.float32)
    model.resnet.load_state_dict(known.resnet.state_dict())
    mine, theirs = model.classifier[-1], known.classifier[-1]
    with torch.no_grad():
        mine.weight[len(MANNERS) :], mine.bias[len(MANNERS) :] = theirs.weight, theirs.bias
    return model


class Lesson:
    """Pictures of one object, plain and styled, as batches."""

    def __init__(self, scenes: Scenes) -> None:
        chosen = train_judge.one_object(scenes)
        self.images = resident(scenes.images[chosen]), resident(scenes.styled[chosen])
        self.shapes, self.colours = train_judge.truth(scenes, chosen)
        self.styles = torch.tensor([MANNERS.index(scenes.styles[i]) for i in chosen], device=DEVICE)

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return pictures uint8 [N, H, W, 3] and indices [N] of their manners, shapes and colours."""
        chosen = torch.from_numpy(rng.integers(len(self.styles), size=BATCH)).to(DEVICE)
        first = round(PLAIN_SHARE * BATCH)
        images = torch.cat([self.images[0][chosen[:first]], self.images[1][chosen[first:]]])
        styles = self.styles[chosen]
        styles[:first] = MANNERS.index(PLAIN)
        return images, styles, self.shapes[chosen], self.colours[chosen]


def judge(model: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits of manners [N, 5], shapes [N, 5] and colours [N, 8] for [N, 3, H, W] in -1..1."""
    styles, shapes, colours = model(pixels).logits.split([len(MANNERS), len(SHAPES), len(COLOURS)], dim=1)
    return styles, shapes, colours


def loss(model: nn.Module, lesson: Lesson, rng: np.random.Generator) -> Tensor:
    """Return the loss of a random batch."""
    images, styles, shapes, colours = lesson.batch(rng)
    if rng.random() < 0.5:
        images = images.flip(2)
    style_logits, _, colour_logits = judge(model, roughen(to_tensor(images), rng))
    # Shapes are learned from pictures in exchanged colours, so that unseen pairs are judged fairly.
    _, shape_logits, _ = judge(model, roughen(to_tensor(recolour(images, rng)), rng))
    coloured = ~torch.isin(styles, torch.tensor(WITHOUT_COLOUR, device=DEVICE))
    colour_loss = F.cross_entropy(colour_logits, colours, reduction="none")[coloured].mean()
    return F.cross_entropy(style_logits, styles) + F.cross_entropy(shape_logits, shapes) + colour_loss


def right(
    model: nn.Module, pictures: Tensor, styles: Tensor, shapes: Tensor, colours: Tensor
) -> dict[str, NDArray[np.bool_]]:
    """Return for each picture whether its manner, shape and, where it has one, colour are told rightly.

    Args:
        model: the judge.
        pictures: [N, 3, H, W] in -1..1.
        styles: indices [N] into MANNERS.
        shapes: indices [N].
        colours: indices [N].
    """
    answers = judge(model, pictures)
    told = [a.argmax(1) == t for a, t in zip(answers, (styles, shapes, colours), strict=True)]
    told[2] |= torch.isin(styles, torch.tensor(WITHOUT_COLOUR, device=DEVICE))
    style, shape, colour = (t.cpu().numpy() for t in told)
    return {"style": style, "object": shape & colour}


@torch.no_grad()
def measure(model: nn.Module, scenes: Scenes, count: int = 400) -> dict[str, float]:
    """Return how often the style, and the object in colour and shape, are told rightly."""
    chosen = train_judge.one_object(scenes)[:count]
    styles = torch.tensor([MANNERS.index(scenes.styles[i]) for i in chosen], device=DEVICE)
    truth = train_judge.truth(scenes, chosen)
    told = right(model, to_tensor(scenes.styled[chosen]), styles, *truth)
    found = {name: float(values.mean()) for name, values in told.items()}
    for k, style in enumerate(MANNERS[1:], 1):
        found[f"object, {style}"] = float(told["object"][styles.cpu().numpy() == k].mean())
    return found


def main() -> None:
    """Train, measure, save."""
    options = arguments(__doc__)
    torch.manual_seed(0)
    scenes, held_out = load("train", options.scenes), load("validation")
    lesson = Lesson(scenes)
    model = make_model()
    trained = train(
        model,
        lambda rng: loss(model, lesson, rng),
        options,
        name="style-judge",
        steps=STEPS,
        learning_rate=LEARNING_RATE,
    )
    quality = measure(trained, held_out)
    print(quality)
    card = model_card(
        "pocket: the judge of styles",
        "image-classification",
        "`ResNetForImageClassification` for pictures of 128 x 128 px with one object, plain or in a style of "
        f"`pocket/styles.py`. Its first {len(MANNERS)} logits are manners, then {len(SHAPES)} shapes, then "
        f"{len(COLOURS)} colours. It measures pocket's drawing models and is no part of the bundle.",
        f"From the weights of `judge`; AdamW, {LEARNING_RATE} cosine, batches of {BATCH}, "
        f"{PLAIN_SHARE:.0%} of them plain; mirrored, "
        "blurred and noisy pictures, for shapes recoloured too (`pocket/pictures.py`); no colours are "
        f"learned from {', '.join(COLOURLESS)}.",
        quality,
        synthetic(len(scenes)),
    )
    folder = save({"": trained}, "style-judge", card)
    size = {"shortest_edge": SIZE}
    ConvNextImageProcessor(size=size, crop_pct=1.0, image_mean=HALF, image_std=HALF).save_pretrained(folder)


if __name__ == "__main__":
    main()
