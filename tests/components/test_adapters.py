"""Adapters (LoRA) of `generate`: as if worked into the base, row by row, in and out of memory."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from components.generate import Generate
from imagegraph.component import Progress, Weights
from imagegraph.errors import ImagegraphError
from imagegraph.image import Image
from tests.components import lora

TOLERANCE = 2  # of 255
FORMS = {"peft": lora.write_peft, "diffusers": lora.write_diffusers, "kohya": lora.write_kohya}
VALUES = {"prompt": "a red ball", "negative_prompt": "blur", "seed": 7, "steps": 4, "guidance": 3.0}


def load(base: Path, adapters: dict[str, Path] | None = None, most: int = 8) -> Generate:
    component = Generate(size=64, most_adapters=most)
    folders = {"base": base, **(adapters or {})}
    component.load(Weights(folders, adapters=frozenset(adapters or {})))
    return component


def draw(generate: Generate, **values: Any) -> Image:
    return generate.predict(progress=Progress(), **{**VALUES, **values})["pictures"][0]


def difference(one: Image, other: Image) -> int:
    return int(np.abs(np.asarray(one.rgb(), np.int16) - np.asarray(other.rgb(), np.int16)).max())


@pytest.fixture(scope="module")
def base(folders: dict[str, Path]) -> Path:
    return folders["base"]


@pytest.fixture(scope="module")
def two(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A base with two adapters, and what they are made of."""
    root = tmp_path_factory.mktemp("adapters")
    pairs = {name: lora.pairs(base, seed) for name, seed in (("ink", 1), ("oil", 2))}
    written = {name: lora.write_diffusers(root / name, own) for name, own in pairs.items()}
    return {"pairs": pairs, "generate": load(base, written), "folders": written, "root": root}


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_is_that_of_a_base_into_which_the_adapter_was_worked(base, tmp_path, form) -> None:
    pairs = lora.pairs(base, 3, texts=form != "peft")
    generate = load(base, {"own": FORMS[form](tmp_path / form, pairs)})
    changed = load(lora.worked_in(base, tmp_path / "base", (pairs, 0.7)))
    assert difference(draw(generate, adapters={"own": 0.7}), draw(changed)) <= TOLERANCE
    assert difference(draw(generate, adapters={"own": 0.7}), draw(generate)) > 10, "it changes something"


def test_the_parts_of_sdxl_have_adapters_too(xl_folders, tmp_path) -> None:
    base = xl_folders["base"]
    pairs = lora.pairs(base, 4)
    assert any(path.startswith("text_encoder_2.") for path in pairs)
    generate = load(base, {"own": lora.write_diffusers(tmp_path / "own", pairs)})
    changed = load(lora.worked_in(base, tmp_path / "base", (pairs, 0.5)))
    assert difference(draw(generate, adapters={"own": 0.5}), draw(changed)) <= TOLERANCE
    assert difference(draw(generate, adapters={"own": 0.5}), draw(generate)) > 10


def test_several_adapters_are_added_up(base, two, tmp_path) -> None:
    stacked = [(two["pairs"]["ink"], 0.5), (two["pairs"]["oil"], -0.4)]
    changed = load(lora.worked_in(base, tmp_path / "base", *stacked))
    drawn = draw(two["generate"], adapters={"ink": 0.5, "oil": -0.4})
    assert difference(drawn, draw(changed)) <= TOLERANCE


def test_requests_with_different_adapters_share_a_loop_and_each_is_drawn_as_if_alone(two) -> None:
    generate = two["generate"]
    asked: list[dict[str, Any]] = [
        {"adapters": {"ink": 0.6}, "seed": 1},
        {"seed": 2},
        {"adapters": {"oil": 0.6, "ink": 0.3}, "seed": 3, "prompts": ["a red ball", "a blue cone"]},
        {"adapters": {"ink": 0.0}, "seed": 4},
    ]
    plans = [generate.prepare(**{**VALUES, **one}) for one in asked]
    assert len({plan.key for plan in plans}) == 1
    batches: list[int] = []
    hook = generate._unet.register_forward_pre_hook(lambda _, inputs: batches.append(len(inputs[0])))
    together = generate.predict_batch(plans, Progress())
    hook.remove()
    assert set(batches) == {2 * 5}
    for one, answer in zip(asked, together, strict=True):
        alone = generate.predict(progress=Progress(), **{**VALUES, **one})
        for drawn, picture in zip(answer["pictures"], alone["pictures"], strict=True):
            assert difference(drawn, picture) <= TOLERANCE
    assert difference(together[1]["pictures"][0], draw(generate, seed=2)) <= TOLERANCE
    assert difference(together[3]["pictures"][0], draw(generate, seed=4)) <= TOLERANCE


def test_who_shares_the_base_without_adapters_draws_as_before(base, two) -> None:
    plain = load(base)
    assert plain._unet is two["generate"]._unet
    before = draw(plain)
    draw(two["generate"], adapters={"ink": 1.0})
    assert draw(plain).data == before.data


def test_who_share_a_base_draw_at_the_same_time_and_each_with_its_own(base, two) -> None:
    other = load(base, two["folders"])
    asked = [(two["generate"], {"ink": 0.7}), (other, {"oil": 0.7}), (load(base), {})] * 3
    alone = [draw(generate, adapters=adapters) for generate, adapters in asked]
    with ThreadPoolExecutor(3) as threads:
        drawn = list(threads.map(lambda one: draw(one[0], adapters=one[1]), asked))
    assert [one.data for one in drawn] == [one.data for one in alone]


def test_without_guidance_each_picture_has_its_adapters_too(base, two, tmp_path) -> None:
    changed = load(lora.worked_in(base, tmp_path / "base", (two["pairs"]["ink"], 0.5)))
    drawn = draw(two["generate"], adapters={"ink": 0.5}, guidance=1.0)
    assert difference(drawn, draw(changed, guidance=1.0)) <= TOLERANCE


def test_the_adapters_used_last_stay_and_the_base_is_never_read_again(base, two) -> None:
    generate = load(base, {**two["folders"], "third": two["folders"]["ink"]}, most=2)
    unet = generate._unet
    first = draw(generate, adapters={"ink": 0.5})
    draw(generate, adapters={"oil": 0.5})
    draw(generate, adapters={"ink": 0.5})
    assert generate._adapters.held == ["oil", "ink"]
    draw(generate, adapters={"third": 0.5})
    assert generate._adapters.held == ["ink", "third"]
    assert draw(generate, adapters={"oil": 0.5, "ink": 0.5, "third": 0.1}).size == first.size, "more at once"
    assert draw(generate, adapters={"ink": 0.5}).data == first.data
    assert generate._unet is unet


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda state: state | {"unet.x.dora_scale": torch.ones(1)},
            "no plain LoRA, it has unet.x.dora_scale",
        ),
        (
            lambda state: {key.replace("to_q", "to_z"): one for key, one in state.items()},
            r"is for other models: these have no layer unet\..*to_z",
        ),
        (
            lambda state: {key: one[..., :3] if one.ndim == 2 else one for key, one in state.items()},
            r"is for other models: unet\..* is \[\d+, \d+.*\] here",
        ),
        (lambda state: {key: one for key, one in state.items() if "up" not in key}, "half a pair for unet"),
    ],
)
def test_an_adapter_that_does_not_fit_is_named_with_its_file(base, two, tmp_path, spoil, message) -> None:
    state = load_file(two["folders"]["ink"] / "pytorch_lora_weights.safetensors")
    save_file({key: one.contiguous() for key, one in spoil(state).items()}, tmp_path / "bad.safetensors")
    generate = load(base, {"bad": tmp_path})
    with pytest.raises(ImagegraphError, match=rf"adapter 'bad': .*{message}.*bad\.safetensors"):
        draw(generate, adapters={"bad": 1.0})
    assert draw(generate).data == draw(load(base)).data


def test_a_folder_without_one_file_of_an_adapter_is_refused_when_models_load(base, tmp_path) -> None:
    with pytest.raises(ImagegraphError, match=re.escape(f"one file *.safetensors in {tmp_path}, got none")):
        load(base, {"empty": tmp_path})
