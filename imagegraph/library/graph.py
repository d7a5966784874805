"""A graph that is called like a function, wherever it runs."""

from __future__ import annotations

import asyncio
import html
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from imagegraph import words
from imagegraph.answer import Answer, Priors
from imagegraph.codecs.anything import pictures
from imagegraph.engine.background import background
from imagegraph.engine.closing import Closing
from imagegraph.errors import ImagegraphError, InvalidInput, UnknownName
from imagegraph.library.stream import Event, Stream, Tell
from imagegraph.model import Model


@dataclass(frozen=True)
class Asked:
    """A request, read.

    Attributes:
        values: by input; pictures as the graph carries them.
        timeout_s: how long to wait.
        previews: whether progress comes with the picture so far.
    """

    values: Mapping[str, Any]
    timeout_s: float | None
    previews: bool


class Graph(Closing):
    """A graph that is called like a function; use it as a context manager, or `close` it.

    Attributes:
        name: of the graph.
        inputs: what may be given, by name: datatype, shape, whether it is required, default, schema.
        outputs: what is answered, likewise.
    """

    _whole = False  # whether all of a picture is looked at before it goes anywhere

    def __init__(self, name: str, model: Model) -> None:
        """Takes what is known of the graph."""
        self.name = name
        self.inputs = {one: _facts(model.tensors[one]) for one in model.inputs}
        self.outputs = {one: _facts(model.tensors[one]) for one in model.outputs}
        self._model = model

    def __call__(
        self,
        given: Any = None,
        /,
        *,
        on_event: Callable[[Event], None] | None = None,
        previews: bool = False,
        timeout_s: float | None = None,
        **inputs: Any,
    ) -> Answer:
        """Returns the answer; works where a loop runs, too, and Ctrl-C stops the work.

        Args:
            given: the graph's first picture or text, or a mapping of inputs, such as the `priors` of an
                earlier answer, which are not read again.
            on_event: told of what happens meanwhile, on this thread.
            previews: whether progress comes with the picture so far.
            timeout_s: how long to wait; the work is stopped after it.
            inputs: by name; a picture is a path, bytes, a picture of Pillow, an array of pixels or an Image.

        Raises:
            InvalidInput, UnknownName: before anything is loaded or computed.
            ImagegraphError: see `errors` for the kinds.
        """
        if on_event is None:
            return background.run(self._answer(self._read(given, inputs, timeout_s), None))
        for one in self.stream(given, previews=previews, timeout_s=timeout_s, **inputs):
            if isinstance(one, Answer):
                return one
            on_event(one)
        raise AssertionError("a stream ends with an answer")

    async def run(
        self,
        given: Any = None,
        /,
        *,
        on_event: Callable[[Event], None] | None = None,
        previews: bool = False,
        timeout_s: float | None = None,
        **inputs: Any,
    ) -> Answer:
        """Returns the answer without blocking the loop; who is cancelled stops the work. See `__call__`."""
        if on_event is None:
            work = self._answer(self._read(given, inputs, timeout_s), None)
            return await asyncio.wrap_future(background.submit(work))
        async for one in self.stream(given, previews=previews, timeout_s=timeout_s, **inputs):
            if isinstance(one, Answer):
                return one
            on_event(one)
        raise AssertionError("a stream ends with an answer")

    def stream(
        self, given: Any = None, /, *, previews: bool = False, timeout_s: float | None = None, **inputs: Any
    ) -> Stream:
        """Returns what happens, event by event, and last the answer; for `for` and for `async for`.

        Who stops looking stops the work. See `__call__`.
        """
        return Stream(partial(self._answer, self._read(given, inputs, timeout_s, previews)))

    def _closed(self) -> ImagegraphError:
        return ImagegraphError(f"'{self.name}' is closed: load it again to call it")

    @abstractmethod
    async def _answer(self, asked: Asked, tell: Tell | None) -> Answer:
        """Answers, on the loop of the background."""

    def _read(
        self, given: Any, inputs: Mapping[str, Any], timeout_s: float | None, previews: bool = False
    ) -> Asked:
        """Reads a request, its pictures and arrays.

        Raises:
            UnknownName: a value is given that the graph does not take.
            InvalidInput: what is to be a picture is none.
        """
        if isinstance(given, Answer):
            given = given.priors
        if isinstance(given, Priors):
            given = {**given.sources, **given}
        if given is None or isinstance(given, Mapping):
            values = {**(given or {}), **inputs}
        else:
            name = self._first(given)
            if name in inputs:
                raise InvalidInput(name, "one value", "a second one by its name")
            values = {name: given, **inputs}
        values = {name: _plain(value) for name, value in values.items() if value is not None}
        for name in values:
            if name not in self._model.taken:
                raise UnknownName("input", name, self._model.taken)
        return Asked(pictures(values, self._model.pictures, self._whole), timeout_s, previews)

    def _first(self, given: Any) -> str:
        """Returns the input that a value without a name is for."""
        several = isinstance(given, (list, tuple))
        for name in self.inputs:
            is_picture = self._model.pictures.get(name) is several
            if is_picture or (isinstance(given, str) and self._model.is_text(name)):
                return name
        raise InvalidInput("input", f"a name for it, one of {', '.join(self.inputs)}", given)

    def _repr_html_(self) -> str:
        ports = {name: words.Described.read(facts) for name, facts in self.inputs.items()}
        cells = [
            (
                name,
                words.takes(port) if port.schema else self.inputs[name]["datatype"],
                words.default(port),
                port.schema.get("description", ""),
            )
            for name, port in ports.items()
        ]
        head = "".join(f"<th>{word}</th>" for word in ("input", "takes", "by default", "meaning"))
        body = ["".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in cells]
        lines = "".join(f"<tr>{row}</tr>" for row in [head, *body])
        return f"<b>{html.escape(self.name)}</b><table>{lines}</table>"

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(self.inputs)}) -> {', '.join(self.outputs)}"


def _facts(tensor: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what is known of an input or output, in one mapping."""
    return {"datatype": tensor["datatype"], "shape": tensor["shape"], **tensor.get("parameters", {})}


def _plain(value: Any) -> Any:
    """Returns numbers of numpy as Python has them; lists, too, unless they are pixels or tables."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 1):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value
