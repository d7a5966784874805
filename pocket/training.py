"""The one training loop that every script in this folder shares.

A script says what it trains and how a batch becomes a loss; `train` does the rest: seeded batches,
warm-up and cosine schedule, moving average of the weights, progress lines, checkpoints to resume.

    options = arguments(__doc__)                  # --steps, --minutes, --until, --fresh, --on, --scenes
    model = train(model, loss, options, name="clip", steps=4000, learning_rate=1e-3)
    save({"": model, ...}, "clip", card)

Working files lie in `pocket/.work/<name>/`, results in `pocket/weights/<name>/`. A run that was
interrupted goes on where its last checkpoint stands; a finished one goes on when it is given more
steps or minutes.
"""

import argparse
import copy
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

HERE = Path(__file__).parent
WORK, WEIGHTS = HERE / ".work", HERE / "weights"
WARM_UP = 100  # steps
CHECKPOINT_S = 120
LOG_S = 15
MAX_GRADIENT = 1.0

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ON_GPU = DEVICE.type == "cuda"
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
torch.backends.cudnn.benchmark = True

Loss = Callable[[np.random.Generator], Tensor]
"""Draws a batch with the generator and returns its loss; equal generators give equal batches."""


class Savable(Protocol):
    """A model, processor, tokenizer or pipeline of Hugging Face."""

    def save_pretrained(self, save_directory: Path) -> Any:
        """Write weights and configuration to a folder."""


@dataclass(frozen=True)
class Options:
    """What the command line may change: the length of the run, and what it starts from."""

    steps: int | None = None
    minutes: float | None = None
    until: float | None = None
    fresh: bool = False
    on: bool = False
    scenes: int | None = None
    choice: str | None = None


def arguments(description: str, choices: Iterable[str] | None = None) -> Options:
    """Read the command line and use one thread (a second one adds little; run two scripts).

    Args:
        description: the script's docstring.
        choices: values of one positional argument, for a script that trains several models.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    if choices:
        parser.add_argument("choice", choices=tuple(choices))
    parser.add_argument("--steps", type=int, help="train this many steps instead of the default")
    parser.add_argument("--minutes", type=float, help="train this long, all runs together")
    parser.add_argument("--until", type=float, help="train till this time, in seconds since 1970")
    parser.add_argument("--fresh", action="store_true", help="forget the last checkpoint")
    parser.add_argument("--on", action="store_true", help="start from the weights in pocket/weights")
    parser.add_argument("--scenes", type=int, help="train on this many scenes instead of the default")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.set_flush_denormal(True)  # BLIP's tiny gradients are ten times slower without
    return Options(**vars(parser.parse_args()))


def resident(array: NDArray[Any]) -> Tensor:
    """Put an array where batches are drawn from it: on the GPU as a whole; on a CPU it stays mapped."""
    return torch.from_numpy(array).to(DEVICE)


def gaussian(shape: Sequence[int], rng: np.random.Generator) -> Tensor:
    """Return noise of deviation 1, drawn on the device."""
    generator = torch.Generator(DEVICE).manual_seed(int(rng.integers(2**31)))
    return torch.randn(tuple(shape), generator=generator, device=DEVICE)


def train(
    model: nn.Module,
    loss: Loss,
    options: Options,
    *,
    name: str,
    steps: int,
    learning_rate: float = 1e-3,
    groups: list[dict[str, Any]] | None = None,
    weight_decay: float = 0.01,
    average: float = 0.998,
    seed: int = 0,
) -> nn.Module:
    """Train and return a copy of the model with averaged weights, in eval mode.

    Args:
        model: holds everything that is trained; several models go into one nn.ModuleDict.
        loss: draws a batch and returns its loss.
        options: from `arguments`.
        name: of the folder for checkpoints.
        steps: default length. With --minutes or --until the schedule follows the clock instead.
        learning_rate: its peak.
        groups: parameter groups with an own "lr"; all parameters that need gradients when None.
        weight_decay: of AdamW.
        average: decay of the moving average of weights; 0 switches it off.
        seed: of the batches. Step n sees the same batch in every run.
    """
    steps = options.steps or steps
    checkpoint = WORK / name / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    model.to(DEVICE).train()
    groups = groups or [{"params": [p for p in model.parameters() if p.requires_grad]}]
    peaks = [group.get("lr", learning_rate) for group in groups]
    optimizer = torch.optim.AdamW(
        groups, learning_rate, (0.9, 0.99), weight_decay=weight_decay, fused=ON_GPU or None
    )
    averaged = copy.deepcopy(model)
    step, spent_s = 0, 0.0
    if checkpoint.exists() and not options.fresh:
        state = torch.load(checkpoint, map_location=DEVICE)
        model.load_state_dict(state["model"])
        averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent_s = state["step"], state["spent_s"]
        print(f"{name}: goes on from step {step}, {spent_s / 60:.1f} min", flush=True)

    def write_checkpoint() -> None:
        state = {"model": model.state_dict(), "averaged": averaged.state_dict()}
        state |= {"optimizer": optimizer.state_dict(), "step": step, "spent_s": spent_s}
        torch.save(state, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").rename(checkpoint)

    minutes = options.minutes
    if options.until:
        minutes = max(spent_s + options.until - time.time(), 1) / 60
    losses: list[Tensor] = []
    logged_s = saved_s = spent_s
    logged_step = step
    while (done := spent_s / 60 / minutes if minutes else step / steps) < 1:
        began = time.perf_counter()
        factor = min(1, (step + 1) / WARM_UP) * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        value = loss(np.random.default_rng([seed, step]))
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        for group in optimizer.param_groups:
            nn.utils.clip_grad_norm_(group["params"], MAX_GRADIENT)
        optimizer.step()
        step += 1
        _follow(averaged, model, min(average, step / (step + 10)))
        losses.append(value.detach())  # a number asked for now would wait for the GPU
        spent_s += time.perf_counter() - began
        if spent_s - logged_s > LOG_S:
            rate = (step - logged_step) / (spent_s - logged_s)
            left_s = minutes * 60 - spent_s if minutes else (steps - step) / rate
            print(
                f"{name}: step {step} loss {torch.stack(losses).mean():.4f} {rate:.2f} steps/s, "
                f"{left_s / 60:.1f} min left",
                flush=True,
            )
            losses.clear()
            logged_s, logged_step = spent_s, step
        if spent_s - saved_s > CHECKPOINT_S:
            write_checkpoint()
            saved_s = spent_s
    write_checkpoint()
    print(f"{name}: {step} steps in {spent_s / 60:.1f} min", flush=True)
    return averaged.eval()


@torch.no_grad()
def _follow(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the average towards the model; buffers are copied."""
    trained = [(a, p) for a, p in zip(averaged.parameters(), model.parameters(), strict=True)]
    trained = [(a, p) for a, p in trained if p.requires_grad]
    torch._foreach_lerp_([a for a, _ in trained], [p for _, p in trained], 1 - decay)
    for a, b in zip(averaged.buffers(), model.buffers(), strict=True):
        a.copy_(b)


def save(parts: dict[str, Savable], name: str, card: str) -> Path:
    """Write half-precision weights and the model card to `pocket/weights/<name>/`.

    Args:
        parts: models, processors, tokenizers by sub-folder; "" is the folder itself.
        name: of the folder.
        card: the text of README.md, from `model_card`.
    """
    folder = WEIGHTS / name
    for part, thing in parts.items():
        half = copy.deepcopy(thing).half() if isinstance(thing, nn.Module) else thing
        half.save_pretrained(folder / part)
    for path in folder.rglob("config.json"):  # diffusers notes where a model was loaded from
        config = json.loads(path.read_text())
        if config.pop("_name_or_path", None):
            path.write_text(json.dumps(config, indent=2) + "\n")
    (folder / "README.md").write_text(card)
    print(f"saved {folder.relative_to(HERE.parent)}", flush=True)
    return folder


def synthetic(scenes: int = 40_000) -> str:
    """Return what a card says of training data that `pocket.data` has drawn."""
    count = f"{scenes:,}".replace(",", " ")
    return f"""{count} scenes drawn by `pocket/world/` (split "train"): no picture made by people, no licence
but this project's. Seven pairs of colour and shape are kept out (`UNSEEN`). So the model knows a small
world and no photographs; it stands in for a real one where a download is not wanted."""


def model_card(
    title: str,
    pipeline: str,
    text: str,
    recipe: str,
    quality: dict[str, str | float],
    data: str | None = None,
) -> str:
    """Return a Hugging Face model card.

    Args:
        title: one line.
        pipeline: the hub's name of the task, such as "text-to-image".
        text: what the model is and takes.
        recipe: how it was trained.
        quality: measured figures by name, on what was held out of training; where there are none,
            `pocket/evaluate/` measures them and puts them in.
        data: what it was trained on and under which licence; the default number of scenes when None.
    """
    return f"""---
license: apache-2.0
pipeline_tag: {pipeline}
tags: [imagegraph, pocket]
---

# {title}

{text}

## Data

{data or synthetic()}

## Recipe

{recipe}

{quality_section(quality)}"""


QUALITY = "## Measured quality\n"


def quality_section(quality: dict[str, str | float]) -> str:
    """Return the last section of a model card."""
    rows = "\n".join(
        f"| {key} | {value if isinstance(value, str) else f'{value:.3f}'} |" for key, value in quality.items()
    )
    return f"""{QUALITY}
On pictures that training did not see.

| measure | value |
|---|---|
{rows}
"""


def write_quality_section(name: str, quality: dict[str, str | float]) -> None:
    """Put measured figures into the model card of `pocket/weights/<name>/`."""
    card = WEIGHTS / name / "README.md"
    before, _, _ = card.read_text().partition(QUALITY)
    card.write_text(before + quality_section(quality))
