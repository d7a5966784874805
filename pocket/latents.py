"""Scenes as latents of the VAE, computed once, so that the drawing models train without it.

python -m pocket.latents [count]        codes the training scenes, plain and styled
"""

import os
import sys

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray

from pocket.data import Scenes, load
from pocket.pictures import to_tensor
from pocket.training import DEVICE, ON_GPU, WEIGHTS

ENCODED = 128 if ON_GPU else 4  # pictures at once; four fit into a core's cache
PLAIN, STYLED = "images", "styled"


def load_vae() -> AutoencoderKL:
    """Open the trained VAE."""
    path = WEIGHTS / "stable-diffusion/vae"
    return AutoencoderKL.from_pretrained(path, torch_dtype=torch.float32).to(DEVICE)


def encode_scenes(vae: AutoencoderKL, scenes: Scenes, pictures: str = PLAIN) -> NDArray[np.float16]:
    """Return scaled latents [N, channels, 16, 16]; computed once per VAE.

    Args:
        vae: codes them.
        scenes: what is coded.
        pictures: PLAIN or STYLED.
    """
    path = scenes.folder / f"latents-{pictures}-{vae.config.scaling_factor:.6f}.npy"
    if not path.exists():
        vae.to(memory_format=torch.channels_last)
        images = getattr(scenes, pictures)
        parts = []
        with torch.no_grad():
            for i in range(0, len(scenes), ENCODED):
                mean = vae.encode(to_tensor(images[i : i + ENCODED])).latent_dist.mean
                parts.append((mean * vae.config.scaling_factor).half().cpu().numpy())
                if i % (1000 * ENCODED) == 0:
                    print(f"encoding {pictures}: {i}/{len(scenes)}", flush=True)
        unfinished = path.with_suffix(f".{os.getpid()}.npy")
        np.save(unfinished, np.concatenate(parts))
        unfinished.rename(path)
    return np.load(path)


if __name__ == "__main__":
    coded = load("train", int(sys.argv[1]) if len(sys.argv) > 1 else None)
    for kind in (PLAIN, STYLED):
        encode_scenes(load_vae(), coded, kind)
