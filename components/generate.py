"""New pictures from priors: Stable Diffusion steered by ControlNets, all in one batched loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypedDict

import numpy as np
import pydantic
from pydantic import Field

from imagegraph.component import Component, NegativePrompt, Progress, Prompt, Seed, Unit, Weights
from imagegraph.errors import InvalidInput
from imagegraph.image import Image, working_size

if TYPE_CHECKING:
    import torch

    from components.denoise import Conditioning, Steering

COMBINED = "combined"

ControlName = Literal["depth", "pose", "segmentation", "edges"]
PictureName = Literal["caption", "prompt", "depth", "pose", "segmentation", "edges", "combined"]

Strength = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=64, le=2048, multiple_of=64)]


class Control(pydantic.BaseModel, extra="forbid", frozen=True):
    """How one prior steers: how strongly, and from which to which part of the steps (0..1)."""

    strength: Strength = 1.0
    start: Unit = 0.0
    end: Unit = 1.0

    @pydantic.model_validator(mode="after")
    def _start_before_end(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"a start before the end, not {self.start} to {self.end}")
        return self


class Drawn(TypedDict):
    """pictures; and for each the prior that steered it and its seed. `prompt` is what was drawn."""

    pictures: list[Image]
    steered_by: list[str]
    seeds: list[int]
    prompt: str


class Generate(Component):
    """Draws one picture for each prior and one steered by all of them, in one denoising loop.

    One base model and one ControlNet for each prior stay resident. Pictures differ only in what
    steers them: equal seeds start from equal noise.

    Source: Rombach et al. 2022 (latent diffusion); Zhang et al. 2023 (ControlNet).
    """

    def __init__(self, size: int) -> None:
        """Takes the shorter side in px for which the base model is made."""
        self._size = size

    def load(self, weights: Weights) -> None:
        """Loads `base` (a pipeline of Stable Diffusion 1, 2 or XL) and a ControlNet for every prior.

        The role `vae` replaces the base's own: SDXL's is unfit for half precision.
        """
        import torch
        from diffusers import AutoencoderKL, ControlNetModel, DiffusionPipeline
        from diffusers.image_processor import VaeImageProcessor

        dtype = torch.float16 if weights.device.startswith("cuda") else torch.float32

        def place(model: Any) -> Any:
            return model.to(weights.device).eval()

        parts: dict[str, Any] = {}
        if "vae" in weights:
            parts["vae"] = AutoencoderKL.from_pretrained(weights["vae"], dtype=dtype)
        base = DiffusionPipeline.from_pretrained(weights["base"], dtype=dtype, **parts)
        self._scheduler = base.scheduler
        # SDXL has two text encoders beside each other.
        self._tokenizers = [base.tokenizer, *filter(None, [getattr(base, "tokenizer_2", None)])]
        encoders = [base.text_encoder, *filter(None, [getattr(base, "text_encoder_2", None)])]
        self._text_encoders = [place(encoder) for encoder in encoders]
        self._unet = place(base.unet)
        self._vae = place(base.vae)
        # One picture at a time: less memory, and no picture depends on what else is decoded.
        self._vae.enable_slicing()
        self._codec = VaeImageProcessor(vae_scale_factor=base.vae_scale_factor)
        self._nets = {
            role: place(ControlNetModel.from_pretrained(weights[role], dtype=dtype))
            for role in weights
            if role not in ("base", "vae")
        }
        self._device = torch.device(weights.device)

    def predict(
        self,
        progress: Progress,
        prompt: Prompt | None = None,
        caption: Prompt | None = None,
        negative_prompt: NegativePrompt = "",
        image: Image | None = None,
        depth: Image | None = None,
        pose: Image | None = None,
        segmentation: Image | None = None,
        edges: Image | None = None,
        priors: Annotated[
            list[PictureName] | None,
            Field(min_length=1, description="Which pictures to draw; all that can be by default"),
        ] = None,
        controls: Annotated[
            dict[ControlName, Control],
            Field(description='How each prior steers: {"depth": {"strength": 0.8, "end": 0.6}}'),
        ] = {},  # noqa: B006  (never changed)
        combined_strength: Annotated[
            Strength, Field(description="Factor of all strengths in the picture steered by all")
        ] = 1.0,
        variants: Annotated[int, Field(ge=1, le=16, description="Pictures for each prior")] = 1,
        seed: Annotated[Seed, Field(description="Of the first variant; the next ones count up")] = 0,
        seeds: Annotated[list[Seed] | None, Field(description="One a picture, instead")] = None,
        steps: Annotated[int, Field(ge=1, le=200, description="Denoising steps")] = 30,
        guidance: Annotated[
            float, Field(ge=0, le=30, allow_inf_nan=False, description="How closely to follow the prompt")
        ] = 7.5,
        image_strength: Annotated[
            Unit | None, Field(gt=0, description="Start from the photo, this far noised; else from noise")
        ] = None,
        width: Side | None = None,
        height: Side | None = None,
    ) -> Drawn:
        """Draws the pictures.

        Raises:
            InvalidInput: nothing says what to draw, a prior to draw is not there, or the seeds are
                not one a picture.
        """
        text = prompt if prompt is not None else caption
        if text is None:
            raise InvalidInput("prompt", "a prompt, or a caption from another node", "neither")
        given: dict[ControlName, Image | None]
        given = {"depth": depth, "pose": pose, "segmentation": segmentation, "edges": edges}
        maps = {name: one for name, one in given.items() if one is not None and name in self._nets}
        unsteered = "caption" if prompt is None else "prompt"
        names = _pictures(priors, list(maps), unsteered) * variants
        if seeds is None:
            seeds = [seed + variant for variant in range(variants) for _ in range(len(names) // variants)]
        if len(seeds) != len(names):
            raise InvalidInput("seeds", f"{len(names)} seeds, one a picture ({', '.join(names)})", seeds)
        if image_strength is not None and image is None:
            raise InvalidInput("image", "a photo to start from, for image_strength", "nothing")
        shape = self._shape(width, height, image, [*maps.values()])
        steerings = [
            self._steering(role, control, names, controls.get(role) or Control(), combined_strength, shape)
            for role, control in maps.items()
        ]
        drawn = self._draw(
            text, negative_prompt, [s for s in steerings if len(s.rows)], seeds, steps, guidance,
            image if image_strength is not None else None, image_strength or 1.0, shape, progress,
        )  # fmt: skip
        return {"pictures": drawn, "steered_by": names, "seeds": seeds, "prompt": text}

    def _shape(
        self, width: int | None, height: int | None, image: Image | None, maps: Sequence[Image]
    ) -> tuple[int, int]:
        """Width and height in px: as asked, else the photo's or the maps' aspect, else square."""
        like = image or next(iter(maps), None)
        own = working_size(*like.size, self._size) if like else (self._size, self._size)
        return width or own[0], height or own[1]

    def _steering(
        self,
        role: str,
        control: Image,
        names: Sequence[str],
        how: Control,
        combined_strength: float,
        shape: tuple[int, int],
    ) -> Steering:
        import torch

        from components.denoise import Steering

        net = self._nets[role]
        rows = [row for row, name in enumerate(names) if name in (role, COMBINED)]
        factors = [how.strength * (combined_strength if names[row] == COMBINED else 1) for row in rows]
        pixels = np.asarray(control.rgb(role).resize(shape), np.float32) / 255
        one = torch.from_numpy(pixels).permute(2, 0, 1).to(net.device, net.dtype)
        return Steering(
            net,
            one.expand(len(rows), -1, -1, -1),
            torch.tensor(rows, dtype=torch.long, device=net.device),
            torch.tensor(factors, dtype=net.dtype, device=net.device),
            how.start,
            how.end,
        )

    def _draw(
        self,
        text: str,
        negative: str,
        steerings: Sequence[Steering],
        seeds: Sequence[int],
        steps: int,
        guidance: float,
        image: Image | None,
        image_strength: float,
        shape: tuple[int, int],
        progress: Progress,
    ) -> list[Image]:
        import copy

        import torch

        from components.denoise import denoise

        # A scheduler keeps the state of a run; requests share none.
        scheduler = copy.deepcopy(self._scheduler)
        scheduler.set_timesteps(steps, device=self._device)
        # Noise is drawn on the CPU, so that a seed means the same picture on every device.
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        with torch.inference_mode():
            prompts = self._encode([negative, text], shape)
            timesteps = scheduler.timesteps
            if image is None:
                latents = self._noise(generators, shape) * scheduler.init_noise_sigma
            else:
                skipped = steps - max(1, int(steps * image_strength))
                timesteps = timesteps[skipped * scheduler.order :]
                # Schedulers without it find the step by the timestep.
                if hasattr(scheduler, "set_begin_index"):
                    scheduler.set_begin_index(skipped * scheduler.order)
                latents = self._noised_photo(image, shape, generators, scheduler, timesteps[:1])
            latents = denoise(
                self._unet, scheduler, timesteps, latents, prompts, steerings, guidance, generators,
                lambda done, clean: progress(
                    done, len(timesteps), None if clean is None else lambda: self._decode(clean[:1])[0]
                ),
            )  # fmt: skip
            return self._decode(latents)

    def _noise(self, generators: Sequence[torch.Generator], shape: tuple[int, int]) -> torch.Tensor:
        import torch

        factor = self._codec.config.vae_scale_factor
        size = (1, self._unet.config.in_channels, shape[1] // factor, shape[0] // factor)
        # In the model's precision, as diffusers does: half-precision draws are other numbers.
        draws = [torch.randn(size, generator=one, dtype=self._unet.dtype) for one in generators]
        return torch.cat(draws).to(self._device)

    def _noised_photo(
        self,
        image: Image,
        shape: tuple[int, int],
        generators: Sequence[torch.Generator],
        scheduler: Any,
        timestep: torch.Tensor,
    ) -> torch.Tensor:
        """The photo's latents, noised to where `timestep` begins; [pictures, c, h, w].

        Source: Meng et al. 2021, SDEdit; order of draws as in diffusers' img2img pipelines.
        """
        import torch

        pixels = self._codec.preprocess(image.rgb().resize(shape)).to(self._device, self._vae.dtype)
        posterior = self._vae.encode(pixels).latent_dist
        latents = torch.cat([posterior.sample(generator) for generator in generators])
        noise = self._noise(generators, shape)
        return scheduler.add_noise(latents * self._vae.config.scaling_factor, noise, timestep)

    def _encode(self, prompts: Sequence[str], shape: tuple[int, int]) -> Conditioning:
        """Encodes all prompts, equally long.

        Prompts longer than a text encoder reads at once (CLIP: 75 tokens and two marks) are read in
        pieces, joined along the tokens.
        """
        import torch

        from components.denoise import Conditioning

        embeddings, pooled = [], None
        for tokenizer, encoder in zip(self._tokenizers, self._text_encoders, strict=True):
            pieces = [
                encoder(ids.to(self._device), output_hidden_states=True)
                for ids in _pieces(tokenizer, prompts)
            ]
            single = len(self._tokenizers) == 1
            embeddings.append(
                torch.cat([piece[0] if single else piece.hidden_states[-2] for piece in pieces], dim=1)
            )
            pooled = pieces[0][0]
        joined = torch.cat(embeddings, dim=-1).to(self._unet.dtype)
        if single:
            return Conditioning(joined)
        # SDXL: the last encoder's summary, and the size and crop that the picture is to look like.
        size = torch.tensor([[shape[1], shape[0], 0, 0, shape[1], shape[0]]] * len(prompts))
        return Conditioning(joined, {"text_embeds": pooled, "time_ids": size.to(joined)})

    def _decode(self, latents: torch.Tensor) -> list[Image]:
        import torch

        with torch.inference_mode():
            pixels = self._vae.decode(latents / self._vae.config.scaling_factor).sample
        return [Image(pixels=one) for one in self._codec.postprocess(pixels, output_type="pil")]


def _pictures(asked: Sequence[str] | None, maps: Sequence[str], unsteered: str) -> list[str]:
    """Names the pictures to draw: without steering, by each map, and by all maps at once.

    Raises:
        InvalidInput: a picture is asked for that cannot be drawn, or twice.
    """
    possible = [unsteered, *maps, *([COMBINED] if len(maps) > 1 else [])]
    if asked is None:
        return possible
    for name in asked:
        if name not in possible:
            raise InvalidInput("priors", f"some of {', '.join(possible)}", name)
    if len(set(asked)) != len(asked):
        raise InvalidInput("priors", "each prior once (use variants for more)", list(asked))
    return list(asked)


def _pieces(tokenizer: Any, prompts: Sequence[str]) -> list[torch.Tensor]:
    """Cuts token ids into pieces that an encoder reads at once, each [prompts, model_max_length]."""
    import torch

    room = tokenizer.model_max_length - 2
    tokens = [tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids for prompt in prompts]
    pieces = []
    for start in range(0, max(1, *map(len, tokens)), room):
        marked = [
            [tokenizer.bos_token_id, *one[start : start + room], tokenizer.eos_token_id] for one in tokens
        ]
        padded = [one + [tokenizer.pad_token_id] * (room + 2 - len(one)) for one in marked]
        pieces.append(torch.tensor(padded))
    return pieces
