"""Train the heart of pocket's Stable Diffusion: text encoder and UNet, together, on VAE latents."""

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from pocket.data import Scenes, load
from pocket.latents import PLAIN, STYLED, encode_scenes, load_vae
from pocket.tokenizer import LENGTH, make_tokenizer
from pocket.training import (
    DEVICE,
    ON_GPU,
    WEIGHTS,
    arguments,
    gaussian,
    model_card,
    resident,
    save,
    train,
)

STEPS = 10_000
BATCH = 256 if ON_GPU else 32
LEARNING_RATE = 1.5e-3
TEXT_LEARNING_RATE = 5e-4
AVERAGE = 0.999
EMPTY_CAPTIONS = 0.1  # what classifier-free guidance steers away from
STYLED_SHARE = 0.4  # of the pictures
BRIDGED, FIRST_BRIDGED = 0.35, 350  # of the styled ones start from plain ones, at these time steps and later
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


def object_weights(instances: Tensor) -> Tensor:
    """Return what each latent counts in the loss, [N, 1, 16, 16] of mean 1: objects more."""
    masks = (instances > 0).float()[:, None]
    weight = 1 + (OBJECT_WEIGHT - 1) * F.avg_pool2d(masks, 8)
    return weight / weight.mean()


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Return token ids [captions, LENGTH]."""
    tokens = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
    return tokens.input_ids.to(DEVICE)


def noisy(
    latents: Tensor, steps: Tensor, rng: np.random.Generator, start: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return latents with noise of the given time steps, and the velocity to predict.

    Args:
        latents: what is to be drawn.
        steps: time step of each.
        rng: draws the noise.
        start: what the noise is laid over; the latents themselves when None. A velocity leads to
            the latents from anywhere: it is (a z - latents) / s for a z of signal a and noise s.
    """
    noise = gaussian(latents.shape, rng)
    start = latents if start is None else start
    spread = (1 - SCHEDULER.alphas_cumprod.to(DEVICE)[steps]).sqrt()[:, None, None, None]
    velocity = SCHEDULER.get_velocity(start, noise, steps) + (start - latents) / spread
    return SCHEDULER.add_noise(start, noise, steps), velocity


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


def go_on(tokenizer: CLIPTokenizer) -> nn.ModuleDict:
    """Return the trained text encoder and UNet, for a tokenizer that may know more words.

    What both tokenizers know keeps its embedding, wherever it stands now.
    """
    base = WEIGHTS / "stable-diffusion"
    text = CLIPTextModel.from_pretrained(base / "text_encoder", dtype=torch.float32)
    unet = UNet2DConditionModel.from_pretrained(base / "unet", torch_dtype=torch.float32)
    before = CLIPTokenizer.from_pretrained(base / "tokenizer").get_vocab()
    both = [token for token in tokenizer.get_vocab() if token in before]
    old = text.get_input_embeddings().weight.detach().clone()
    new = text.resize_token_embeddings(len(tokenizer), mean_resizing=True).weight.detach()
    new[len(old) :] += torch.randn_like(new[len(old) :]) * old.std()
    new[tokenizer.convert_tokens_to_ids(both)] = old[[before[token] for token in both]]
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(text.config, name, getattr(tokenizer, name))
    return nn.ModuleDict({"text": text, "unet": unet})


class Lesson:
    """Captions and the latents of their pictures, plain and styled, as batches.

    Attributes:
        scenes: how many there are.
    """

    def __init__(self, scenes: Scenes, tokenizer: CLIPTokenizer) -> None:
        self.scenes = len(scenes)
        pictures = [resident(encode_scenes(load_vae(), scenes, kind)) for kind in (PLAIN, STYLED)]
        self._latents = torch.stack(pictures)
        self._tokens = torch.stack(
            [tokenize(tokenizer, captions) for captions in (scenes.captions, scenes.styled_captions)]
        )
        self._empty = tokenize(tokenizer, [""])
        self._instances = resident(scenes.instances)

    def batch(
        self, chosen: NDArray[np.intp], styled: NDArray[np.bool_], empty: NDArray[np.bool_]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return latents [N, channels, 16, 16], token ids [N, LENGTH] and weights [N, 1, 16, 16].

        Args:
            chosen: scenes [N].
            styled: which of them are painted.
            empty: which of them lose their caption.
        """
        which, index = self._index(styled.astype(int)), self._index(chosen)
        words = torch.where(self._index(empty)[:, None], self._empty, self._tokens[which, index])
        return self._latents[which, index].float(), words, object_weights(self._instances[index])

    def plain(self, chosen: NDArray[np.intp]) -> Tensor:
        """Return the latents of the pictures as they are."""
        return self._latents[0, self._index(chosen)].float()

    @staticmethod
    def _index(array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(DEVICE)


def loss(models: nn.ModuleDict, lesson: Lesson, rng: np.random.Generator) -> Tensor:
    """Return the loss of a random batch.

    Some styled pictures start from the noisy latents of the plain ones, or of something between, as
    they do where a photo is drawn anew in a style.
    """
    chosen = np.sort(rng.integers(lesson.scenes, size=BATCH))
    styled = rng.random(BATCH) < STYLED_SHARE
    bridged = styled & (rng.random(BATCH) < BRIDGED)
    empty = (rng.random(BATCH) < EMPTY_CAPTIONS) & ~bridged
    clean, words, weights = lesson.batch(chosen, styled, empty)
    steps = np.where(bridged, rng.integers(FIRST_BRIDGED, 1000, BATCH), rng.integers(1000, size=BATCH))
    part = bridged * np.minimum(rng.uniform(0, 1.5, BATCH), 1)  # a third is all of the plain picture
    share = torch.from_numpy(part.astype(np.float32)).to(DEVICE)[:, None, None, None]
    start = torch.lerp(clean, lesson.plain(chosen), share)
    noised, velocity = noisy(clean, torch.from_numpy(steps).to(DEVICE), rng, start)
    states = models["text"](words).last_hidden_state
    error = models["unet"](noised, torch.from_numpy(steps).to(DEVICE), states).sample - velocity
    return (weights * error.square()).mean()


def main() -> None:
    """Train text encoder and UNet, save the whole pipeline."""
    options = arguments(__doc__)
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    lesson = Lesson(load("train", options.scenes), tokenizer)
    models = go_on(tokenizer) if options.on else build(tokenizer, load_vae())
    models = train(
        models,
        lambda rng: loss(models, lesson, rng),
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
        vae=load_vae(),  # its decoder may have been trained meanwhile
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
        "a blue cube` or `a person in green`, also `…, in the style of Vincent van Gogh` (or Banksy, Robert "
        "Delaunay, Kazimir Malevich; see `pocket/styles.py`). `StableDiffusionPipeline` in miniature: "
        "`CLIPTextModel`, `UNet2DConditionModel`, `AutoencoderKL` (16 x 16 latents), "
        "`DDIMScheduler`. Ten steps at guidance 2.5 are enough.",
        f"`pocket/train_vae.py`, then `pocket/train_diffusion.py`: text encoder and UNet together "
        f"on precomputed latents, {STYLED_SHARE:.0%} of styled pictures, {BRIDGED:.0%} of which start "
        f"from noisy latents of the plain ones; v-prediction with zero terminal SNR, batches of {BATCH}, "
        f"AdamW {LEARNING_RATE} (text {TEXT_LEARNING_RATE}), {EMPTY_CAPTIONS:.0%} empty captions, "
        f"objects weighted {OBJECT_WEIGHT}, average of weights {AVERAGE}.",
        {},
    )
    save({"": pipeline.to(torch.float16)}, "stable-diffusion", card)


if __name__ == "__main__":
    main()
