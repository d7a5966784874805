"""A component in Triton's Python backend; only Triton itself can import what hands tensors over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from imagegraph.errors import ImagegraphError, InvalidInput, as_raised
from imagegraph.export.served import Served
from imagegraph.message import DATATYPES, Message, Tensor
from imagegraph.wire import tensors

# Triton's names of errors, by HTTP's status; all others are INTERNAL.
_CODES = {
    400: "INVALID_ARG",
    404: "NOT_FOUND",
    413: "INVALID_ARG",
    501: "UNSUPPORTED",
    503: "UNAVAILABLE",
    504: "UNAVAILABLE",
}
_DATATYPES = {dtype: name for name, dtype in DATATYPES.items()}


class Model:
    """Answers Triton's requests.

    Pictures are answered as they came: as base64 to who sends base64, as JSON has them, or raw. Triton writes
    raw bytes into JSON as they are, which is no JSON any more, and does not say what was asked for.
    """

    def __init__(self, backend: Any, component: str, bundle: str, device: str, batched: bool) -> None:
        """Loads the component; Triton waits for that.

        Args:
            backend: the module `triton_python_backend_utils`.
            batched: whether all tensors have the size of Triton's batch before their own shape.
        """
        self._backend = backend
        self._batched = batched
        self._served = Served(component, bundle, device)
        self._served.wait()

    def answer(self, requests: Sequence[Any]) -> list[Any]:
        """Answers what Triton asks at once."""
        responses: list[Any] = [None] * len(requests)
        asked: dict[int, Message] = {}
        for at, request in enumerate(requests):
            try:
                asked[at] = Message(self._values(request), request.request_id())
            except ImagegraphError as error:
                responses[at] = self._refusal(error)
        answers = self._served.run_together([*asked.values()])
        for (at, message), answer in zip(asked.items(), answers, strict=True):
            if isinstance(answer, ImagegraphError):
                responses[at] = self._refusal(answer)
            else:
                responses[at] = self._response(requests[at], answer, raw=_is_raw(message))
        return responses

    def _values(self, request: Any) -> dict[str, Tensor]:
        values = {}
        for one in request.inputs():
            array = one.as_numpy()
            if self._batched:
                if array.shape[0] != 1:
                    raise InvalidInput(one.name(), "one request, so a first size of 1", array.shape[0])
                array = array[0]
            flat = array.reshape(-1)
            if array.dtype == object:
                values[one.name()] = Tensor("BYTES", array.shape, flat.tolist())
            else:
                values[one.name()] = Tensor(_DATATYPES[array.dtype], array.shape, flat)
        return values

    def _response(self, request: Any, answer: Message, raw: bool) -> Any:
        wanted = request.requested_output_names()
        outputs = []
        for name, value in answer.values.items():
            if name in wanted and value is not None:
                array = _array(tensors.of(value), raw)
                outputs.append(self._backend.Tensor(name, array[None] if self._batched else array))
        return self._backend.InferenceResponse(outputs)

    def _refusal(self, error: ImagegraphError) -> Any:
        error = as_raised(error)
        code = getattr(self._backend.TritonError, _CODES.get(error.status, "INTERNAL"))
        return self._backend.InferenceResponse(error=self._backend.TritonError(str(error), code))


def _is_raw(message: Message) -> bool:
    """Whether a picture came as it is: no JPEG, PNG or WebP is text."""
    items = [item for one in message.values.values() if one.datatype == "BYTES" for item in one.data]
    return not all(map(_is_text, items))


def _is_text(item: bytes) -> bool:
    try:
        item.decode()
    except UnicodeDecodeError:
        return False
    return True


def _array(one: Tensor, raw: bool) -> Any:
    if one.datatype != "BYTES":
        return np.asarray(one.data).reshape(one.shape)
    array = np.empty(len(one.data), object)
    array[:] = [item if raw or isinstance(item, str) else tensors.as_text(item) for item in one.data]
    return array.reshape(one.shape)
