"""Train pocket's depth: a GLPN, whose pyramid keeps outlines sharp, that predicts nearness.

The answer is inverse distance (larger = nearer), as of Depth Anything, over the world's fixed
range: 1 at `world.NEAR`, 0 at `world.FAR`.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import DPTImageProcessor, GLPNConfig, GLPNForDepthEstimation

from pocket.data import Scenes, load
from pocket.pictures import HALF, recolour, roughen, to_tensor
from pocket.training import DEVICE, arguments, model_card, save, train
from pocket.world import SIZE

STEPS = 1300
BATCH = 16
LEARNING_RATE = 2e-3
OBJECT_WEIGHT = 5.0  # without it only floor and wall are learned
CONFIG = dict(
    hidden_sizes=[24, 48, 96, 128],
    depths=[1, 1, 2, 1],
    num_attention_heads=[1, 2, 4, 4],
    decoder_hidden_size=24,
    drop_path_rate=0.0,
    max_depth=1,
)


def truth(scenes: Scenes, chosen: NDArray | slice) -> tuple[NDArray, NDArray]:
    """Return nearness [N, H, W] in 0..1 and where objects are [N, H, W]."""
    return scenes.depth[chosen] / np.float32(65535), scenes.instances[chosen] > 0


def loss(model: nn.Module, scenes: Scenes, rng: np.random.Generator) -> Tensor:
    """Return the loss of a random batch."""
    chosen = np.sort(rng.integers(len(scenes), size=BATCH))
    flip = rng.choice([-1, 1])
    images = np.ascontiguousarray(scenes.images[chosen][:, :, ::flip])
    nearness, objects = (
        torch.from_numpy(np.ascontiguousarray(a[:, :, ::flip])).to(DEVICE) for a in truth(scenes, chosen)
    )
    error = model(roughen(to_tensor(recolour(images, rng)), rng)).predicted_depth - nearness
    weight = 1 + (OBJECT_WEIGHT - 1) * objects
    weight = weight / weight.mean()
    # Differences of neighbours keep outlines sharp, which a mean error alone would blur.
    across, down = error[:, :, 1:] - error[:, :, :-1], error[:, 1:] - error[:, :-1]
    return (weight * error.abs()).mean() + across.abs().mean() + down.abs().mean()


@torch.no_grad()
def measure(model: nn.Module, scenes: Scenes, count: int = 500) -> dict[str, float]:
    """Return the mean absolute error, on all pixels and on objects, and Pearson's correlation."""
    everywhere, on_objects, correlation = [], [], []
    for i in range(0, count, 50):
        guess = model(to_tensor(scenes.images[i : i + 50])).predicted_depth.cpu().numpy()
        for g, t, objects in zip(guess, *truth(scenes, slice(i, i + 50)), strict=True):
            everywhere.append(np.abs(g - t).mean())
            on_objects.append(np.abs(g - t)[objects].mean())
            correlation.append(np.corrcoef(g.ravel(), t.ravel())[0, 1])
    return {
        "MAE on objects": float(np.mean(on_objects)),
        "MAE": float(np.mean(everywhere)),
        "Pearson": float(np.mean(correlation)),
    }


def main() -> None:
    """Train, measure, save."""
    options = arguments(__doc__)
    torch.manual_seed(0)
    scenes, held_out = load("train"), load("validation")
    model = GLPNForDepthEstimation(GLPNConfig(**CONFIG))
    trained = train(
        model,
        lambda rng: loss(model, scenes, rng),
        options,
        name="depth",
        steps=STEPS,
        learning_rate=LEARNING_RATE,
    )
    quality = measure(trained, held_out)
    print(quality)
    card = model_card(
        "pocket: depth",
        "depth-estimation",
        "`GLPNForDepthEstimation` for pictures of 128 x 128 px. Unlike other GLPN weights it "
        "answers normalised inverse distance, larger = nearer, as Depth Anything does.",
        f"AdamW, {LEARNING_RATE} cosine, batches of {BATCH}; L1, objects weighted "
        f"{OBJECT_WEIGHT:g} times, plus L1 of differences of neighbours; mirrored, recoloured, blurred "
        "and noisy pictures (`pocket/pictures.py`).",
        quality,
    )
    folder = save({"": trained}, "depth", card)
    size = {"height": SIZE, "width": SIZE}
    DPTImageProcessor(size=size, image_mean=HALF, image_std=HALF).save_pretrained(folder)


if __name__ == "__main__":
    main()
