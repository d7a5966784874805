"""TensorFlow.js graph models, read and written anew as ONNX, operation by operation.

Weights keep the half precision in which TensorFlow.js ships them, and are widened when a session
starts: nothing is rounded. TensorFlow's convolutions want channels last and ONNX's want them first, so
each is put between two transpositions, most of which ONNX Runtime removes again.

    model = to_onnx(GraphModel.read(folder / "selfie.json"))
"""

import json
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
FIRST, LAST = (0, 3, 1, 2), (0, 2, 3, 1)  # permutations to channels first and to channels last
DTYPES = {
    "DT_FLOAT": TensorProto.FLOAT,
    "DT_INT32": TensorProto.INT32,
    "DT_INT64": TensorProto.INT64,
}


class UnknownOperation(Exception):
    """A graph needs an operation that has no translation here."""


@dataclass(frozen=True)
class Operation:
    """A node of the graph; `settings` are its attributes as plain Python values."""

    name: str
    kind: str
    inputs: Sequence[str]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Port:
    """An input or output of the whole graph; a side of None is free."""

    name: str
    dtype: int
    shape: Sequence[int | None]


@dataclass(frozen=True)
class GraphModel:
    """A graph model: its operations in execution order, its constants by name."""

    operations: Sequence[Operation]
    constants: Mapping[str, NDArray[Any]]
    inputs: Sequence[Port]
    outputs: Sequence[Port]

    @classmethod
    def read(cls, path: Path) -> "GraphModel":
        """Read `model.json` and the weights beside it."""
        model = json.loads(path.read_text())
        nodes = [
            Operation(
                node["name"],
                node["op"],
                [name.removesuffix(":0") for name in node.get("input", []) if not name.startswith("^")],
                {key: _plain(value) for key, value in node.get("attr", {}).items()},
            )
            for node in model["modelTopology"]["node"]
        ]
        signature = model["signature"]
        return cls(
            _in_order([node for node in nodes if node.kind not in ("Const", "Placeholder")]),
            _constants(model["weightsManifest"], path.parent),
            _ports(signature["inputs"]),
            _ports(signature["outputs"]),
        )


def _plain(attribute: Mapping[str, Any]) -> Any:
    (kind, value), *_ = attribute.items()
    if kind == "s":
        return b64decode(value).decode()
    if kind == "i":
        return int(value)
    if kind == "list":
        items = next(iter(value.values()), [])
        return [b64decode(item).decode() for item in items] if "s" in value else [int(i) for i in items]
    return value


def _ports(signature: Mapping[str, Any]) -> list[Port]:
    ports = []
    for port in signature.values():
        sides = [int(side["size"]) for side in port["tensorShape"]["dim"]]
        shape = [None if side < 0 else side for side in sides]
        ports.append(Port(port["name"].removesuffix(":0"), DTYPES[port["dtype"]], shape))
    return ports


def _constants(manifest: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, NDArray[Any]]:
    constants = {}
    for group in manifest:
        data = b"".join((folder / path).read_bytes() for path in group["paths"])
        at = 0
        for weight in group["weights"]:
            dtype = np.dtype(weight.get("quantization", weight)["dtype"])
            count = int(np.prod(weight["shape"], dtype=int))
            constants[weight["name"]] = np.frombuffer(data, dtype, count, at).reshape(weight["shape"])
            at += count * dtype.itemsize
    return constants


def _in_order(operations: Sequence[Operation]) -> list[Operation]:
    waiting = {operation.name: operation for operation in operations}
    ordered: list[Operation] = []

    def place(operation: Operation) -> None:
        for name in operation.inputs:
            if before := waiting.pop(name.split(":")[0], None):
                place(before)
        ordered.append(operation)

    while waiting:
        place(waiting.pop(next(iter(waiting))))
    return ordered


def to_onnx(graph: GraphModel) -> onnx.ModelProto:
    """Write a graph model as ONNX, with the same inputs and outputs.

    Raises:
        UnknownOperation: the graph needs an operation that is not translated here.
    """
    writer = _Writer(graph)
    for operation in graph.operations:
        writer.translate(operation)
    return writer.model()


class _Writer:
    """Collects the nodes and initializers of the ONNX graph."""

    def __init__(self, graph: GraphModel) -> None:
        self._graph = graph
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        # Values that are known now; among them what the graph computes from constants alone.
        self._known: dict[str, NDArray[Any]] = dict(graph.constants)

    def model(self) -> onnx.ModelProto:
        ports = [
            [helper.make_tensor_value_info(port.name, port.dtype, port.shape) for port in some]
            for some in (self._graph.inputs, self._graph.outputs)
        ]
        graph = helper.make_graph(self._nodes, "graph", *ports, [*self._initializers.values()])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model

    def translate(self, operation: Operation) -> None:
        """Compute an operation on constants now, or write the ONNX nodes that do it later."""
        if operation.kind in _FOLDED and all(name in self._known for name in operation.inputs):
            values = [self._known[name] for name in operation.inputs]
            self._known[operation.name] = _FOLDED[operation.kind](*values)
        elif operation.kind in _SIMPLE:
            inputs = [self.tensor(name) for name in operation.inputs]
            self.add(_SIMPLE[operation.kind], inputs, operation.name)
        elif operation.kind in _TRANSLATIONS:
            _TRANSLATIONS[operation.kind](self, operation)
        else:
            raise UnknownOperation(f"{operation.kind} ({operation.name})")

    def add(self, kind: str, inputs: Sequence[str], output: str = "", count: int = 1, **settings: Any) -> str:
        """Write one ONNX node and return the name of its (first) output."""
        output = output or f"{kind}_{len(self._nodes)}"
        outputs = [output, *(f"{output}:{index}" for index in range(1, count))]
        self._nodes.append(helper.make_node(kind, inputs, outputs, **settings))
        return output

    def known(self, name: str) -> NDArray[Any]:
        """Return a value that does not depend on the graph's inputs."""
        return self._known[name]

    def tensor(self, name: str) -> str:
        """Return the name of a tensor, written as an initializer first if it is a constant."""
        return self.constant(self._known[name], name) if name in self._known else name

    def constant(self, value: NDArray[Any], name: str = "") -> str:
        """Write an initializer; half precision is widened in the graph."""
        name = name or f"constant_{len(self._initializers)}"
        if value.dtype != np.float16:
            self._initializers.setdefault(name, numpy_helper.from_array(value, name))
            return name
        half = f"{name}/half"
        if half not in self._initializers:
            self._initializers[half] = numpy_helper.from_array(value, half)
            self.add("Cast", [half], name, to=TensorProto.FLOAT)
        return name

    def integers(self, values: Sequence[int]) -> str:
        """Write a list of integers, as ONNX wants shapes and axes."""
        return self.constant(np.array(values, np.int64))

    def channels_first(self, name: str) -> str:
        """Write a transposition to channels first."""
        return self.add("Transpose", [self.tensor(name)], perm=FIRST)

    def channels_last(self, name: str, output: str) -> str:
        """Write a transposition to channels last."""
        return self.add("Transpose", [name], output, perm=LAST)


def _window(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return ONNX's attributes for the strides and padding of a convolution or pooling."""
    assert settings.get("data_format", "NHWC") == "NHWC"
    padding = {"SAME": "SAME_UPPER", "VALID": "VALID"}[settings["padding"]]
    return {"strides": settings["strides"][1:3], "auto_pad": padding}


def _convolution(writer: _Writer, operation: Operation) -> None:
    weights = writer.known(operation.inputs[1])  # height, width, channels in, channels out
    groups = 1
    if "Depthwise" in operation.kind:  # … , channels, channels out of each
        height, width, groups, each = weights.shape
        weights = weights.reshape(height, width, 1, groups * each)
    kernel = np.ascontiguousarray(weights.transpose(3, 2, 0, 1))
    inputs = [writer.channels_first(operation.inputs[0]), writer.constant(kernel, operation.inputs[1])]
    fused = list(operation.settings.get("fused_ops", []))
    if fused[:1] == ["BiasAdd"]:
        inputs.append(writer.tensor(operation.inputs[2]))
        fused.pop(0)
    window = _window(operation.settings)
    dilations = operation.settings.get("dilations", [1, 1, 1, 1])[1:3]
    out = writer.add("Conv", inputs, group=groups, dilations=dilations, **window)
    for kind in fused:
        out = _activation(writer, kind, out)
    writer.channels_last(out, operation.name)


def _activation(writer: _Writer, kind: str, name: str, output: str = "") -> str:
    if kind == "Relu6":
        limits = [writer.constant(np.array(limit, np.float32)) for limit in (0, 6)]
        return writer.add("Clip", [name, *limits], output)
    if kind == "Relu":
        return writer.add("Relu", [name], output)
    raise UnknownOperation(kind)


def _transposed_convolution(writer: _Writer, operation: Operation) -> None:
    weights = writer.known(operation.inputs[1])  # height, width, channels out, channels in
    kernel = np.ascontiguousarray(weights.transpose(3, 2, 0, 1))
    inputs = [writer.channels_first(operation.inputs[2]), writer.constant(kernel, operation.inputs[1])]
    out = writer.add("ConvTranspose", inputs, **_window(operation.settings))
    writer.channels_last(out, operation.name)


def _pooling(writer: _Writer, operation: Operation) -> None:
    kind = {"AvgPool": "AveragePool", "MaxPool": "MaxPool"}[operation.kind]
    kernel = operation.settings["ksize"][1:3]
    first = writer.channels_first(operation.inputs[0])
    out = writer.add(kind, [first], kernel_shape=kernel, **_window(operation.settings))
    writer.channels_last(out, operation.name)


def _resize(writer: _Writer, operation: Operation) -> None:
    height, width = writer.known(operation.inputs[1]).tolist()
    mode = "half_pixel" if operation.settings.get("half_pixel_centers") else "asymmetric"
    if operation.settings.get("align_corners"):
        mode = "align_corners"
    first = writer.channels_first(operation.inputs[0])
    # The size of the channels is 0 here for "as it is": the shape op below says it at run time.
    count = writer.add("Slice", [writer.add("Shape", [first]), writer.integers([0]), writer.integers([2])])
    size = writer.add("Concat", [count, writer.integers([height, width])], axis=0)
    out = writer.add("Resize", [first, "", "", size], mode="linear", coordinate_transformation_mode=mode)
    writer.channels_last(out, operation.name)


def _shaped(writer: _Writer, operation: Operation) -> None:
    kind = {"Reshape": "Reshape", "ExpandDims": "Unsqueeze"}[operation.kind]
    sizes = writer.integers(np.atleast_1d(writer.known(operation.inputs[1])).tolist())
    writer.add(kind, [writer.tensor(operation.inputs[0]), sizes], operation.name)


def _squeeze(writer: _Writer, operation: Operation) -> None:
    axes = writer.integers(operation.settings["squeeze_dims"])
    writer.add("Squeeze", [writer.tensor(operation.inputs[0]), axes], operation.name)


def _transpose(writer: _Writer, operation: Operation) -> None:
    order = writer.known(operation.inputs[1]).tolist()
    writer.add("Transpose", [writer.tensor(operation.inputs[0])], operation.name, perm=order)


def _pad(writer: _Writer, operation: Operation) -> None:
    pads = writer.integers(writer.known(operation.inputs[1]).T.ravel().tolist())
    value = writer.known(operation.inputs[2]) if len(operation.inputs) > 2 else np.zeros(())
    inputs = [writer.tensor(operation.inputs[0]), pads, writer.constant(value.astype(np.float32))]
    writer.add("Pad", inputs, operation.name)


def _concatenate(writer: _Writer, operation: Operation) -> None:
    *inputs, axis = operation.inputs
    writer.add("Concat", [writer.tensor(n) for n in inputs], operation.name, axis=int(writer.known(axis)))


def _stack(writer: _Writer, operation: Operation) -> None:
    axis = operation.settings["axis"]
    axes = writer.integers([axis])
    parts = [writer.add("Unsqueeze", [writer.tensor(name), axes]) for name in operation.inputs]
    writer.add("Concat", parts, operation.name, axis=axis)


def _unstack(writer: _Writer, operation: Operation) -> None:
    axis, count = operation.settings["axis"], operation.settings["num"]
    for index in range(count):
        output = operation.name if index == 0 else f"{operation.name}:{index}"
        at = writer.constant(np.array(index, np.int64))
        writer.add("Gather", [writer.tensor(operation.inputs[0]), at], output, axis=axis)


def _split(writer: _Writer, operation: Operation) -> None:
    value, sizes, axis = operation.inputs
    inputs = [writer.tensor(value), writer.integers(writer.known(sizes).tolist())]
    count = operation.settings["num_split"]
    writer.add("Split", inputs, operation.name, count, axis=int(writer.known(axis)))


def _cast(writer: _Writer, operation: Operation) -> None:
    kind = DTYPES[operation.settings["DstT"]]
    writer.add("Cast", [writer.tensor(operation.inputs[0])], operation.name, to=kind)


def _leaky(writer: _Writer, operation: Operation) -> None:
    alpha = float(operation.settings["alpha"])
    writer.add("LeakyRelu", [writer.tensor(operation.inputs[0])], operation.name, alpha=alpha)


def _relu6(writer: _Writer, operation: Operation) -> None:
    _activation(writer, "Relu6", writer.tensor(operation.inputs[0]), operation.name)


def _squared_difference(writer: _Writer, operation: Operation) -> None:
    difference = writer.add("Sub", [writer.tensor(name) for name in operation.inputs])
    writer.add("Mul", [difference, difference], operation.name)


def _arg_max(writer: _Writer, operation: Operation) -> None:
    axis = int(writer.known(operation.inputs[1]))
    index = writer.add("ArgMax", [writer.tensor(operation.inputs[0])], axis=axis, keepdims=0)
    writer.add("Cast", [index], operation.name, to=TensorProto.INT32)


def _gather(writer: _Writer, operation: Operation) -> None:
    values, indices = (writer.tensor(name) for name in operation.inputs)
    wide = writer.add("Cast", [indices], to=TensorProto.INT64)
    writer.add("GatherND", [values, wide], operation.name)


def _scatter(
    where: NDArray[Any], shape: NDArray[Any], values: NDArray[Any], rest: NDArray[Any]
) -> NDArray[Any]:
    dense = np.full(shape.tolist(), rest)
    dense[tuple(np.atleast_2d(where).T)] = values
    return dense


_FOLDED: dict[str, Callable[..., NDArray[Any]]] = {
    "SparseToDense": _scatter,
    "AddV2": np.add,
    "Mul": np.multiply,
    "Sub": np.subtract,
}
# FloorDiv divides what is never negative, where ONNX's division of integers does the same.
_SIMPLE = {
    "Add": "Add",
    "AddV2": "Add",
    "AddN": "Sum",
    "FloorDiv": "Div",
    "Identity": "Identity",
    "Mul": "Mul",
    "RealDiv": "Div",
    "Relu": "Relu",
    "Sigmoid": "Sigmoid",
    "Sqrt": "Sqrt",
    "Sub": "Sub",
}
_TRANSLATIONS: dict[str, Callable[[_Writer, Operation], None]] = {
    "ArgMax": _arg_max,
    "AvgPool": _pooling,
    "Cast": _cast,
    "ConcatV2": _concatenate,
    "Conv2D": _convolution,
    "Conv2DBackpropInput": _transposed_convolution,
    "DepthwiseConv2dNative": _convolution,
    "ExpandDims": _shaped,
    "FusedDepthwiseConv2dNative": _convolution,
    "GatherNd": _gather,
    "LeakyRelu": _leaky,
    "MaxPool": _pooling,
    "Pack": _stack,
    "Pad": _pad,
    "PadV2": _pad,
    "Relu6": _relu6,
    "Reshape": _shaped,
    "ResizeBilinear": _resize,
    "SplitV": _split,
    "SquaredDifference": _squared_difference,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unpack": _unstack,
    "_FusedConv2D": _convolution,
}
