"""Train the picture coder of pocket's Stable Diffusion: AutoencoderKL, 128 px to 16 x 16.

python -m pocket.train_vae both       on 64-px crops around objects, which are cheap and full of
                                      edges, and on whole pictures
python -m pocket.train_vae decoder    the decoder goes on alone; the latents stay what they are
"""

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pocket.data import Scenes, load
from pocket.latents import PLAIN, STYLED, encode_scenes, load_vae
from pocket.pictures import to_tensor
from pocket.training import DEVICE, ON_GPU, arguments, gaussian, model_card, resident, save, train

BOTH, DECODER = "both", "decoder"
STEPS = {BOTH: 6500, DECODER: 2500}
CROP, CROPS, WHOLE = 64, 6, 2  # px of a crop, crops a batch, whole pictures a batch
WHOLE_SHARE = 0.3  # of the batches
LEARNING_RATE = {BOTH: 2e-3, DECODER: 7e-4}
LATENT_NOISE = 0.1  # on the decoder's latents of deviation 1, as those of the UNet are not exact
DECODED = 32 if ON_GPU else 4  # whole pictures a batch, half of them styled
ENERGY_WEIGHT, ENERGY_PX = 0.5, 4
OBJECT_WEIGHT = 2.5
KL_WEIGHT = 1e-3  # per latent; the noise it brings makes the decoder forgive the UNet
CONFIG = {
    "block_out_channels": (16, 32, 64, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 1,
    "latent_channels": 8,
    "norm_num_groups": 8,
    "mid_block_add_attention": False,
    "sample_size": 128,
}


def draw_batch(scenes: Scenes, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return pictures or crops [N, 3, H, W] and where their objects are [N, 1, H, W]."""
    whole = rng.random() < WHOLE_SHARE
    chosen = np.sort(rng.integers(len(scenes), size=WHOLE if whole else CROPS))
    images, masks = scenes.images[chosen], scenes.instances[chosen] > 0
    if not whole:
        crops = []
        for n, i in enumerate(chosen):
            box = scenes.boxes[i, rng.integers(len(scenes.objects[i]))]
            centre = rng.uniform(box[:2], box[2:]) - CROP / 2
            x, y = np.clip(centre, 0, images.shape[1] - CROP).astype(int)
            crops.append((n, slice(y, y + CROP), slice(x, x + CROP)))
        images = np.stack([images[c] for c in crops])
        masks = np.stack([masks[c] for c in crops])
    return to_tensor(images), torch.from_numpy(masks[:, None]).to(DEVICE)


def gradients(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the differences of neighbours in a row and in a column."""
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def loss(vae: nn.Module, scenes: Scenes, rng: np.random.Generator) -> Tensor:
    """Return the loss of coding and decoding a batch."""
    images, masks = draw_batch(scenes, rng)
    posterior = vae.encode(images).latent_dist
    distance = difference(vae.decode(posterior.sample()).sample, images, masks)
    return distance + KL_WEIGHT * posterior.kl().sum() / posterior.mean.numel()


def difference(decoded: Tensor, images: Tensor, masks: Tensor) -> Tensor:
    """Return how far pictures [N, 3, H, W] are from what they should be; objects count more."""
    error = decoded - images
    weight = 1 + (OBJECT_WEIGHT - 1) * masks
    weight = weight / weight.mean()
    # Differences of neighbours keep outlines sharp, which a mean error alone would blur.
    sharpness = sum(g.abs().mean() for g in gradients(error))
    return (weight * (error.abs() + 2 * error.square())).mean() + sharpness


class Coded:
    """Pictures, plain and styled, with their latents, where batches are drawn from them."""

    def __init__(self, vae: AutoencoderKL, scenes: Scenes) -> None:
        self.images = [resident(images) for images in (scenes.images, scenes.styled)]
        self.latents = [resident(encode_scenes(vae, scenes, kind)) for kind in (PLAIN, STYLED)]
        self.instances = resident(scenes.instances)

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return pictures [N, 3, H, W], where their objects are [N, 1, H, W], latents of deviation 1."""
        chosen = torch.from_numpy(rng.integers(len(self.instances), size=DECODED)).to(DEVICE)
        halves = chosen[: DECODED // 2], chosen[DECODED // 2 :]
        images, latents = (
            torch.cat([array[half] for array, half in zip(arrays, halves, strict=True)])
            for arrays in (self.images, self.latents)
        )
        return to_tensor(images), self.instances[chosen][:, None] > 0, latents.float()


def decoder_loss(vae: nn.Module, coded: Coded, rng: np.random.Generator) -> Tensor:
    """Return the loss of decoding a random batch of latents."""
    images, masks, latents = coded.batch(rng)
    noised = latents + LATENT_NOISE * gaussian(latents.shape, rng)
    decoded = vae.decode(noised / vae.config.scaling_factor).sample
    # How much edge there is around a place, wherever exactly: what is uncertain shall not blur.
    energies = zip(gradients(decoded), gradients(images), strict=True)
    energy = sum(
        F.l1_loss(F.avg_pool2d(a.abs(), ENERGY_PX), F.avg_pool2d(b.abs(), ENERGY_PX)) for a, b in energies
    )
    return difference(decoded, images, masks) + ENERGY_WEIGHT * energy


@torch.no_grad()
def measure(vae: nn.Module, pictures: NDArray[np.uint8], count: int = 128) -> dict[str, float]:
    """Return PSNR in dB and F1 of Canny edges within 1 px, of reconstructions of pictures [N, H, W, 3]."""
    psnr, f1 = [], []
    for i in range(0, count, 16):
        images = to_tensor(pictures[i : i + 16])
        again = vae.decode(vae.encode(images).latent_dist.mode()).sample.clamp(-1, 1)
        mse = F.mse_loss(again / 2, images / 2, reduction="none").mean((1, 2, 3))
        psnr += (-10 * mse.log10()).tolist()
        copies = ((again + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        for real, copy in zip(pictures[i : i + 16], copies, strict=True):
            f1.append(edge_f1(cv2.Canny(real, 100, 200), cv2.Canny(copy, 100, 200)))
    return {"PSNR, dB": float(np.mean(psnr)), "edges F1 (±1 px)": float(np.mean(f1))}


def edge_f1(a: np.ndarray, b: np.ndarray) -> float:
    """Return how well two edge maps agree, where one pixel aside is a match."""
    near_a, near_b = (cv2.dilate(m, np.ones((3, 3), np.uint8)) > 0 for m in (a, b))
    recall = (near_b & (a > 0)).sum() / max((a > 0).sum(), 1)
    precision = (near_a & (b > 0)).sum() / max((b > 0).sum(), 1)
    return float(2 * recall * precision / max(recall + precision, 1e-6))


@torch.no_grad()
def spread(vae: nn.Module, scenes: Scenes, count: int = 512) -> float:
    """Return the standard deviation of the latents."""
    latents = [
        vae.encode(to_tensor(scenes.images[i : i + 16])).latent_dist.mode() for i in range(0, count, 16)
    ]
    return float(torch.cat(latents).std())


def main() -> None:
    """Train the VAE or its decoder, measure it, save it."""
    options = arguments(__doc__, choices=(BOTH, DECODER))
    stage = options.choice
    torch.manual_seed(0)
    scenes, held_out = load("train", options.scenes), load("validation")
    if stage == BOTH:
        model = AutoencoderKL(**CONFIG).to(memory_format=torch.channels_last)

        def batch_loss(rng: np.random.Generator) -> Tensor:
            return loss(model, scenes, rng)
    else:
        model = load_vae().to(memory_format=torch.channels_last)
        coded = Coded(model, scenes)
        model.encoder.requires_grad_(False)
        model.quant_conv.requires_grad_(False)

        def batch_loss(rng: np.random.Generator) -> Tensor:
            return decoder_loss(model, coded, rng)

    vae = train(
        model,
        batch_loss,
        options,
        name="vae" if stage == BOTH else f"vae-{stage}",
        steps=STEPS[stage],
        learning_rate=LEARNING_RATE[stage],
    )
    if stage == BOTH:
        vae.register_to_config(scaling_factor=1 / spread(vae, scenes))
    card = model_card(
        "pocket: AutoencoderKL",
        "image-to-image",
        "Codes 128 x 128 pictures into 16 x 16 latents and back, for pocket's Stable Diffusion.",
        f"`pocket/train_vae.py {BOTH}`: crops of {CROP} px around objects and {WHOLE_SHARE:.0%} whole "
        f"pictures, AdamW {LEARNING_RATE[BOTH]}; L1 + L2 with objects weighted {OBJECT_WEIGHT}, L1 of "
        f"differences between neighbours, KL {KL_WEIGHT}. Then `{DECODER}`: encoder frozen, latents with "
        f"noise {LATENT_NOISE}, half of the pictures styled (`pocket/styles.py`), AdamW "
        f"{LEARNING_RATE[DECODER]}, and the amount of edges within {ENERGY_PX} px, weighted {ENERGY_WEIGHT}.",
        measure(vae, held_out.images)
        | {f"{name}, styled": value for name, value in measure(vae, held_out.styled).items()},
    )
    save({"": vae}, "stable-diffusion/vae", card)


if __name__ == "__main__":
    main()
