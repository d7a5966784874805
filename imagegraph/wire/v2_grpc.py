"""Messages as the Open Inference Protocol's gRPC has them: raw contents out, raw or typed ones in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from imagegraph.errors import InvalidInput
from imagegraph.message import Message, Tensor
from imagegraph.wire import tensors, v2_json
from imagegraph.wire.grpc_messages import pb

# Where typed contents of a datatype stand; FP16 has no such place.
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def decode_request(request: Any) -> v2_json.Request:
    """Decodes a `ModelInferRequest`.

    Raises:
        InvalidInput: names the field at fault.
    """
    allowance = tensors.Allowance()
    values = _values(request.inputs, request.raw_input_contents, "inputs", allowance)
    allowance.take("tensors", len(request.outputs), "outputs")
    message = Message(values, request.id, request.model_name, _parameters(request, allowance))
    return v2_json.Request([message], [one.name for one in request.outputs] or None, binary=True)


def decode_answer(response: Any) -> Message:
    """Decodes a `ModelInferResponse`.

    Raises:
        InvalidInput: names the field at fault.
    """
    allowance = tensors.Allowance()
    values = _values(response.outputs, response.raw_output_contents, "outputs", allowance)
    parameters = _parameters(response, allowance)
    return Message(values, response.id, response.model_name, parameters, response.model_version)


def encode_request(message: Message, model: str) -> Any:
    """Returns a `ModelInferRequest`."""
    request = pb.ModelInferRequest(id=message.id, model_name=model)
    _fill(message, request, request.inputs, request.raw_input_contents)
    return request


def encode_answer(message: Message) -> Any:
    """Returns a `ModelInferResponse`."""
    response = pb.ModelInferResponse(id=message.id, model_name=message.origin, model_version=message.version)
    _fill(message, response, response.outputs, response.raw_output_contents)
    return response


def set_parameters(message: Any, parameters: Mapping[str, Any]) -> None:
    """Writes the parameters that every client of the protocol has a type for: bool, int and text."""
    for name, value in parameters.items():
        if isinstance(value, bool):
            message.parameters[name].bool_param = value
        elif isinstance(value, int):
            if value < 2**63:
                message.parameters[name].int64_param = value
            else:
                message.parameters[name].uint64_param = value
        elif isinstance(value, str):
            message.parameters[name].string_param = value


def _fill(message: Message, target: Any, entries: Any, contents: Any) -> None:
    set_parameters(target, message.parameters)
    for name, value in message.values.items():
        if value is not None:
            one = tensors.of(value)
            entries.add(name=name, datatype=one.datatype, shape=one.shape)
            contents.append(b"".join(tensors.raw(one)))


def _values(
    entries: Sequence[Any], raws: Sequence[bytes], kind: str, allowance: tensors.Allowance
) -> dict[str, Tensor]:
    if raws and len(raws) != len(entries):
        raise InvalidInput(f"raw_{kind[:-1]}_contents", f"{len(entries)}, one a tensor", f"{len(raws)}")
    allowance.take("tensors", len(entries), kind)
    values: dict[str, Tensor] = {}
    for index, entry in enumerate(entries):
        at = f"{kind}[{index}]"
        name, datatype, shape = tensors.check(entry.name, entry.datatype, list(entry.shape), at, allowance)
        if name in values:
            raise InvalidInput(at, "every name once", name)
        if raws:
            values[name] = tensors.from_raw(raws[index], datatype, shape, at)
        else:
            values[name] = _from_contents(entry.contents, datatype, shape, at, allowance)
    return values


def _from_contents(
    contents: Any, datatype: str, shape: tuple[int, ...], at: str, allowance: tensors.Allowance
) -> Tensor:
    if datatype not in _CONTENTS:
        raise InvalidInput(at, f"raw contents for {datatype}", "typed contents")
    found = getattr(contents, _CONTENTS[datatype])
    if len(found) != math.prod(shape):
        expected = f"{math.prod(shape)} values for shape {list(shape)}"
        raise InvalidInput(at, expected, f"{len(found)} values")
    if datatype == "BYTES":
        return Tensor(datatype, shape, list(found))
    allowance.take("numbers that are not raw", len(found), at)
    return Tensor(datatype, shape, tensors.numbers(list(found), datatype, at))


def _parameters(message: Any, allowance: tensors.Allowance) -> dict[str, Any]:
    if not message.parameters:
        return {}
    allowance.take("parameters", len(message.parameters), "parameters")
    kinds = {name: (one, one.WhichOneof("parameter_choice")) for name, one in message.parameters.items()}
    return {name: getattr(one, kind) if kind else None for name, (one, kind) in kinds.items()}
