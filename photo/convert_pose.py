"""Converts MoveNet Thunder: the 17 COCO key points of one person."""

import numpy as np
import onnx

from photo.conversion import Card, difference, photograph, run, save_onnx
from photo.human_models import CONVERSION, MODELS, TENSORFLOW_JS, convert, original

SIDE = 256
CARD = Card(
    title="poses (MoveNet Thunder)",
    task="keypoint-detection",
    text=(
        "Takes a square picture of one person, int32 [1, 256, 256, 3], RGB 0..255. Gives [1, 1, 17, 3]: y "
        "and x as parts of the side, and a confidence 0..1, for COCO's 17 key points. It sees a person in "
        "everything: what it is shown has to be one."
    ),
    source="MoveNet SinglePose Thunder v4 (Google, 2021), by way of TensorFlow.js.",
    licence="Apache-2.0",
    grounds="the model card and the page of google/movenet on TensorFlow Hub.",
    conversion=CONVERSION,
    packages=(MODELS, TENSORFLOW_JS),
)


def build() -> onnx.ModelProto:
    """Return the converted network."""
    return convert("movenet-thunder")


def main() -> None:
    """Convert, check, save."""
    model = build()
    picture = photograph(SIDE, SIDE).astype(np.int32)[None]
    found = difference(original("movenet-thunder", picture), run(model, {"input": picture}))
    save_onnx(model, "pose", {"model_type": "movenet", "image_size": SIDE}, CARD, {"key points": found})


if __name__ == "__main__":
    main()
