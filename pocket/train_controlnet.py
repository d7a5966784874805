"""Train the ControlNets of pocket: what an image prior (depth, pose, …) adds to a frozen UNet.

python -m pocket.train_controlnet together    four on one trunk, which learns four times faster
python -m pocket.train_controlnet edges       the fine ones, edges and pose, go on alone from there
python -m pocket.train_controlnet lineart     the others start from the trained one that is most alike

`--on` starts from the trained one of the same kind instead, for a UNet that has been trained on.
"""

from collections.abc import Iterable

import numpy as np
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from pocket.control_maps import load_maps
from pocket.controls import CONTROLS
from pocket.data import Scenes, load
from pocket.train_diffusion import Lesson, noisy
from pocket.training import DEVICE, ON_GPU, WEIGHTS, arguments, model_card, resident, save, train
from pocket.world import SIZE

SHARES = {"segmentation": 0.2, "depth": 0.1, "edges": 0.35, "pose": 0.35}  # the finer, the more
TOGETHER = "together"
STARTS = {kind: kind for kind in SHARES} | {"normals": "depth", "lineart": "edges", "scribble": "edges"}
STEPS = {TOGETHER: 5500, "edges": 3000, "pose": 1000, "segmentation": 600, "depth": 600}
STEPS |= {"normals": 800, "lineart": 600, "scribble": 800}
SCENES = {"normals": 6_000, "lineart": 6_000, "scribble": 6_000}
BATCH = 128 if ON_GPU else 24
STYLED_SHARE = 0.2  # of the pictures; what steers them is that of the plain ones
LEARNING_RATE, LEARNING_RATE_ALONE = 1e-3, 8e-4 if ON_GPU else 4e-4
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


class Steered:
    """Control pictures with the scenes they steer to, as batches.

    Attributes:
        lesson: captions and latents.
        maps: control pictures [N, H, W, 3] of each kind.
        people: the scenes that have somebody.
    """

    def __init__(self, scenes: Scenes, tokenizer: CLIPTokenizer, kinds: Iterable[str]) -> None:
        self.lesson = Lesson(scenes, tokenizer)
        self.maps = {kind: resident(load_maps(scenes, kind)) for kind in kinds}
        self.people = np.flatnonzero(scenes.keypoints.any(axis=(1, 2, 3)))

    def choose(self, kind: str, rng: np.random.Generator) -> NDArray[np.intp]:
        """Return the scenes of a batch."""
        if kind == "pose" and rng.random() < PEOPLE:
            return np.sort(rng.choice(self.people, BATCH))
        return np.sort(rng.integers(self.lesson.scenes, size=BATCH))

    def control(self, kind: str, chosen: NDArray[np.intp]) -> Tensor:
        """Return control pictures [N, 3, H, W] in 0..1."""
        maps = self.maps[kind][torch.from_numpy(chosen).to(DEVICE)]
        return maps.permute(0, 3, 1, 2).float() / 255


def main() -> None:
    """Train the ControlNet that the command line names and save it."""
    options = arguments(__doc__, choices=STEPS)
    torch.manual_seed(0)
    base = WEIGHTS / "stable-diffusion"
    scenes = load("train", options.scenes or SCENES.get(options.choice))
    tokenizer = CLIPTokenizer.from_pretrained(base / "tokenizer")
    text = CLIPTextModel.from_pretrained(base / "text_encoder", dtype=torch.float32)
    unet = UNet2DConditionModel.from_pretrained(base / "unet", torch_dtype=torch.float32)
    text.requires_grad_(False).to(DEVICE).eval()
    unet.requires_grad_(False).to(DEVICE).eval()
    if options.choice == TOGETHER:
        nets, rate = make_controlnets(unet), LEARNING_RATE
    else:
        start = options.choice if options.on else STARTS[options.choice]
        net = ControlNetModel.from_pretrained(WEIGHTS / f"controlnet-{start}", torch_dtype=torch.float32)
        nets, rate = nn.ModuleDict({options.choice: net}), LEARNING_RATE_ALONE
    steered = Steered(scenes, tokenizer, nets)

    def loss(rng: np.random.Generator) -> Tensor:
        kind = rng.choice(list(SHARES), p=list(SHARES.values())) if len(nets) > 1 else options.choice
        chosen = steered.choose(kind, rng)
        styled, empty = (rng.random(BATCH) < share for share in (STYLED_SHARE, EMPTY_CAPTIONS))
        clean, words, weights = steered.lesson.batch(chosen, styled, empty & ~styled)
        first = 400 if rng.random() < EARLY_STEPS else 0
        steps = torch.from_numpy(rng.integers(first, 1000, size=BATCH)).to(DEVICE)
        noised, velocity = noisy(clean, steps, rng)
        states = text(words).last_hidden_state
        control = steered.control(kind, chosen)
        down, middle = nets[kind](noised, steps, states, control, return_dict=False)
        predicted = unet(
            noised,
            steps,
            states,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
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
        alone = "" if options.choice == TOGETHER else f", then `{kind}` from the one for {STARTS[kind]}"
        alone += ", then on with a UNet that knows styles" if options.on else ""
        card = model_card(
            f"pocket: ControlNet for {kind}",
            "image-to-image",
            "`ControlNetModel` for `pocket/weights/stable-diffusion`. "
            f"Control picture: {CONTROLS[kind].what}; {SIZE} x {SIZE}, three channels.",
            f"`pocket/train_controlnet.py {TOGETHER}`{alone}: base frozen, batches of {BATCH}, AdamW "
            f"{LEARNING_RATE}, alone {LEARNING_RATE_ALONE}; {ZERO_BOOST:g} times that for layers that start "
            f"at zero; {EMPTY_CAPTIONS:.0%} empty captions, {STYLED_SHARE:.0%} styled pictures, average of "
            f"weights {AVERAGE}.",
            {},
        )
        save({"": net}, f"controlnet-{kind}", card)


if __name__ == "__main__":
    main()
