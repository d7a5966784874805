"""`generate` against diffusers' own pipelines, and what is promised of seeds, batches and cancelling."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    ControlNetModel,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLPipeline,
)
from PIL import Image as Pillow

from components.generate import Generate
from components.plan import COMBINED, Control
from imagegraph.codecs import pixels
from imagegraph.component import Progress, Weights
from imagegraph.errors import Cancelled, InvalidInput
from imagegraph.image import Image

SIDE = 64
PROMPT, NEGATIVE, SEED, STEPS, GUIDANCE = "a red ball", "blur", 7, 5, 3.0
GREY = np.zeros((SIDE, SIDE, 3), np.uint8)
TOLERANCE = 2  # of 255


def load(folders: dict[str, Path]) -> Generate:
    component = Generate(size=SIDE)
    component.load(Weights(folders))
    return component


@pytest.fixture(scope="module")
def generate(folders: dict[str, Path]) -> Generate:
    return load(folders)


def draw(generate: Generate, **values: Any) -> dict[str, Any]:
    settings = {"prompt": PROMPT, "negative_prompt": NEGATIVE, "seed": SEED, "steps": STEPS}
    return dict(generate.predict(progress=Progress(), **{**settings, "guidance": GUIDANCE, **values}))


def difference(one: Image, other: Any) -> int:
    return int(np.abs(np.asarray(one.rgb(), np.int16) - np.asarray(other, np.int16)).max())


def reference(folders: dict[str, Path], kind: Any, roles: list[str], **values: Any) -> Any:
    """The picture of one diffusers pipeline with the same settings."""
    parts = {}
    if roles:
        nets = [ControlNetModel.from_pretrained(folders[role]) for role in roles]
        parts["controlnet"] = nets[0] if len(nets) == 1 else nets
    pipeline = kind.from_pretrained(folders["base"], **parts)
    pipeline.set_progress_bar_config(disable=True)
    scheduler = values.pop("scheduler", None)
    if scheduler:
        pipeline.scheduler = scheduler
    return pipeline(
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        num_inference_steps=STEPS,
        guidance_scale=values.pop("guidance_scale", GUIDANCE),
        generator=torch.Generator().manual_seed(SEED),
        **values,
    ).images[0]


@pytest.mark.parametrize(
    ("base", "unsteered", "steered"),
    [
        ("folders", StableDiffusionPipeline, StableDiffusionControlNetPipeline),
        ("xl_folders", StableDiffusionXLPipeline, StableDiffusionXLControlNetPipeline),
    ],
)
def test_every_picture_equals_the_one_of_diffusers_pipelines(
    request, controls, base, unsteered, steered
) -> None:
    folders = request.getfixturevalue(base)
    drawn = draw(load(folders), **controls, combined_strength=1.0)
    assert drawn["steered_by"] == ["prompt", *controls, COMBINED]
    assert len({picture.data for picture in drawn["pictures"]}) == len(drawn["pictures"])
    for picture, name in zip(drawn["pictures"], drawn["steered_by"], strict=True):
        roles = {"prompt": [], COMBINED: list(controls)}.get(name, [name])
        maps = [controls[role].rgb() for role in roles]
        images = {"image": maps[0] if len(maps) == 1 else maps} if maps else {}
        kind = steered if roles else unsteered
        expected = reference(folders, kind, roles, **images, width=SIDE, height=SIDE)
        assert difference(picture, expected) <= TOLERANCE, name


@pytest.mark.parametrize(
    "kind",
    [PNDMScheduler, EulerAncestralDiscreteScheduler, DPMSolverMultistepScheduler, HeunDiscreteScheduler],
)
def test_other_schedulers_equal_diffusers_too(generate, folders, controls, monkeypatch, kind) -> None:
    scheduler = kind.from_config(generate._scheduler.config)
    monkeypatch.setattr(generate, "_scheduler", scheduler)
    picture = draw(generate, depth=controls["depth"], priors=["depth"])["pictures"][0]
    again = draw(generate, depth=controls["depth"], priors=["depth"])["pictures"][0]
    assert picture == again, "a run leaves no state in the scheduler"
    settings = {"image": controls["depth"].rgb(), "scheduler": kind.from_config(scheduler.config)}
    expected = reference(folders, StableDiffusionControlNetPipeline, ["depth"], **settings)
    assert difference(picture, expected) <= TOLERANCE


def test_a_control_with_alpha_steers_as_the_same_on_black(generate) -> None:
    lines = np.zeros((SIDE, SIDE), np.uint8)
    lines[8:56:8] = 255
    white = Pillow.new("L", (SIDE, SIDE), 255)
    transparent = Image(Image(pixels=Pillow.merge("LA", [white, Pillow.fromarray(lines)])).data)
    drawn = [
        draw(generate, edges=control, priors=["edges"], steps=2)["pictures"][0]
        for control in (Image.from_array(lines), transparent, Image(pixels=white))
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_strength_and_part_of_the_steps_equal_diffusers(generate, folders, controls) -> None:
    how = {"depth": Control(strength=0.7, end=0.5), "edges": Control(strength=1.3, start=0.3)}
    maps = {role: controls[role] for role in how}
    drawn = draw(generate, **maps, controls=how, combined_strength=0.5, priors=[COMBINED])
    expected = reference(
        folders,
        StableDiffusionControlNetPipeline,
        list(how),
        image=[one.rgb() for one in maps.values()],
        controlnet_conditioning_scale=[0.35, 0.65],
        control_guidance_start=[0.0, 0.3],
        control_guidance_end=[0.5, 1.0],
    )
    assert difference(drawn["pictures"][0], expected) <= TOLERANCE


def test_starting_from_the_photo_equals_diffusers_img2img(generate, folders, controls) -> None:
    photo = controls["pose"]
    drawn = draw(generate, image=photo, depth=controls["depth"], image_strength=0.6, priors=["depth"])
    expected = reference(
        folders,
        StableDiffusionControlNetImg2ImgPipeline,
        ["depth"],
        image=photo.rgb(),
        control_image=controls["depth"].rgb(),
        strength=0.6,
        controlnet_conditioning_scale=1.0,
    )
    assert difference(drawn["pictures"][0], expected) <= TOLERANCE


def test_without_guidance_the_negative_prompt_costs_nothing_and_equals_diffusers(
    generate, folders, controls
) -> None:
    drawn = draw(generate, depth=controls["depth"], guidance=1.0, priors=["depth"])
    expected = reference(
        folders,
        StableDiffusionControlNetPipeline,
        ["depth"],
        image=controls["depth"].rgb(),
        guidance_scale=1.0,
    )
    assert difference(drawn["pictures"][0], expected) <= TOLERANCE


def test_a_picture_does_not_depend_on_what_shares_its_batch(generate, controls) -> None:
    together = draw(generate, **controls, variants=2)
    for index, (name, seed) in enumerate(zip(together["steered_by"], together["seeds"], strict=True)):
        needed = controls if name == COMBINED else {name: controls[name]} if name in controls else {}
        alone = draw(generate, **needed, priors=[name], seeds=[seed])
        assert difference(together["pictures"][index], alone["pictures"][0].rgb()) <= 1, (name, seed)


def test_requests_that_share_a_loop_draw_what_they_draw_alone(generate, controls) -> None:
    requests: list[dict[str, Any]] = [
        {"prompt": "a red ball", **controls, "variants": 2},
        {"prompt": "a cone", "negative_prompt": "red", "depth": controls["pose"], "seed": 5},
        {"prompt": "a cube", "edges": controls["depth"], "controls": {"edges": Control(end=0.5)}},
        {"prompt": "a house " * 50},
    ]
    requests[1]["guidance"] = 7.3  # each has its own
    plans = [generate.prepare(steps=4, **{"guidance": GUIDANCE, **request}) for request in requests]
    assert [plan.cost for plan in plans] == [12, 2, 2, 1]
    assert generate.prepare(steps=4, **requests[0], guidance=1.0).key != plans[0].key
    assert len({plan.key for plan in plans[:3]}) == 1
    assert plans[3].key != plans[0].key, "a longer prompt would lengthen the others"
    together = generate.predict_batch(plans[:3], Progress())
    for plan, drawn in zip(plans, together, strict=False):
        (alone,) = generate.predict_batch([plan], Progress())
        for one, other in zip(drawn["pictures"], alone["pictures"], strict=True):
            assert difference(one, other.rgb()) <= 1


def test_several_prompts_share_a_loop_and_each_picture_is_what_it_is_alone(generate, controls) -> None:
    texts = ["a red ball", "a cone"]
    settings = {"depth": controls["depth"], "variants": 2}
    together = draw(generate, prompt=None, prompts=texts, **settings)
    assert together["prompts"] == [text for text in texts for _ in range(4)]
    assert together["steered_by"] == ["prompt", "depth"] * 4
    assert together["seeds"] == [SEED + n for n in (0, 0, 1, 1, 2, 2, 3, 3)]
    assert "prompt" not in together
    apart = [draw(generate, prompt=text, **settings, seed=SEED + 2 * n) for n, text in enumerate(texts)]
    alone = [one for drawn in apart for one in drawn["pictures"]]
    for one, other in zip(together["pictures"], alone, strict=True):
        assert difference(one, other.rgb()) <= 1


def test_a_long_prompt_lengthens_no_other_of_its_request(generate) -> None:
    texts = ["a red ball", "a house " * 50, "a cone"]
    reported: list[tuple[int, int]] = []
    progress = Progress(lambda done, total, preview: reported.append((done, total)))
    together = generate.predict(progress, prompts=texts, seed=SEED, steps=STEPS)
    assert reported == [(done, 2 * STEPS) for done in (*range(STEPS + 1), *range(STEPS, 2 * STEPS + 1))]
    for index, text in enumerate(texts):
        alone = generate.predict(Progress(), prompt=text, seed=SEED + index, steps=STEPS)
        assert difference(together["pictures"][index], alone["pictures"][0].rgb()) <= 1


def test_variants_count_seeds_up_and_seeds_can_be_given_for_each_picture(generate, controls) -> None:
    drawn = draw(generate, depth=controls["depth"], variants=2, priors=["depth"])
    assert drawn["seeds"] == [SEED, SEED + 1]
    chosen = draw(generate, depth=controls["depth"], variants=2, priors=["depth"], seeds=[SEED + 1, 99])
    assert chosen["pictures"][0] == drawn["pictures"][1]


@pytest.mark.parametrize(
    ("values", "field", "expected"),
    [
        ({"prompt": None}, "prompt", "a caption"),
        ({"seeds": [1, 2], "priors": ["depth"]}, "seeds", "1 seeds, one a picture"),
        ({"priors": ["pose"]}, "priors", "some of prompt, depth"),
        ({"priors": ["depth", "depth"]}, "priors", "each prior once"),
        ({"image_strength": 0.5}, "image", "a photo to start from"),
        ({"seed": 2**53 - 1, "variants": 2}, "seed", "at most 9007199254740990 for 2 variants"),
        ({"prompts": ["a", "b"], "seeds": [1, 2]}, "seeds", "4 seeds, one a picture"),
        ({"prompts": ["a"] * 9, "variants": 16}, "prompts", "at most 256 pictures"),
        (
            {"controls": {"depth": Control(start=0.5, end=0.55)}},
            "controls.depth",
            "a whole step, such as 2/5 to 3/5, got '0.5 to 0.55'",
        ),
        (
            {"controls": {"depth": Control(end=0.2)}, "image_strength": 0.6, "image": Image.from_array(GREY)},
            "controls.depth",
            "a whole step, such as 0/3 to 1/3, got '0 to 0.2'",
        ),
        ({"width": 2048, "height": 64}, "width", "width and height within 4:1"),
        ({"height": 320}, "height", "width and height within 4:1"),
    ],
)
def test_what_cannot_be_drawn_is_named(generate, controls, values, field, expected) -> None:
    with pytest.raises(InvalidInput, match=expected) as caught:
        draw(generate, depth=controls["depth"], **values)
    assert caught.value.field == field


def test_a_part_that_steers_nothing_matters_only_where_it_would_steer(generate, controls) -> None:
    settings = {"prompt": PROMPT, "depth": controls["depth"], "steps": STEPS}
    for part in (Control(start=0.4, end=0.6), Control(end=0.2), Control(start=0.8)):
        generate.prepare(**settings, controls={"depth": part})
    nothing = Control(start=0.5, end=0.55)
    generate.prepare(**settings, controls={"pose": nothing})
    generate.prepare(**settings, controls={"depth": nothing}, priors=["prompt"])
    generate.prepare(**settings, controls={"depth": nothing.model_copy(update={"strength": 0.0})})
    assert generate.prepare(prompt=PROMPT, seed=2**53 - 2, variants=2).seeds == [2**53 - 2, 2**53 - 1]


def test_the_caption_is_drawn_where_there_is_no_prompt(generate) -> None:
    drawn = draw(generate, prompt=None, caption="a cone")
    assert drawn["prompt"] == "a cone"
    assert drawn["steered_by"] == ["caption"]


def test_a_long_prompt_is_read_to_its_end(generate) -> None:
    start = "a" * 200
    one, other = (draw(generate, prompt=f"{start} {end}")["pictures"][0] for end in ("red", "blue"))
    assert one != other


def test_the_size_follows_the_request_then_the_photo_then_the_model(generate, controls) -> None:
    wide = Image.from_array(np.zeros((100, 200, 3), np.uint8))
    assert draw(generate)["pictures"][0].size == (SIDE, SIDE)
    assert draw(generate, image=wide)["pictures"][0].size == (2 * SIDE, SIDE)
    assert draw(generate, image=wide, width=64, height=128)["pictures"][0].size == (64, 128)


def test_progress_counts_steps_with_a_preview_and_can_cancel(generate) -> None:
    seen: list[tuple[int, int, bool]] = []
    previews: list[Image] = []

    def listen(done: int, total: int, preview: Any) -> None:
        seen.append((done, total, preview is not None))
        if preview:
            previews.append(preview())
        if done == 3:
            progress.cancel()

    progress = Progress(listen)
    with pytest.raises(Cancelled):
        generate.predict(progress=progress, prompt=PROMPT, steps=STEPS)
    assert [done for done, _, _ in seen] == [0, 1, 2, 3]
    assert {total for _, total, _ in seen} == {STEPS}
    assert previews[0].size == (SIDE, SIDE)


def test_half_the_work_is_done_without_guidance(generate) -> None:
    rows: list[int] = []
    hook = generate._unet.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    try:
        draw(generate, variants=2, steps=1, guidance=3.0)
        draw(generate, variants=2, steps=1, guidance=1.0)
    finally:
        hook.remove()
    assert rows == [4, 2]


def test_a_plan_that_waits_holds_pictures_in_the_size_that_is_drawn_and_decodes_no_others(
    generate, monkeypatch
) -> None:
    large = Image.from_array(np.zeros((1024, 2048, 3), np.uint8)).data
    values = {"prompt": PROMPT, "image": Image(large), "depth": Image(large), "edges": Image(large)}
    plan = generate.prepare(**values, image_strength=0.5)
    assert plan.shape == (128, 64)
    assert [one.size for one in (plan.photo, *plan.maps.values())] == [plan.shape] * 3

    monkeypatch.setattr(pixels, "decode", lambda *arguments: pytest.fail("decoded"))
    plan = generate.prepare(prompt=PROMPT, image=Image(large))
    assert (plan.shape, plan.photo) == ((128, 64), None)


@pytest.mark.parametrize("name", ["image", "depth"])
def test_a_picture_that_is_cut_off_is_refused_before_it_shares_a_batch(generate, name) -> None:
    whole = Image.from_array(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).data
    broken = Image(whole[:-500])
    broken.check(name)
    strength = {"image_strength": 0.5} if name == "image" else {}
    with pytest.raises(InvalidInput, match=f"{name}: expected a whole picture"):
        generate.prepare(**{"prompt": PROMPT, name: broken, **strength})
