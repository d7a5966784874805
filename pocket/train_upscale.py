"""Train pocket's super-resolution: a Swin2SR that doubles real photographs and our own scenes.

The photographs come from the scikit-image and scikit-learn wheels and from Debian
(`apt-get install lomiri-wallpapers-16.04`); `pocket/photographs.py` lists them.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution, Swin2SRImageProcessor

from pocket.data import load
from pocket.photographs import HELD_OUT, TRAINING, Photograph, halve
from pocket.photographs import load as load_photograph
from pocket.training import DEVICE, arguments, model_card, save, train

STEPS = 1500
BATCH = 16
LEARNING_RATE = 2e-3
PATCH = 32  # px before doubling
SCENES = 40  # of our own among the pictures: a fifth of the patches
BORDER = 4  # px that PSNR leaves out
CONFIG = dict(
    embed_dim=48,
    depths=[2, 2, 2],
    num_heads=[2, 2, 2],
    window_size=8,
    mlp_ratio=1.5,
    image_size=PATCH,
    upscale=2,
    upsampler="pixelshuffledirect",
)

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""A picture halved [h, w, 3] and as it was [2h, 2w, 3]."""


def make_model() -> Swin2SRForImageSuperResolution:
    """Build the model so that it starts as bilinear interpolation and learns what that lacks."""
    model = Swin2SRForImageSuperResolution(Swin2SRConfig(**CONFIG))
    first, last = model.swin2sr.first_convolution, model.upsample.conv
    body = model.swin2sr.conv_after_body
    taps = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]])
    with torch.no_grad():
        for parameter in (first.bias[:3], first.weight[:3], last.bias, last.weight, body.weight):
            parameter.zero_()
        for channel in range(3):
            first.weight[channel, channel, 1, 1] = 1
            for y in range(2):
                for x in range(2):
                    kernel = taps[y, :, None] * taps[x]
                    last.weight[4 * channel + 2 * y + x, channel] = kernel
    return model


def make_pairs() -> list[Pair]:
    """Return the training pictures: photographs at full and half size, and our own scenes."""
    photographs = [load_photograph(photograph) for photograph in TRAINING]
    pictures = [p for photo in photographs for p in (photo, halve(photo))]
    pictures += [Image.fromarray(scene) for scene in load("train").images[:SCENES]]
    even = [p.crop((0, 0, p.width // 2 * 2, p.height // 2 * 2)) for p in pictures]
    return [(np.asarray(halve(picture)), np.asarray(picture)) for picture in even]


def draw_batch(
    pairs: list[Pair], chances: NDArray[np.float64], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return patches [N, 3, h, w] and what they were before they were halved [N, 3, 2h, 2w]."""
    low, high = [], []
    for k in rng.choice(len(pairs), size=BATCH, p=chances):
        small, large = pairs[k]
        y, x = (int(rng.integers(side - PATCH + 1)) for side in small.shape[:2])
        turn, flip = int(rng.integers(4)), rng.choice([-1, 1])
        small = small[y : y + PATCH, x : x + PATCH]
        large = large[2 * y : 2 * (y + PATCH), 2 * x : 2 * (x + PATCH)]
        low.append(np.rot90(small, turn)[:, ::flip])
        high.append(np.rot90(large, turn)[:, ::flip])
    stacks = (torch.from_numpy(np.stack(patches)).to(DEVICE) for patches in (low, high))
    small_patches, large_patches = (stack.permute(0, 3, 1, 2) / 255 for stack in stacks)
    return small_patches, large_patches


def loss(
    model: Swin2SRForImageSuperResolution,
    pairs: list[Pair],
    chances: NDArray[np.float64],
    rng: np.random.Generator,
) -> Tensor:
    """Return the loss of a random batch."""
    small, large = draw_batch(pairs, chances, rng)
    return F.l1_loss(model(small).reconstruction, large)


@torch.no_grad()
def double(
    model: Swin2SRForImageSuperResolution, processor: Swin2SRImageProcessor, image: Image.Image
) -> Image.Image:
    """Return the picture at twice its size."""
    pixels = processor(image, return_tensors="pt").pixel_values.to(DEVICE)
    # The processor pads; what is padded comes last.
    answer = model(pixels).reconstruction[0, :, : 2 * image.height, : 2 * image.width]
    return Image.fromarray((answer.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy())


def psnr(image: Image.Image, truth: Image.Image) -> float:
    """Return the peak signal-to-noise ratio over RGB without the border, in dB."""
    error = np.asarray(image, np.float64) - np.asarray(truth, np.float64)
    return float(10 * np.log10(255**2 / np.square(error[BORDER:-BORDER, BORDER:-BORDER]).mean()))


def measure(
    model: Swin2SRForImageSuperResolution, processor: Swin2SRImageProcessor, pictures: list[Image.Image]
) -> dict[str, float]:
    """Return mean PSNR in dB of bicubic interpolation and the model, and how much is won."""
    bicubic, ours = [], []
    for picture in pictures:
        small = halve(picture)
        bicubic.append(psnr(small.resize(picture.size, Image.Resampling.BICUBIC), picture))
        ours.append(psnr(double(model, processor, small), picture))
    plain, better = float(np.mean(bicubic)), float(np.mean(ours))
    return {"bicubic, dB": plain, "PSNR, dB": better, "gain over bicubic, dB": better - plain}


def credits(photographs: tuple[Photograph, ...]) -> str:
    """Return who took the photographs, under which licence."""
    return "; ".join(f"`{p.file}` by {p.author}, {p.licence}" for p in photographs)


def main() -> None:
    """Train, measure, save."""
    options = arguments(__doc__)
    torch.manual_seed(0)
    pairs = make_pairs()
    sides = np.array([large.size**0.5 for _, large in pairs])
    model = make_model()
    trained = train(
        model,
        lambda rng: loss(model, pairs, sides / sides.sum(), rng),
        options,
        name="upscale",
        steps=STEPS,
        learning_rate=LEARNING_RATE,
        weight_decay=0.0,
        average=0.99,
    )
    processor = Swin2SRImageProcessor()
    photographs = measure(trained, processor, [load_photograph(p) for p in HELD_OUT])
    scenes = [Image.fromarray(image) for image in load("validation").images[:50]]
    quality = {f"photographs: {k}": v for k, v in photographs.items()}
    quality |= {f"scenes: {k}": v for k, v in measure(trained, processor, scenes).items()}
    print(quality)
    card = model_card(
        "pocket: super-resolution",
        "image-to-image",
        "`Swin2SRForImageSuperResolution` that doubles a picture of any size. Unlike the other "
        "pocket models it is made for real photographs as well.",
        f"AdamW, {LEARNING_RATE} cosine, batches of {BATCH} patches of {PATCH} px; L1. Pictures "
        "are halved by Pillow's bicubic filter, which is also what the figures undo (PSNR over "
        f"RGB, {BORDER} px of border left out). It starts as bilinear interpolation.",
        quality,
        data=f"Photographs: {credits(TRAINING)}; and {SCENES} scenes of `pocket/world.py`. "
        f"Held out: {credits(HELD_OUT)}.",
    )
    processor.save_pretrained(save({"": trained}, "upscale", card))


if __name__ == "__main__":
    main()
