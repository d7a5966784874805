"""Files of adapters, in the forms in which people have them, and bases with an adapter worked in."""

import json
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from safetensors.torch import save_file

RANK, ALPHA = 4, 6.0
UNET = (
    "attn1.to_q",
    "attn2.to_k",
    "attn2.to_v",
    "attn1.to_out.0",
    "ff.net.0.proj",
    "resnets.0.conv1",
    "proj_in",
)
TEXT = ("self_attn.q_proj", "self_attn.out_proj", "mlp.fc1")
Pairs = dict[str, tuple[torch.Tensor, torch.Tensor]]


def pairs(base: Path, seed: int, size: float = 0.3, texts: bool = True) -> Pairs:
    """Random matrices down and up for layers of every kind, by the layer's path in the pipeline."""
    pipeline = DiffusionPipeline.from_pretrained(base)
    encoders = [name for name in ("text_encoder", "text_encoder_2") if name in pipeline.components and texts]
    models = {"unet": (pipeline.unet, UNET), **{name: (getattr(pipeline, name), TEXT) for name in encoders}}
    generator = torch.Generator().manual_seed(seed)
    found: Pairs = {}
    for part, (model, ends) in models.items():
        for path, layer in model.named_modules():
            if path.endswith(ends):
                out, *into = layer.weight.shape
                shapes = (RANK, *into), (out, RANK, *[1] * (len(into) - 1))
                down, up = (size * torch.randn(shape, generator=generator) for shape in shapes)
                found[f"{part}.{path}"] = down, up
    assert {path.partition(".")[0] for path in found} == set(models)
    return found


def write_peft(folder: Path, found: Pairs) -> Path:
    """As peft saves an adapter of one model."""
    state = {}
    for path, (down, up) in found.items():
        name = f"base_model.model.{path.removeprefix('unet.')}"
        state |= {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
    folder.mkdir()
    save_file(state, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": ["to_q"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def write_diffusers(folder: Path, found: Pairs) -> Path:
    """As diffusers saves one, with peft's configuration in the head."""
    state = {}
    for path, (down, up) in found.items():
        kind = "lora" if path.startswith("unet") else "lora_linear_layer"
        state |= {f"{path}.{kind}.down.weight": down, f"{path}.{kind}.up.weight": up}
    config = {f"{part}.lora_alpha": ALPHA for part in ("unet", "text_encoder", "text_encoder_2")}
    folder.mkdir()
    save_file(
        state, folder / "pytorch_lora_weights.safetensors", {"lora_adapter_metadata": json.dumps(config)}
    )
    return folder


def write_kohya(folder: Path, found: Pairs) -> Path:
    """As kohya's scripts save one, and most pages that offer them have it."""
    state = {}
    for path, (down, up) in found.items():
        part, _, layer = path.partition(".")
        if part == "text_encoder" and not layer.startswith("text_model."):
            layer = f"text_model.{layer}"  # as in the transformers that trained it
        name = {"unet": "lora_unet_", "text_encoder": "lora_te_"}[part] + layer.replace(".", "_")
        state |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
        state[f"{name}.alpha"] = torch.tensor(ALPHA)
    folder.mkdir()
    save_file(state, folder / "style.safetensors")
    return folder


def worked_in(base: Path, folder: Path, *adapters: tuple[Pairs, float]) -> Path:
    """Saves a base whose layers are changed by adapters of these strengths for good."""
    pipeline = DiffusionPipeline.from_pretrained(base)
    for found, strength in adapters:
        for path, (down, up) in found.items():
            part, _, rest = path.partition(".")
            layer = getattr(pipeline, part).get_submodule(rest)
            change = up.flatten(1) @ down.flatten(1) * (strength * ALPHA / RANK)
            layer.weight.data += change.view_as(layer.weight)
    pipeline.save_pretrained(folder)
    return folder
