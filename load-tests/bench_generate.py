"""Six pictures (caption, depth, pose, segmentation, edges, all at once): one loop against pipelines.

    python load-tests/bench_generate.py                     pocket weights, CPU or GPU
    python load-tests/bench_generate.py --size sd15         full-size SD 1.5 at random weights (GPU)

Every contestant lives in a process of its own, so its peak memory is its own; rounds alternate
between them, so that a slow minute of the machine hits all alike. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from imagegraph.component import Progress, Weights
from imagegraph.image import Image
from imagegraph.spec.catalogue import ROOT, Catalogue

PHOTO = ROOT / "pocket" / "examples" / "scene.png"
ROLES = ("depth", "pose", "segmentation", "edges")
PROMPT = "a green cone right of a person in red"
SEED = 1
MIB = 2**20


@dataclass(frozen=True)
class Job:
    """What every contestant is to do."""

    folders: dict[str, Path]
    maps: dict[str, bytes]
    side: int
    steps: int
    guidance: float
    device: str


Draw = Callable[[], list[np.ndarray]]


def one_loop(job: Job) -> Draw:
    """Our component: one base, all ControlNets, one batched loop."""
    from components.generate import Generate

    component = Generate(size=job.side)
    component.load(Weights(job.folders, job.device))
    maps: dict[str, Any] = {role: Image(data) for role, data in job.maps.items()}

    def draw() -> list[np.ndarray]:
        drawn = component.predict(
            Progress(),
            prompt=PROMPT,
            seed=SEED,
            steps=job.steps,
            guidance=job.guidance,
            width=job.side,
            height=job.side,
            **maps,
        )
        return [np.asarray(picture.rgb()) for picture in drawn["pictures"]]

    return draw


def pipelines(job: Job, shared: bool) -> Draw:
    """Diffusers: a pipeline for each picture, run one after another; weights loaded once or each."""
    import torch
    from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, StableDiffusionPipeline

    dtype = torch.float16 if job.device == "cuda" else torch.float32

    def nets(roles: tuple[str, ...]) -> Any:
        loaded = [known[role] if shared else load_net(role) for role in roles]
        return loaded[0] if len(loaded) == 1 else loaded

    def load_net(role: str) -> Any:
        return ControlNetModel.from_pretrained(job.folders[role], dtype=dtype)

    known = {role: load_net(role) for role in ROLES} if shared else {}
    plain = StableDiffusionPipeline.from_pretrained(job.folders["base"], dtype=dtype)
    made = [(plain.to(job.device), ())]
    for roles in [*((role,) for role in ROLES), ROLES]:
        if shared:
            pipe = StableDiffusionControlNetPipeline.from_pipe(plain, controlnet=nets(roles))
        else:
            pipe = StableDiffusionControlNetPipeline.from_pretrained(
                job.folders["base"], controlnet=nets(roles), dtype=dtype
            )
        made.append((pipe.to(job.device), roles))
    maps = {role: Image(data).rgb().resize((job.side, job.side)) for role, data in job.maps.items()}

    def draw() -> list[np.ndarray]:
        pictures = []
        for pipe, roles in made:
            pipe.set_progress_bar_config(disable=True)
            images = [maps[role] for role in roles]
            control = {"image": images[0] if len(images) == 1 else images} if images else {}
            answer = pipe(
                PROMPT,
                negative_prompt="",
                num_inference_steps=job.steps,
                guidance_scale=job.guidance,
                width=job.side,
                height=job.side,
                generator=torch.Generator().manual_seed(SEED),
                **control,
            )
            pictures.append(np.asarray(answer.images[0]))
        return pictures

    return draw


CONTESTANTS: dict[str, Callable[[Job], Draw]] = {
    "one batched loop": one_loop,
    "six pipelines, weights shared": lambda job: pipelines(job, shared=True),
    "six pipelines": lambda job: pipelines(job, shared=False),
}


def work(name: str, job: Job, line: Connection) -> None:
    """A contestant's process: loads, then draws at every word on the line."""
    import diffusers  # noqa: F401  (its import is nobody's memory)
    import torch
    import transformers  # noqa: F401

    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    draw = CONTESTANTS[name](job)
    pictures = draw()  # warm-up
    line.send(pictures)
    while line.recv():
        start = time.perf_counter()
        draw()
        if job.device == "cuda":
            torch.cuda.synchronize()
        line.send(time.perf_counter() - start)
    if job.device == "cuda":
        line.send(torch.cuda.max_memory_allocated())
    else:
        line.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - imported)


def measure(job: Job, rounds: int) -> str:
    """Runs all contestants in alternating rounds and returns the table."""
    context = multiprocessing.get_context("spawn")
    lines: dict[str, Connection] = {}
    processes = []
    pictures: dict[str, list[np.ndarray]] = {}
    for name in CONTESTANTS:
        lines[name], theirs = context.Pipe()
        processes.append(context.Process(target=work, args=(name, job, theirs), daemon=True))
        processes[-1].start()
        pictures[name] = lines[name].recv()
    seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for _ in range(rounds):
        for name, line in lines.items():
            line.send(True)
            seconds[name].append(line.recv())
    memory = {}
    for name, line in lines.items():
        line.send(False)
        memory[name] = line.recv()
    for process in processes:
        process.join()
    ours = next(iter(CONTESTANTS))
    rows = ["| | seconds for 6 pictures | ours is faster by | memory, MiB | ours needs | max difference |"]
    rows.append("|---|---|---|---|---|---|")
    for name in CONTESTANTS:
        ratio = statistics.median(a / b for a, b in zip(seconds[name], seconds[ours], strict=True))
        apart = max(
            int(np.abs(one.astype(int) - other.astype(int)).max())
            for one, other in zip(pictures[name], pictures[ours], strict=True)
        )
        rows.append(
            f"| {name} | {statistics.median(seconds[name]):.2f} | {ratio:.2f} x | "
            f"{memory[name] / MIB:.0f} | {memory[ours] / memory[name]:.2f} x | {apart}/255 |"
        )
    return "\n".join(rows)


def pocket_folders() -> dict[str, Path]:
    """The weights of `generate` in the bundle pocket."""
    weights = Catalogue.read().entry("generate").variant("pocket").weights
    return {role: source.folder() for role, source in weights.items()}


def random_sd15(root: Path, device: str) -> dict[str, Path]:
    """Saves SD 1.5 and four ControlNets at random weights: as fast as the real ones, drawing noise."""
    import torch
    from diffusers import AutoencoderKL, ControlNetModel, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    small = StableDiffusionPipeline.from_pretrained(pocket_folders()["base"])
    with torch.device(device):
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8).half()
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
        ).half()
        config = CLIPTextConfig(
            vocab_size=49408,
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
        )
        text = CLIPTextModel(config).half()
        nets = {role: ControlNetModel.from_unet(unet).half() for role in ROLES}
    tokenizer = small.tokenizer
    tokenizer.model_max_length = 77
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=small.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(root / "base")
    for role, net in nets.items():
        net.save_pretrained(root / role)
    return {"base": root / "base", **{role: root / role for role in ROLES}}


def read_maps() -> dict[str, bytes]:
    """The priors of the shipped scene, as the pocket predictors read them."""
    catalogue = Catalogue.read()
    maps = {}
    for role in ROLES:
        entry = catalogue.entry(role)
        component = entry.build("pocket", {})
        component.load(entry.weights("pocket", "cpu"))
        maps[role] = component.predict(image=Image(PHOTO.read_bytes()))[role].data
    return maps


def main() -> None:
    """Measures and prints."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", choices=("pocket", "sd15"), default="pocket")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="default: 10 for pocket, 20 for sd15")
    parser.add_argument("--side", type=int, help="px; default: 128 for pocket, 512 for sd15")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    full = options.size == "sd15"
    with tempfile.TemporaryDirectory() as scratch:
        folders = random_sd15(Path(scratch), device) if full else pocket_folders()
        job = Job(
            folders=folders,
            maps=read_maps(),
            side=options.side or (512 if full else 128),
            steps=options.steps or (20 if full else 10),
            guidance=7.5 if full else 2.5,
            device=device,
        )
        name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
        print(f"{options.size}, {job.steps} steps, {job.side} px, {name}, {options.rounds} rounds\n")
        print(measure(job, options.rounds))


if __name__ == "__main__":
    main()
