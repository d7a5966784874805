"""The denoising loop: many pictures at once, each steered by its own ControlNets."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Conditioning:
    """What the prompt says to U-Net and ControlNets, a row a picture and guidance copy.

    Attributes:
        embeddings: [rows, tokens, width].
        added: further tensors of [rows, …] by name, as SDXL needs them.
    """

    embeddings: torch.Tensor
    added: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def __getitem__(self, rows: slice | torch.Tensor | Sequence[int]) -> Conditioning:
        """Picks rows."""
        return Conditioning(self.embeddings[rows], {name: one[rows] for name, one in self.added.items()})

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of `UNet2DConditionModel` and `ControlNetModel`."""
        return {"encoder_hidden_states": self.embeddings, "added_cond_kwargs": dict(self.added)}


@dataclass(frozen=True)
class Steering:
    """One ControlNet and the pictures it steers.

    Attributes:
        net: a `ControlNetModel` whose `controlnet_cond_embedding` is taken out: it would embed the
            same control anew at every step.
        control: [rows, channels, height / 8, width / 8], the embedded control of each picture.
        rows: [rows] indices of the steered pictures in the batch.
        strength: [rows] factors of the residuals.
        start, end: part of the steps in which it acts, 0..1.
    """

    net: Any
    control: torch.Tensor
    rows: torch.Tensor
    strength: torch.Tensor
    start: float
    end: float

    def acts(self, step: int, steps: int) -> bool:
        """Whether it steers step `step` of `steps`."""
        return falls_into(step, steps, self.start, self.end)


def falls_into(step: int, steps: int, start: float, end: float) -> bool:
    """Whether all of a step lies in the part of `steps` from `start` to `end`, as diffusers counts."""
    return step / steps >= start and (step + 1) / steps <= end


def schedule(scheduler: Any, steps: int, strength: float | None, device: Any) -> tuple[Any, torch.Tensor]:
    """Returns a scheduler for one run and its timesteps, from noisy to clean.

    Args:
        scheduler: to be copied: it keeps the state of a run, and requests share none.
        strength: how far a photo is noised to start from, 0..1; None starts from noise.
    """
    scheduler = copy.deepcopy(scheduler)
    scheduler.set_timesteps(steps, device=device)
    timesteps = scheduler.timesteps
    if strength is not None:
        skipped = steps - max(1, int(steps * strength))
        timesteps = timesteps[skipped * scheduler.order :]
        # Schedulers without it find the step by the timestep.
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(skipped * scheduler.order)
    return scheduler, timesteps


def guidance_copies(guided: bool) -> int:
    """Returns how often each picture is in a batch: without its prompt, and with it."""
    return 2 if guided else 1


def denoise(
    unet: Any,
    scheduler: Any,
    timesteps: torch.Tensor,
    latents: torch.Tensor,
    prompts: Conditioning,
    steerings: Sequence[Steering],
    guidance: Sequence[float],
    generators: Sequence[torch.Generator],
    report: Callable[[int, torch.Tensor | None], None],
) -> torch.Tensor:
    """Denoises all pictures together: per step each ControlNet once, then the U-Net once.

    Every row is computed as `StableDiffusionControlNetPipeline` of diffusers would alone: residuals
    of the ControlNets that steer a row are scaled and added, those of other rows are zero.

    Args:
        timesteps: of `scheduler`, from noisy to clean.
        latents: [pictures, channels, height, width], noised to the first timestep.
        prompts: of 2 * pictures rows, the negative prompts before the prompts.
        guidance: of each picture, the weight of the prompt against the negative prompt; at most 1 is no
            guidance, which halves the work: so it is for all of them, or for none.
        report: called with the steps done and the clean latents as guessed so far (None where the
            scheduler does not say); may raise to stop.

    Returns:
        Clean latents, [pictures, channels, height, width].

    Source: Ho and Salimans 2022 (classifier-free guidance); Zhang et al. 2023 (ControlNet).
    """
    pictures, steps = len(latents), len(timesteps)
    copies = guidance_copies(guided := max(guidance) > 1)
    prompts = prompts[-copies * pictures :]
    # In full precision, as a number would be: half of it has no 7.3.
    weights = torch.tensor(guidance, device=latents.device, dtype=torch.float32)[:, None, None, None]
    accepted = inspect.signature(scheduler.step).parameters
    extra = {"generator": list(generators)} if "generator" in accepted else {}
    clean = None
    for step, timestep in enumerate(timesteps):
        report(step, clean)
        batch = scheduler.scale_model_input(torch.cat([latents] * copies), timestep)
        acting = [steering for steering in steerings if steering.acts(step, steps)]
        down, mid = control_residuals(acting, batch, timestep, prompts, pictures)
        noise = unet(
            batch,
            timestep,
            **prompts.arguments(),
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
        ).sample
        if guided:
            without, with_prompt = noise.chunk(2)
            noise = without + (weights * (with_prompt - without)).to(noise.dtype)
        result = scheduler.step(noise, timestep, latents, **extra)
        latents, clean = result.prev_sample, getattr(result, "pred_original_sample", None)
    report(steps, clean)
    return latents


def control_residuals(
    steerings: Sequence[Steering],
    batch: torch.Tensor,
    timestep: torch.Tensor,
    prompts: Conditioning,
    pictures: int,
) -> tuple[list[torch.Tensor] | None, torch.Tensor | None]:
    """Runs each ControlNet on its own rows and joins the residuals for the whole batch.

    Args:
        batch: [copies * pictures, channels, height, width], the U-Net's input.

    Returns:
        Residuals for the down blocks and the middle block of the U-Net, or None without steering.
    """
    joined: list[torch.Tensor] | None = None
    copies = len(batch) // pictures
    for steering in steerings:
        rows = torch.cat([steering.rows + copy * pictures for copy in range(copies)])
        down, mid = steering.net(
            batch[rows],
            timestep,
            **prompts[rows].arguments(),
            controlnet_cond=steering.control.repeat(copies, 1, 1, 1),
            return_dict=False,
        )
        strength = steering.strength.repeat(copies)[:, None, None, None]
        residuals = [*down, mid]
        if joined is None:
            joined = [one.new_zeros(len(batch), *one.shape[1:]) for one in residuals]
        for total, one in zip(joined, residuals, strict=True):
            total.index_add_(0, rows, one * strength)
    return (joined[:-1], joined[-1]) if joined else (None, None)
