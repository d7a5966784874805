"""New pictures from priors: Stable Diffusion steered by ControlNets, all in one batched loop."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, TypedDict

import numpy as np
from pydantic import Field

from components.plan import (
    MOST_PICTURES,
    AdapterStrength,
    Control,
    ControlName,
    PictureName,
    Plan,
    Side,
    Strength,
    check_count,
    check_seeds,
    check_shape,
    choose_pictures,
    count_up,
    share_of_each,
)
from components.pretrained import pretrained, shared
from imagegraph.component import Batched, Progress, Weights
from imagegraph.errors import InvalidInput
from imagegraph.image import Image, working_size
from imagegraph.ports import AdapterName, NegativePrompt, Prompt, Seed, Unit

if TYPE_CHECKING:
    import torch

    from components.adapters import Adapter
    from components.denoise import Conditioning, Steering
    from components.prompts import PromptReader


class Drawn(TypedDict):
    """pictures; and for each the prompt, the prior that steered it and its seed.

    `prompt` is what was drawn, where all of them have the same.
    """

    pictures: list[Image]
    prompts: list[str]
    steered_by: list[str]
    seeds: list[int]
    prompt: NotRequired[str]


@dataclass(eq=False)
class _Base:
    """What entries with the same `base` have in common; each keeps it, so that the next one finds it."""

    scheduler: Any
    prompts: PromptReader
    unet: Any
    vae: Any


class Generate(Batched):
    """Draws of every prompt a picture for each prior and one steered by all, in one denoising loop.

    One base model and one ControlNet for each prior stay resident. Pictures differ only in what
    steers them: equal seeds start from equal noise. Requests of equal size and steps can share a
    loop, whatever guidance each has; a picture is the same whatever shares it.

    Source: Rombach et al. 2022 (latent diffusion); Zhang et al. 2023 (ControlNet).
    """

    roles = ("base", "vae")
    opens = "control"
    adapts = True

    def __init__(self, size: int, most_adapters: int = 8) -> None:
        """Takes the shorter side in px for which the base model is made.

        Args:
            most_adapters: that stay in memory; of more, the ones used last.
        """
        self._size = size
        self._most_adapters = most_adapters

    @classmethod
    def check(cls, known: Mapping[str, Any], coming: Mapping[str, bool], roles: Set[str]) -> None:
        """Refuses what `prepare` would, as far as it follows from what the request brings and what comes."""

        def comes(name: str) -> bool:
            return name in coming or known.get(name) is not None

        if not any(map(comes, ("prompt", "prompts", "caption"))):
            raise InvalidInput("prompt", "a prompt, or a caption from another node", "neither")
        if known.get("image_strength") is not None and not comes("image"):
            raise InvalidInput("image", "a photo to start from, for image_strength", "nothing")
        if known.get("width") is not None and known.get("height") is not None:
            check_shape(known["width"], known["height"], "width")
        texts = len(known.get("prompts") or [""])
        if "prompts" in coming:
            return
        if known.get("seeds") is None and known.get("seed") is not None and "variants" in known:
            count_up(known["seed"], known["variants"] * texts)
        asked = known.get("priors")
        maps = [name for name in roles if name not in cls.roles and comes(name)]
        if "prompt" in coming or "priors" in coming:
            return
        unsteered = "prompt" if comes("prompt") or comes("prompts") else "caption"
        names = choose_pictures(asked, maps, unsteered)
        # Of a map that only may come, what is asked for by name alone is sure to be drawn.
        sure = all(coming.get(name, True) for name in maps)
        if "variants" in known and (asked or sure):
            check_count(names * known["variants"] * texts)
            if known.get("seeds") is not None:
                check_seeds(known["seeds"], names * known["variants"] * texts)

    def load(self, weights: Weights) -> None:
        """Loads `base` (a pipeline of Stable Diffusion 1, 2 or XL) and a ControlNet for every prior.

        The role `vae` replaces the base's own: SDXL's is unfit for half precision.
        """
        import torch
        from diffusers import AutoencoderKL, ControlNetModel, DiffusionPipeline
        from diffusers.image_processor import VaeImageProcessor

        from components.adapters import Adapters
        from components.prompts import PromptReader

        dtype = torch.float16 if weights.device.startswith("cuda") else torch.float32

        own_vae = {"vae": None} if "vae" in weights else {}

        def load_base() -> _Base:
            pipeline = DiffusionPipeline.from_pretrained(weights["base"], dtype=dtype, **own_vae)
            vae = pipeline.vae and pipeline.vae.to(weights.device).eval()
            unet = pipeline.unet.to(weights.device).eval()
            return _Base(pipeline.scheduler, PromptReader(pipeline, weights.device), unet, vae)

        def load_net(role: str) -> Any:
            net = ControlNetModel.from_pretrained(weights[role], dtype=dtype).to(weights.device).eval()
            # What a control says is the same at every step, so it is embedded once a request and not,
            # as the net would do it, once a step.
            net.embed, net.controlnet_cond_embedding = net.controlnet_cond_embedding, torch.nn.Identity()
            return net

        self._base: _Base = shared(load_base, weights["base"], weights.device, *own_vae)
        self._scheduler, self._unet = self._base.scheduler, self._base.unet
        self._prompts: PromptReader = self._base.prompts
        self._vae = pretrained(AutoencoderKL, weights, "vae") if own_vae else self._base.vae
        # One picture at a time: less memory, and no picture depends on what else is decoded.
        self._vae.enable_slicing()
        self._codec = VaeImageProcessor(vae_scale_factor=2 ** (len(self._vae.config.block_out_channels) - 1))
        self._nets = {
            role: shared(functools.partial(load_net, role), weights[role], "embeds", weights.device)
            for role in weights
            if role not in {*self.roles, *weights.adapters}
        }
        self._adapters = Adapters(
            {role: weights[role] for role in sorted(weights.adapters)},
            {"unet": self._unet, **self._prompts.encoders},
            self._most_adapters,
        )
        self._device = torch.device(weights.device)

    def prepare(
        self,
        prompt: Prompt | None = None,
        prompts: Annotated[
            list[Prompt] | None,
            Field(min_length=1, max_length=MOST_PICTURES, description="Several prompts, instead of one"),
        ] = None,
        caption: Prompt | None = None,
        negative_prompt: NegativePrompt = "",
        image: Image | None = None,
        priors: Annotated[
            list[PictureName] | None,
            Field(min_length=1, description="Which pictures to draw; all that can be by default"),
        ] = None,
        controls: Annotated[
            dict[ControlName, Control],
            Field(description='How each prior steers: {"depth": {"strength": 0.8, "end": 0.6}}'),
        ] = {},  # noqa: B006  (never changed)
        adapters: Annotated[
            dict[Annotated[str, AdapterName()], AdapterStrength],
            Field(description='Adapters (LoRA) to add, and how strongly: {"watercolour": 0.8}'),
        ] = {},  # noqa: B006  (never changed)
        combined_strength: Annotated[
            Strength | None,
            Field(description="Factor of all strengths in the picture steered by all; else by their number"),
        ] = None,
        variants: Annotated[int, Field(ge=1, le=16, description="Pictures for each prompt and prior")] = 1,
        seed: Annotated[
            Seed,
            Field(description="Of the first variant; the next ones, and those of further prompts, count up"),
        ] = 0,
        seeds: Annotated[list[Seed] | None, Field(description="One a picture, instead")] = None,
        steps: Annotated[int, Field(ge=1, le=200, description="Denoising steps")] = 30,
        guidance: Annotated[
            float, Field(ge=0, le=30, allow_inf_nan=False, description="How closely to follow the prompt")
        ] = 7.5,
        image_strength: Annotated[
            Unit | None, Field(gt=0, description="Start from the photo, this far noised; else from noise")
        ] = None,
        width: Annotated[Side | None, Field(description="Else as the photo's or the maps' shape")] = None,
        height: Annotated[Side | None, Field(description="Else as the photo's or the maps' shape")] = None,
        **maps: Image,
    ) -> Plan:
        """Plans the pictures of one request: of every prompt all variants, and of each all priors.

        Raises:
            InvalidInput: this cannot be drawn: the field at fault says what can.
        """
        texts = prompts or [one for one in (prompt, caption) if one is not None][:1]
        if not texts:
            raise InvalidInput("prompt", "a prompt, or a caption from another node", "neither")
        shape = self._shape(width, height, image, [*maps.values()])
        unsteered = "caption" if prompt is None and prompts is None else "prompt"
        one_variant = choose_pictures(priors, list(maps), unsteered)
        names = one_variant * variants * len(texts)
        check_count(names)
        if seeds is None:
            seeds = [one for one in count_up(seed, variants * len(texts)) for _ in one_variant]
        check_seeds(seeds, names)
        if image_strength is not None and image is None:
            raise InvalidInput("image", "a photo to start from, for image_strength", "nothing")
        photo = image if image_strength is not None else None
        pictures = len(one_variant) * variants  # of a prompt
        pieces = [self._prompts.pieces([text, negative_prompt]) for text in texts]
        acting = sum(controls.get(name, Control()).strength > 0 for name in maps)
        plan = Plan(
            prompts=[text for text in texts for _ in range(pictures)],
            negative_prompt=negative_prompt,
            names=names,
            seeds=seeds,
            pieces=[own for own in pieces for _ in range(pictures)],
            # In the size in which they are looked at: while the plan waits, it holds nothing larger.
            adapters={name: strength for name, strength in adapters.items() if strength},
            maps={name: Image(pixels=one.map_rgb().resize(shape)) for name, one in maps.items()},
            controls=controls,
            combined_strength=share_of_each(acting) if combined_strength is None else combined_strength,
            steps=steps,
            guidance=guidance,
            shape=shape,
            photo=Image(pixels=photo.rgb().resize(shape)) if photo else None,
            image_strength=image_strength or 1.0,
        )
        self._check_parts(plan)
        for name in plan.adapters:
            self._adapters.read(name)  # read now, while others are drawn
        return plan

    def _check_parts(self, plan: Plan) -> None:
        """Refuses a part of the steps into which no whole step falls: the prior would steer nothing."""
        from components.denoise import falls_into, schedule

        for role in plan.maps:
            control = plan.control(role)
            start, end = control.start, control.end
            if end - start == 1 or not any(plan.strength(role, row) for row in range(len(plan.names))):
                continue
            steps = len(schedule(self._scheduler, plan.steps, plan.start, self._device)[1])
            if not any(falls_into(step, steps, start, end) for step in range(steps)):
                step = min(int(start * steps), steps - 1)
                expected = f"a part that holds a whole step, such as {step}/{steps} to {step + 1}/{steps}"
                raise InvalidInput(f"controls.{role}", expected, f"{start:g} to {end:g}")

    def _shape(
        self, width: int | None, height: int | None, image: Image | None, maps: Sequence[Image]
    ) -> tuple[int, int]:
        """Width and height in px: as asked, else the photo's or the maps' aspect, else square.

        Raises:
            InvalidInput: no node could read a picture so long.
        """
        like = image or next(iter(maps), None)
        own = working_size(*like.size, self._size) if like else (self._size, self._size)
        shape = width or own[0], height or own[1]
        check_shape(*shape, "height" if width is None else "width")
        return shape

    def predict_batch(self, plans: Sequence[Plan], progress: Progress) -> list[Drawn]:
        """Draws the pictures of all plans, which agree in their key: in a loop for each length of prompts."""
        pictures: dict[int, Iterator[Image]] = {}
        loops = plans[0].loops
        for index, pieces in enumerate(loops):
            pictures[pieces] = self._loop(
                [plan.in_loop(pieces) for plan in plans], progress, index, len(loops)
            )
        answers: list[Drawn] = []
        for plan in plans:
            drawn: Drawn = {
                "pictures": [next(pictures[pieces]) for pieces in plan.pieces],
                "prompts": [*plan.prompts],
                "steered_by": [*plan.names],
                "seeds": [*plan.seeds],
            }
            if len(set(plan.prompts)) == 1:
                drawn["prompt"] = plan.prompts[0]
            answers.append(drawn)
        return answers

    def _loop(self, plans: Sequence[Plan], progress: Progress, index: int, loops: int) -> Iterator[Image]:
        """Draws the pictures of plans whose prompts are equally long; it is loop `index` of `loops`."""
        import torch

        from components.adapters import adapted
        from components.denoise import denoise, guidance_copies, schedule

        first = plans[0]
        adapters = {name: self._adapters.read(name) for plan in plans for name in plan.adapters}
        rows = [plan.adapters for plan in plans for _ in plan.names]
        scheduler, timesteps = schedule(self._scheduler, first.steps, first.start, self._device)
        # Noise is drawn on the CPU, so that a seed means the same picture on every device.
        generators = [[torch.Generator().manual_seed(seed) for seed in plan.seeds] for plan in plans]

        def report(done: int, clean: torch.Tensor | None) -> None:
            steps = len(timesteps)
            preview = None if clean is None else lambda: self._decode(clean[:1])[0]
            progress(index * steps + done, loops * steps, preview)

        with torch.inference_mode():
            starts = [
                self._start(plan, own, scheduler, timesteps[:1])
                for plan, own in zip(plans, generators, strict=True)
            ]
            prompts, steerings = self._encode(plans, adapters), self._steerings(plans)
            with adapted(adapters, rows * guidance_copies(first.guided), starts[0]):
                latents = denoise(
                    self._unet,
                    scheduler,
                    timesteps,
                    torch.cat(starts),
                    prompts,
                    steerings,
                    [plan.guidance for plan in plans for _ in plan.names],
                    [generator for own in generators for generator in own],
                    report,
                )
            return iter(self._decode(latents))

    def _start(
        self, plan: Plan, generators: Sequence[torch.Generator], scheduler: Any, timestep: torch.Tensor
    ) -> torch.Tensor:
        """Noise or, where there is a photo, its latents noised to `timestep`; [pictures, c, h, w].

        Source: Meng et al. 2021, SDEdit; order of draws as in diffusers' img2img pipelines.
        """
        import torch

        factor = self._codec.config.vae_scale_factor
        size = (1, self._unet.config.in_channels, plan.shape[1] // factor, plan.shape[0] // factor)

        def noise() -> torch.Tensor:
            # In the model's precision, as diffusers does: half-precision draws are other numbers.
            draws = [torch.randn(size, generator=one, dtype=self._unet.dtype) for one in generators]
            return torch.cat(draws).to(self._device)

        if plan.photo is None:
            return noise() * scheduler.init_noise_sigma
        pixels = self._codec.preprocess(plan.photo.rgb())
        posterior = self._vae.encode(pixels.to(self._device, self._vae.dtype)).latent_dist
        latents = torch.cat([posterior.sample(generator) for generator in generators])
        return scheduler.add_noise(latents * self._vae.config.scaling_factor, noise(), timestep)

    def _steerings(self, plans: Sequence[Plan]) -> list[Steering]:
        """One steering for each ControlNet and part of the steps, over the pictures of all plans."""
        import torch

        from components.denoise import Steering

        rows: dict[tuple[str, float, float], list[tuple[int, float, torch.Tensor]]] = {}
        offset = 0
        for plan in plans:
            for role, control in plan.maps.items():
                strengths = {row: plan.strength(role, row) for row in range(len(plan.names))}
                if any(strengths.values()):
                    embedded = self._embed(role, control)
                    key = (role, plan.control(role).start, plan.control(role).end)
                    rows.setdefault(key, []).extend(
                        (offset + row, strength, embedded) for row, strength in strengths.items() if strength
                    )
            offset += len(plan.names)
        return [
            Steering(
                net=self._nets[role],
                control=torch.cat([embedded for _, _, embedded in steered]),
                rows=torch.tensor([row for row, _, _ in steered], device=self._device),
                strength=torch.tensor(
                    [s for _, s, _ in steered], device=self._device, dtype=self._unet.dtype
                ),
                start=start,
                end=end,
            )
            for (role, start, end), steered in rows.items()
        ]

    def _embed(self, role: str, control: Image) -> torch.Tensor:
        """Returns what a control says to its ControlNet, [1, channels, h, w]."""
        import torch

        pixels = np.asarray(control.rgb(), np.float32) / 255
        one = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        embedded: torch.Tensor = self._nets[role].embed(one.to(self._device, self._unet.dtype))
        return embedded

    def _encode(self, plans: Sequence[Plan], adapters: Mapping[str, Adapter]) -> Conditioning:
        """Encodes all prompts, a row a picture, the negative ones first; each with its own adapters."""
        from components.adapters import adapted

        rows = [plan.adapters for plan in plans]
        texts = [plan.negative_prompt for plan in plans]
        negative = [index for index, plan in enumerate(plans) for _ in plan.names]
        positive: list[int] = []
        for plan in plans:
            own = list(dict.fromkeys(plan.prompts))
            positive += [len(texts) + own.index(prompt) for prompt in plan.prompts]
            texts += own
            rows += [plan.adapters] * len(own)
        with adapted(adapters, rows, next(self._unet.parameters())):
            return self._prompts.encode(texts, plans[0].shape, self._unet.dtype)[negative + positive]

    def _decode(self, latents: torch.Tensor) -> list[Image]:
        import torch

        with torch.inference_mode():
            pixels = self._vae.decode(latents / self._vae.config.scaling_factor).sample
        return [Image(pixels=one) for one in self._codec.postprocess(pixels, output_type="pil")]
