"""Converts NanoDet-g: boxes of people and of COCO's 79 other classes."""

import numpy as np
import onnx
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from photo.conversion import Card, difference, photograph, run, save_onnx
from photo.human_models import CONVERSION, MODELS, TENSORFLOW_JS, convert, original

SIDE = 416
MEAN, STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
CARD = Card(
    title="people and objects (NanoDet-g)",
    task="object-detection",
    text=(
        "Takes float32 [1, 3, 416, 416], BGR less `image_mean` by `image_std`. Gives for each of the strides "
        "8, 16 and 32 the classes' probabilities [1, cells, 80] and the distances of the box's four sides "
        "[1, cells, 4 x 11], as distributions over 0..10 strides."
    ),
    source="NanoDet-g (RangiLyu, 2021), by way of ONNX and TensorFlow.js.",
    licence="Apache-2.0",
    grounds="the repository RangiLyu/nanodet.",
    conversion=CONVERSION,
    packages=(MODELS, TENSORFLOW_JS),
)


def coco_classes() -> list[str]:
    """Return the names of COCO's 80 classes in their order."""
    names = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    return [name for name in names if name not in ("__background__", "N/A")]


def build() -> onnx.ModelProto:
    """Return the converted network."""
    return convert("nanodet")


def main() -> None:
    """Convert, check, save."""
    model = build()
    picture = (photograph(SIDE, SIDE)[..., ::-1] - np.array(MEAN)) / STD
    picture = picture.transpose(2, 0, 1)[None].astype(np.float32)
    found = difference(original("nanodet", picture), run(model, {"input_1": picture}))
    config = {
        "model_type": "nanodet",
        "image_size": SIDE,
        "image_mean": MEAN,
        "image_std": STD,
        "strides": [8, 16, 32],
        "id2label": dict(enumerate(coco_classes())),
    }
    save_onnx(model, "objects", config, CARD, {"probabilities and distances": found})


if __name__ == "__main__":
    main()
