"""The ports that a component reads and writes, read from its annotations."""

from __future__ import annotations

import copy
import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NotRequired, Required, get_args, get_origin

from imagegraph.component import Batched, Combiner, Component, Progress, Router
from imagegraph.errors import ImagegraphError, InvalidDocument, InvalidInput, UnknownName
from imagegraph.ports import Names, Port


@dataclass(frozen=True)
class Signature:
    """The ports that a component reads and writes, taken from the annotations of its method.

    Attributes:
        outputs: required are those that every answer has.
        progress: the name of the parameter that takes a Progress, if any.
        kind: the component's class.
        open: the annotation of its open ports, if the method takes some.
        opened: the names of those that the entry has; absent ones are no arguments.
    """

    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    progress: str | None = None
    kind: type[Component] | None = field(default=None, compare=False, repr=False)
    open: Any = None
    opened: frozenset[str] = frozenset()

    def closed(self, ports: Mapping[str, Port], adapters: Iterable[str] = ()) -> Signature:
        """Returns the signature with these for its open ports, and with the names of adapters.

        Raises:
            InvalidDocument: an open port has the name of another one.
        """
        for name in ports:
            if name in self.inputs:
                raise InvalidDocument(f"'{name}' is a port of its own, and cannot be an open one, too")
        names = Names((*ports,), (*adapters,))
        inputs = {name: port.closed(names) for name, port in self.inputs.items()}
        return replace(self, inputs={**inputs, **ports}, opened=frozenset(ports))

    @classmethod
    def of(cls, component: Component | type[Component]) -> Signature:
        """Reads the annotations of `predict`, of `prepare` and `predict_batch`, or of `route`.

        A Combiner reads whatever its children say.

        Raises:
            TypeError: there is no such method, or a parameter or the result has no usable annotation.
        """
        kind: Any = component if isinstance(component, type) else type(component)
        return _signature(kind)

    def bind(
        self, values: Mapping[str, Any], defaults: Mapping[str, Any] = types.MappingProxyType({})
    ) -> dict[str, Any]:
        """Picks and validates the arguments of the method from a message's values.

        Args:
            values: any named values; those that the signature does not name are not looked at.
            defaults: the entry's own defaults, before those of the signature.

        Raises:
            InvalidInput: a value is wrong or a required one is missing.
        """
        arguments: dict[str, Any] = {}
        for name, port in self.inputs.items():
            if name in values:
                arguments[name] = port.read(values[name])
            elif name in defaults:
                arguments[name] = port.read(defaults[name])
            elif name in self.opened:
                continue
            elif port.required:
                raise InvalidInput(name, "a value", "nothing")
            elif isinstance(port.default, (list, dict)):
                arguments[name] = copy.deepcopy(port.default)  # whoever adds to it adds for all
            else:
                arguments[name] = port.default
        return arguments

    def check_answer(self, answer: Mapping[str, Any]) -> None:
        """Refuses an answer that has other names than the outputs.

        Raises:
            ImagegraphError: says which.
        """
        if unknown := answer.keys() - self.outputs.keys():
            raise ImagegraphError(
                f"expected an answer of {', '.join(self.outputs)}, got {', '.join(sorted(unknown))}"
            )
        if lacking := [name for name, port in self.outputs.items() if port.required and name not in answer]:
            raise ImagegraphError(f"expected an answer with {', '.join(lacking)}, got none")

    def port(self, name: str) -> Port:
        """Returns the input port of that name.

        Raises:
            UnknownName: lists the ports there are.
        """
        if name not in self.inputs:
            raise UnknownName("port", name, self.inputs)
        return self.inputs[name]


@functools.cache
def _signature(kind: Any) -> Signature:
    if issubclass(kind, Combiner):
        return Signature({}, {}, kind=kind)
    if issubclass(kind, Router):
        return Signature(_inputs(_method(kind, "route"))[0], {}, kind=kind)
    if issubclass(kind, Batched):
        answers = get_args(typing.get_type_hints(_method(kind, "predict_batch")).get("return"))
        inputs, opened = _inputs(_method(kind, "prepare"))
        return Signature(inputs, _outputs(next(iter(answers), None), kind), "progress", kind, opened)
    predict = _method(kind, "predict")
    hints = typing.get_type_hints(predict, include_extras=True)
    progress = next((name for name, hint in hints.items() if hint is Progress), None)
    inputs, opened = _inputs(predict)
    return Signature(inputs, _outputs(hints.get("return"), kind), progress, kind, opened)


def _method(kind: type[Component], name: str) -> Callable[..., Any]:
    found: Callable[..., Any] | None = getattr(kind, name, None)
    if found is None:
        raise TypeError(f"{kind.__qualname__} has no method '{name}'")
    return found


def _inputs(method: Callable[..., Any]) -> tuple[dict[str, Port], Any]:
    """Returns the ports that a method's parameters are, and the annotation of its open ones.

    Progress and self are none.
    """
    hints = typing.get_type_hints(method, include_extras=True)
    ports: dict[str, Port] = {}
    opened = None
    for name, parameter in list(inspect.signature(method).parameters.items())[1:]:
        if name not in hints:
            raise TypeError(f"{method.__qualname__}: parameter '{name}' has no annotation")
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            opened = hints[name]
        elif hints[name] is not Progress:
            required = parameter.default is inspect.Parameter.empty
            ports[name] = Port(name, hints[name], required, None if required else parameter.default)
    return ports, opened


def _outputs(answer: Any, kind: type[Component]) -> dict[str, Port]:
    """Returns the ports that a TypedDict names; required are those that are always there."""
    if not typing.is_typeddict(answer):
        raise TypeError(f"{kind.__qualname__} must answer a TypedDict of ports, not {answer}")
    ports: dict[str, Port] = {}
    for name, hint in typing.get_type_hints(answer, include_extras=True).items():
        # The marks of a class whose annotations are texts are not in its sets of keys.
        marks = {Required: True, NotRequired: False}
        mark = get_origin(hint)
        required = marks.get(mark, name in answer.__required_keys__)
        ports[name] = Port(name, get_args(hint)[0] if mark in marks else hint, required)
    return ports
