"""Train one ControlNet of pocket: what an image prior (depth, pose, …) adds to a frozen UNet."""

import numpy as np
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from pocket.data import control_image, load
from pocket.train_diffusion import (
    encode_scenes,
    load_vae,
    noisy,
    object_weights,
    tokenize,
)
from pocket.training import DEVICE, WEIGHTS, arguments, model_card, save, train

KINDS = ("segmentation", "depth", "edges", "pose")
FIRST = KINDS[0]  # the others start from its trunk: what follows a map is alike in all of them
STEPS = 1000
BATCH = 48
LEARNING_RATE = 1e-3
ZERO_LEARNING_RATE = 2e-3  # for the layers that start at zero
AVERAGE = 0.995
EMPTY_CAPTIONS = 0.15  # with them the map alone has to tell what is where
EARLY_STEPS = 0.5  # of the batches see only 400..999, where the places of things are decided
EMBEDDING = (16, 16, 32, 64)  # three halvings: from 128 px to 16 x 16

WHAT = {
    "segmentation": "a map of classes in the colours of `world.PALETTE`",
    "depth": "inverse distance as grey, stretched over 0..255, near = bright",
    "edges": "Canny edges (100, 200), white on black",
    "pose": "people as drawn by OpenPose (`components/pose.py: draw_people`)",
}


def make_controlnet(unet: UNet2DConditionModel, kind: str) -> ControlNetModel:
    """Return a copy of the UNet's encoder, or of the first ControlNet's but for the embedding."""
    torch.manual_seed(KINDS.index(kind))
    model = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=EMBEDDING)
    if kind != FIRST:
        first = ControlNetModel.from_pretrained(WEIGHTS / f"controlnet-{FIRST}", torch_dtype=torch.float32)
        trunk = {k: v for k, v in first.state_dict().items() if "cond_embedding" not in k}
        model.load_state_dict(trunk, strict=False)
    return model


def main() -> None:
    """Train the ControlNet that the command line names and save it."""
    options = arguments(__doc__, choices=KINDS)
    kind = options.choice
    base = WEIGHTS / "stable-diffusion"
    scenes = load("train")
    latents = encode_scenes(load_vae(), scenes)
    tokenizer = CLIPTokenizer.from_pretrained(base / "tokenizer")
    tokens, empty = tokenize(tokenizer, scenes.captions), tokenize(tokenizer, [""])
    text = CLIPTextModel.from_pretrained(base / "text_encoder", dtype=torch.float32)
    unet = UNet2DConditionModel.from_pretrained(base / "unet", torch_dtype=torch.float32)
    text.requires_grad_(False).to(DEVICE).eval()
    unet.requires_grad_(False).to(DEVICE).eval()
    model = make_controlnet(unet, kind)

    def draw_control(i: int) -> np.ndarray:
        truth = (
            scenes.images[i],
            scenes.depth[i],
            scenes.segmentation[i],
            scenes.keypoints[i],
        )
        return control_image(kind, *truth)

    def loss(rng: np.random.Generator) -> Tensor:
        chosen = np.sort(rng.integers(len(scenes), size=BATCH))
        words = tokens[chosen]
        words[rng.random(BATCH) < EMPTY_CAPTIONS] = empty
        clean = torch.from_numpy(latents[chosen]).to(DEVICE).float()
        first = 400 if rng.random() < EARLY_STEPS else 0
        steps = torch.from_numpy(rng.integers(first, 1000, size=BATCH)).to(DEVICE)
        noised, velocity = noisy(clean, steps, rng)
        states = text(words).last_hidden_state
        control = torch.from_numpy(np.stack([draw_control(i) for i in chosen])).to(DEVICE)
        control = control.permute(0, 3, 1, 2).float() / 255
        down, middle = model(noised, steps, states, control, return_dict=False)
        predicted = unet(
            noised,
            steps,
            states,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
        weights = object_weights(scenes.instances[chosen])
        return (weights * (predicted - velocity).square()).mean()

    zero = [model.controlnet_down_blocks, model.controlnet_mid_block]
    zero += [model.controlnet_cond_embedding.conv_out]
    new = {id(p) for module in zero for p in module.parameters()}
    trained = list(model.parameters())
    model = train(
        model,
        loss,
        options,
        name=f"controlnet-{kind}",
        steps=STEPS,
        groups=[
            {"params": [p for p in trained if id(p) not in new], "lr": LEARNING_RATE},
            {"params": [p for p in trained if id(p) in new], "lr": ZERO_LEARNING_RATE},
        ],
        average=AVERAGE,
    )
    card = model_card(
        f"pocket: ControlNet for {kind}",
        "image-to-image",
        f"`ControlNetModel` for `pocket/weights/stable-diffusion`. Control picture: {WHAT[kind]}; "
        "128 x 128, three channels.",
        f"`pocket/train_controlnet.py {kind}`: base frozen, batches of {BATCH}, "
        f"AdamW {LEARNING_RATE} and {ZERO_LEARNING_RATE} for the layers that start at zero, "
        f"{EMPTY_CAPTIONS:.0%} empty captions, average of weights {AVERAGE}. "
        f"{'' if kind == FIRST else f'Starts from the trunk of controlnet-{FIRST}.'}",
        {},
    )
    save({"": model}, f"controlnet-{kind}", card)


if __name__ == "__main__":
    main()
