"""Train the heart of pocket's Stable Diffusion: text encoder and UNet, together, on VAE latents."""

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from pocket.data import Scenes, load
from pocket.pictures import to_tensor
from pocket.tokenizer import LENGTH, make_tokenizer
from pocket.training import DEVICE, WEIGHTS, WORK, arguments, model_card, save, train

STEPS = 10_000
BATCH = 32
ENCODED = 4 if DEVICE.type == "cpu" else 64  # pictures at once; four fit into a core's cache
LEARNING_RATE = 1.5e-3
TEXT_LEARNING_RATE = 5e-4
AVERAGE = 0.999
EMPTY_CAPTIONS = 0.1  # what classifier-free guidance steers away from
OBJECT_WEIGHT = 2.5
TEXT_WIDTH = 96
UNET = {
    "block_out_channels": (64, 96),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 4,  # diffusers means the number of heads
    "cross_attention_dim": TEXT_WIDTH,
    "norm_num_groups": 16,
}
# Zero signal at the last step and "trailing" steps let ten steps make clean colours.
# Source: Lin et al. 2023, "Common Diffusion Noise Schedules and Sample Steps are Flawed".
SCHEDULER = DDIMScheduler(
    beta_start=0.00085,
    beta_end=0.012,
    beta_schedule="scaled_linear",
    prediction_type="v_prediction",
    rescale_betas_zero_snr=True,
    timestep_spacing="trailing",
    clip_sample=False,
    set_alpha_to_one=True,
    steps_offset=1,
)


def load_vae() -> AutoencoderKL:
    """Open the trained VAE."""
    path = WEIGHTS / "stable-diffusion/vae"
    return AutoencoderKL.from_pretrained(path, torch_dtype=torch.float32).to(DEVICE)


def encode_scenes(vae: AutoencoderKL, scenes: Scenes) -> np.ndarray:
    """Return scaled latents [N, channels, 16, 16], float16; computed once per VAE."""
    path = WORK / "diffusion" / f"latents-{vae.config.scaling_factor:.6f}.npy"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        vae.to(memory_format=torch.channels_last)
        parts = []
        with torch.no_grad():
            for i in range(0, len(scenes), ENCODED):
                mean = vae.encode(to_tensor(scenes.images[i : i + ENCODED])).latent_dist.mean
                parts.append((mean * vae.config.scaling_factor).half().cpu().numpy())
                if i % 4000 == 0:
                    print(f"encoding {i}/{len(scenes)}", flush=True)
        np.save(path, np.concatenate(parts))
    return np.load(path)


def object_weights(instances: np.ndarray) -> Tensor:
    """Return what each latent counts in the loss, [N, 1, 16, 16] of mean 1: objects more."""
    masks = torch.from_numpy(instances > 0).to(DEVICE).float()[:, None]
    weight = 1 + (OBJECT_WEIGHT - 1) * F.avg_pool2d(masks, 8)
    return weight / weight.mean()


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Return token ids [captions, LENGTH]."""
    tokens = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
    return tokens.input_ids.to(DEVICE)


def noisy(latents: Tensor, steps: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return latents with noise of the given time steps, and the velocity to predict."""
    noise = rng.standard_normal(latents.shape, np.float32)
    noise = torch.from_numpy(noise).to(DEVICE)
    return (
        SCHEDULER.add_noise(latents, noise, steps),
        SCHEDULER.get_velocity(latents, noise, steps),
    )


def build(tokenizer: CLIPTokenizer, vae: AutoencoderKL) -> nn.ModuleDict:
    """Return the untrained text encoder and UNet."""
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=LENGTH,
            projection_dim=TEXT_WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    channels = vae.config.latent_channels
    unet = UNet2DConditionModel(sample_size=16, in_channels=channels, out_channels=channels, **UNET)
    return nn.ModuleDict({"text": text, "unet": unet})


def main() -> None:
    """Train text encoder and UNet, save the whole pipeline."""
    options = arguments(__doc__)
    torch.manual_seed(0)
    scenes = load("train")
    tokenizer = make_tokenizer()
    vae = load_vae()
    latents = encode_scenes(vae, scenes)
    tokens = tokenize(tokenizer, scenes.captions)
    empty = tokenize(tokenizer, [""])
    models = build(tokenizer, vae)

    def loss(rng: np.random.Generator) -> Tensor:
        chosen = np.sort(rng.integers(len(scenes), size=BATCH))
        words = tokens[chosen]
        words[rng.random(BATCH) < EMPTY_CAPTIONS] = empty
        clean = torch.from_numpy(latents[chosen]).to(DEVICE).float()
        steps = torch.from_numpy(rng.integers(1000, size=BATCH)).to(DEVICE)
        noised, velocity = noisy(clean, steps, rng)
        states = models["text"](words).last_hidden_state
        error = models["unet"](noised, steps, states).sample - velocity
        return (object_weights(scenes.instances[chosen]) * error.square()).mean()

    models = train(
        models,
        loss,
        options,
        name="diffusion",
        steps=STEPS,
        groups=[
            {"params": models["unet"].parameters(), "lr": LEARNING_RATE},
            {"params": models["text"].parameters(), "lr": TEXT_LEARNING_RATE},
        ],
        average=AVERAGE,
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=models["text"],
        tokenizer=tokenizer,
        unet=models["unet"],
        scheduler=SCHEDULER,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    card = model_card(
        "pocket: Stable Diffusion",
        "text-to-image",
        "Draws 128 x 128 pictures of the pocket world from captions such as `a red sphere left of "
        "a blue cube` or `a person in green`. `StableDiffusionPipeline` in miniature: "
        "`CLIPTextModel`, `UNet2DConditionModel`, `AutoencoderKL` (16 x 16 latents), "
        "`DDIMScheduler`. Ten steps at guidance 2.5 are enough.",
        f"`pocket/train_vae.py`, then `pocket/train_diffusion.py`: text encoder and UNet together "
        f"on precomputed latents, v-prediction with zero terminal SNR, batches of {BATCH}, "
        f"AdamW {LEARNING_RATE} (text {TEXT_LEARNING_RATE}), {EMPTY_CAPTIONS:.0%} empty captions, "
        f"objects weighted {OBJECT_WEIGHT}, average of weights {AVERAGE}.",
        {},
    )
    save({"": pipeline.to(torch.float16)}, "stable-diffusion", card)


if __name__ == "__main__":
    main()
