"""A batch of photos drawn anew: against a loop of diffusers, and what it adds to its own batched loop.

    python load-tests/bench_batch.py [--scenes 100] [--rounds 3]

Scenes of the pocket world are drawn anew from their own captions (img2img), by a plain loop over the pipeline
of diffusers, by a batch with all that it writes, and by the bare batched loop that the batch runs, which
writes nothing. Rounds alternate between them. Prints a Markdown table, and how far the pictures differ.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from rich.console import Console

from imagegraph.batch import session, table
from imagegraph.batch.engines import EmbeddedPlatform, Engine
from imagegraph.batch.folder import Folder
from imagegraph.batch.machine import Memory
from imagegraph.batch.models import Choices
from imagegraph.batch.plan import Plan
from imagegraph.batch.runner import Runner, Work
from imagegraph.batch.session import Found
from imagegraph.batch.sheets import Sheets
from imagegraph.batch.show import Lines
from imagegraph.cli.inputs import taken
from imagegraph.component import Progress, Weights
from imagegraph.image import Image
from imagegraph.spec.catalogue import ROOT, Catalogue

sys.path.insert(0, str(ROOT))
from components.generate import Generate
from pocket.world import make_scene

SETTINGS: dict[str, Any] = {
    "priors": ["prompt"],
    "steps": 30,
    "guidance": 2.5,
    "image_strength": 0.6,
    "negative_prompt": "",
    "seed": 1,
}
TOGETHER, IN_FLIGHT = int(Generate.max_cost), 32
FEW = 8  # scenes that warm up

# Draws the photos of a folder and writes, if it does, to another one; returns pixels by name.
Contestant = Callable[[Path, Path], dict[str, np.ndarray]]


class Kept(Engine):
    """An engine that is loaded once for all rounds."""

    def __init__(self, engine: Engine) -> None:
        """Takes it."""
        self._engine = engine

    async def ready(self) -> None:
        """Waits until it is loaded."""
        await self._engine.ready()

    async def answer(self, values: Any) -> Any:
        """Answers a row."""
        return await self._engine.answer(values)

    async def close(self) -> None:
        """Keeps it."""


def batch(device: str, loop: asyncio.AbstractEventLoop) -> Contestant:
    """The whole of `imagegraph batch`, but for what it loads."""
    catalogue = Catalogue.read()
    choices = Choices(catalogue.graph("generate").root, ["pocket"])
    platform = EmbeddedPlatform("generate", choices, catalogue, device)
    ports = taken(platform.interface)
    kept: list[Engine] = []

    def open_(model: Any) -> Engine:
        if not kept:
            kept.append(Kept(platform.open(model)))
        return kept[0]

    def draw(photos: Path, out: Path) -> dict[str, np.ndarray]:
        rows = table.with_prompts(table.read([str(photos)], ports), ports)
        models = [platform.choose(row) for row in rows]
        about = {model.label: platform.facts(model) for model in models}
        plan = Plan.make("generate", rows, models, about, SETTINGS)
        shown = Lines(Console(file=io.StringIO()))
        with Folder(out) as folder, Memory() as memory:
            found = Found.look(folder, plan)
            session.begin(folder, plan, found)
            sheets = Sheets(folder, plan.tasks, "generate")
            runner = Runner(
                Work(plan, found.left, open_, SETTINGS, IN_FLIGHT, sheets.grow), folder, shown, memory
            )
            loop.run_until_complete(runner.run())
            session.finish(folder, plan, sheets)
            assert not runner.failures, runner.failures
        files = {row.name: next((out / "rows" / row.name).glob("picture-*.png")) for row in rows}
        return {name: np.asarray(Pillow.open(path).convert("RGB")) for name, path in files.items()}

    return draw


def bare(device: str) -> Contestant:
    """The component alone, sixteen photos at once."""
    component = Generate(size=128)
    variant = Catalogue.read().entry("generate").variant("pocket")
    component.load(Weights({"base": variant.weights["base"].folder()}, device))

    def draw(photos: Path, out: Path) -> dict[str, np.ndarray]:
        paths = sorted(photos.iterdir())
        plans = [
            component.prepare(prompt=_prompt(path), image=Image(path.read_bytes()), **SETTINGS)
            for path in paths
        ]
        drawn: list[Image] = []
        for start in range(0, len(plans), TOGETHER):
            answers = component.predict_batch(plans[start : start + TOGETHER], Progress())
            drawn += [answer["pictures"][0] for answer in answers]
        return {path.stem: np.asarray(one.rgb()) for path, one in zip(paths, drawn, strict=True)}

    return draw


def plain(device: str) -> Contestant:
    """A loop over the pipeline of diffusers, as one writes it."""
    import torch
    from diffusers import StableDiffusionImg2ImgPipeline

    folder = Catalogue.read().entry("generate").variant("pocket").weights["base"].folder()
    dtype = torch.float16 if device == "cuda" else torch.float32
    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(folder, dtype=dtype).to(device)
    pipeline.set_progress_bar_config(disable=True)

    def draw(photos: Path, out: Path) -> dict[str, np.ndarray]:
        out.mkdir()
        found = {}
        for path in sorted(photos.iterdir()):
            picture = pipeline(
                _prompt(path),
                image=Pillow.open(path).convert("RGB"),
                strength=SETTINGS["image_strength"],
                num_inference_steps=SETTINGS["steps"],
                guidance_scale=SETTINGS["guidance"],
                negative_prompt=SETTINGS["negative_prompt"],
                generator=torch.Generator().manual_seed(SETTINGS["seed"]),
            ).images[0]
            picture.save(out / path.name)
            found[path.stem] = np.asarray(picture)
        return found

    return draw


def _scenes(folder: Path, count: int) -> Path:
    """Draws scenes into a folder, with their captions for names."""
    folder.mkdir()
    for index in range(count):
        scene = make_scene(index, "validation")
        words = "_".join(scene.caption.split())
        Pillow.fromarray(scene.image).save(folder / f"{words[:120]}_{index:03}.png")
    return folder


def _prompt(path: Path) -> str:
    return path.stem.replace("_", " ")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="Of torch; by default a core each")
    parser.add_argument(
        "--cpu-time", action="store_true", help="Count what the processor did, where others use it, too"
    )
    asked = parser.parse_args()
    clock = time.process_time if asked.cpu_time else time.perf_counter
    if asked.threads:
        import torch

        torch.set_num_threads(asked.threads)
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        few, photos = _scenes(place / "few", FEW), _scenes(place / "photos", asked.scenes)
        contestants: dict[str, Contestant] = {
            "a loop of diffusers' img2img": plain(asked.device),
            "`imagegraph batch`": batch(asked.device, loop),
            "its batched loop alone, nothing written": bare(asked.device),
        }
        seconds: dict[str, list[float]] = {one: [] for one in contestants}
        drawn: dict[str, dict[str, np.ndarray]] = {}
        for number in range(asked.rounds + 1):  # the first warms up
            for index, (one, draw) in enumerate(contestants.items()):
                since = clock()
                drawn[one] = draw(photos if number else few, place / f"{number}-{index}")
                if number:
                    seconds[one].append(clock() - since)
        print(_table(asked.scenes, seconds, list(drawn.values())))
    with contextlib.suppress(RuntimeError):
        loop.close()


def _table(scenes: int, seconds: dict[str, list[float]], drawn: list[dict[str, np.ndarray]]) -> str:
    names = list(seconds)
    first = seconds[names[0]]
    lines = [f"{scenes} scenes of 128x128, {SETTINGS['steps']} steps from {SETTINGS['image_strength']}:", ""]
    lines += ["| | pictures/s | times the first |", "|---|---|---|"]
    for name in names:
        ratio = statistics.median(one / own for one, own in zip(first, seconds[name], strict=True))
        rate = scenes / statistics.median(seconds[name])
        lines.append(f"| {name} | {rate:.1f} | {ratio:.2f} |")
    extra = statistics.median(
        whole / alone - 1 for whole, alone in zip(seconds[names[1]], seconds[names[2]], strict=True)
    )
    apart = max(
        int(np.abs(drawn[0][name].astype(int) - drawn[1][name].astype(int)).max()) for name in drawn[1]
    )
    lines += [
        "",
        f"The batch adds {100 * extra:.1f} % to its loop: writing, provenance, metrics, sheets.",
    ]
    lines.append(f"Its pictures differ from those of diffusers by at most {apart} of 255.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
