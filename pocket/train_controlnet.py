"""Train the ControlNets of pocket: what an image prior (depth, pose, …) adds to a frozen UNet.

python -m pocket.train_controlnet together    four on one trunk, which learns four times faster
python -m pocket.train_controlnet edges       the fine ones, edges and pose, go on alone from there
python -m pocket.train_controlnet lineart     the others start from the trained one that is most alike
"""

import numpy as np
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from pocket.controls import CONTROLS
from pocket.data import load
from pocket.train_diffusion import (
    encode_scenes,
    load_vae,
    noisy,
    object_weights,
    tokenize,
)
from pocket.training import DEVICE, WEIGHTS, arguments, model_card, save, train
from pocket.world import SIZE

SHARES = {"segmentation": 0.2, "depth": 0.1, "edges": 0.35, "pose": 0.35}  # the finer, the more
TOGETHER = "together"
STARTS = {"edges": "edges", "pose": "pose", "normals": "depth", "lineart": "edges", "scribble": "edges"}
STEPS = {TOGETHER: 5500, "edges": 3000, "pose": 1000, "normals": 800, "lineart": 600, "scribble": 800}
SCENES = {"normals": 6_000, "lineart": 6_000, "scribble": 6_000}
BATCH = 24
LEARNING_RATE, LEARNING_RATE_ALONE = 1e-3, 4e-4
ZERO_BOOST = 2.0  # on the rate of layers that start at zero
AVERAGE = 0.995
PEOPLE = 0.85  # of the batches for poses have somebody in every scene
EMPTY_CAPTIONS = 0.15  # with them the map alone has to tell what is where
EARLY_STEPS = 0.5  # of the batches see only 400..999, where the places of things are decided
START_AT_ZERO = ("controlnet_down_blocks", "controlnet_mid_block", "cond_embedding.conv_out")
EMBEDDING = (16, 16, 32, 64)  # three halvings: from 128 px to 16 x 16


def make_controlnets(unet: UNet2DConditionModel) -> nn.ModuleDict:
    """Return one ControlNet for each kind; they share everything but the embedding of the map.

    What a map means differs from kind to kind, how to follow it does not.
    """
    nets = {}
    first = next(iter(SHARES))
    for kind in SHARES:
        nets[kind] = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=EMBEDDING)
        for part, module in nets[first].named_children():
            if part != "controlnet_cond_embedding":
                setattr(nets[kind], part, module)
    return nn.ModuleDict(nets)


def main() -> None:
    """Train the ControlNet that the command line names and save it."""
    options = arguments(__doc__, choices=STEPS)
    torch.manual_seed(0)
    base = WEIGHTS / "stable-diffusion"
    scenes = load("train", SCENES.get(options.choice))
    latents = encode_scenes(load_vae(), scenes)
    tokenizer = CLIPTokenizer.from_pretrained(base / "tokenizer")
    tokens, empty = tokenize(tokenizer, scenes.captions), tokenize(tokenizer, [""])
    text = CLIPTextModel.from_pretrained(base / "text_encoder", dtype=torch.float32)
    unet = UNet2DConditionModel.from_pretrained(base / "unet", torch_dtype=torch.float32)
    text.requires_grad_(False).to(DEVICE).eval()
    unet.requires_grad_(False).to(DEVICE).eval()
    if options.choice == TOGETHER:
        nets, rate = make_controlnets(unet), LEARNING_RATE
    else:
        path = WEIGHTS / f"controlnet-{STARTS[options.choice]}"
        net = ControlNetModel.from_pretrained(path, torch_dtype=torch.float32)
        nets, rate = nn.ModuleDict({options.choice: net}), LEARNING_RATE_ALONE

    everything = np.arange(len(scenes))
    people = np.flatnonzero(scenes.keypoints.any(axis=(1, 2, 3)))

    def loss(rng: np.random.Generator) -> Tensor:
        kind = rng.choice(list(SHARES), p=list(SHARES.values())) if len(nets) > 1 else options.choice
        pool = people if kind == "pose" and rng.random() < PEOPLE else everything
        chosen = np.sort(rng.choice(pool, BATCH))
        words = tokens[chosen]
        words[rng.random(BATCH) < EMPTY_CAPTIONS] = empty
        clean = torch.from_numpy(latents[chosen]).to(DEVICE).float()
        first = 400 if rng.random() < EARLY_STEPS else 0
        steps = torch.from_numpy(rng.integers(first, 1000, size=BATCH)).to(DEVICE)
        noised, velocity = noisy(clean, steps, rng)
        states = text(words).last_hidden_state
        control = np.stack([CONTROLS[kind].draw(scenes.truth(i)) for i in chosen])
        control = torch.from_numpy(control).to(DEVICE)
        control = control.permute(0, 3, 1, 2).float() / 255
        down, middle = nets[kind](noised, steps, states, control, return_dict=False)
        predicted = unet(
            noised,
            steps,
            states,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
        weights = object_weights(scenes.instances[chosen])
        return (weights * (predicted - velocity).square()).mean()

    trained = dict(nets.named_parameters())
    zero = [name for name in trained if any(part in name for part in START_AT_ZERO)]
    nets = train(
        nets,
        loss,
        options,
        name=f"controlnet-{options.choice}",
        steps=STEPS[options.choice],
        groups=[
            {"params": [p for name, p in trained.items() if name not in zero], "lr": rate},
            {"params": [trained[name] for name in zero], "lr": rate * ZERO_BOOST},
        ],
        average=AVERAGE,
    )
    for kind, net in nets.items():
        begun = STARTS.get(kind, kind)
        alone = f", then `{begun}`" if begun in STEPS else ""
        alone += f", then `{kind}` from there" if begun != kind else ""
        card = model_card(
            f"pocket: ControlNet for {kind}",
            "image-to-image",
            "`ControlNetModel` for `pocket/weights/stable-diffusion`. "
            f"Control picture: {CONTROLS[kind].what}; {SIZE} x {SIZE}, three channels.",
            f"`pocket/train_controlnet.py {TOGETHER}`{alone}: base frozen, batches of {BATCH}, AdamW "
            f"{LEARNING_RATE}, alone {LEARNING_RATE_ALONE}; {ZERO_BOOST:g} times that for layers that start "
            f"at zero; {EMPTY_CAPTIONS:.0%} empty captions, average of weights {AVERAGE}.",
            {},
        )
        save({"": net}, f"controlnet-{kind}", card)


if __name__ == "__main__":
    main()
