"""Converts MediaPipe's Selfie Segmentation: where a person is."""

import numpy as np
import onnx

from photo.conversion import Card, difference, photograph, run, save_onnx
from photo.human_models import CONVERSION, MODELS, TENSORFLOW_JS, convert, original

SIDE = 256
CARD = Card(
    title="mask of people (MediaPipe Selfie Segmentation)",
    task="image-segmentation",
    text=(
        "Takes float32 [1, 256, 256, 3], RGB 0..1. Gives [1, 256, 256, 1]: how surely a pixel belongs to a "
        "person. It takes animals for people: ask the detector first."
    ),
    source="MediaPipe Selfie Segmentation, general model (Google, 2021), by way of TensorFlow.js.",
    licence="Apache-2.0",
    grounds="MediaPipe's model card.",
    conversion=CONVERSION,
    packages=(MODELS, TENSORFLOW_JS),
)


def build() -> onnx.ModelProto:
    """Return the converted network."""
    return convert("selfie")


def main() -> None:
    """Convert, check, save."""
    model = build()
    picture = (photograph(SIDE, SIDE) / 255).astype(np.float32)[None]
    found = difference(original("selfie", picture), run(model, {"input_1": picture}))
    config = {"model_type": "selfie_segmentation", "image_size": SIDE}
    save_onnx(model, "person", config, CARD, {"mask": found})


if __name__ == "__main__":
    main()
