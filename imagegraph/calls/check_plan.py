"""What to look at in a request before the first node of its graph runs: a plan, for each set of names given.

The way of a message depends on the names of its values alone. So it is followed once for each set of them,
and what has to be read and looked at is kept; of values, a plan knows nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple, NoReturn

from imagegraph.calls.worker import contained
from imagegraph.component import Combiner, Component
from imagegraph.errors import InvalidInput
from imagegraph.ports import Port
from imagegraph.signature import Signature
from imagegraph.spec.catalogue import Parts
from imagegraph.spec.graph import Node, NodeType

OTHERS = ""  # stands for all names that no node reads or writes


class Known(NamedTuple):
    """What is known of a message at one point of its way.

    Attributes:
        given: the names of the request's values that it still carries.
        written: the names of values that nodes before this point write, or may write.
        new: of these, what a node surely makes without having read a value of that name, with the node.
    """

    given: frozenset[str]
    written: frozenset[str]
    new: Mapping[str, str]


_Read = tuple[str, int]  # a value by its name, read by one of the types that ports of that name have
# A step of a plan: looks at the values of a request as they came, and as they were read before.
_Step = Callable[[Mapping[str, Any], dict[_Read, Any]], None]


class Plan(NamedTuple):
    """What to look at on a way.

    Attributes:
        steps: in the order of the nodes.
        known: of the answer; None where the way ends in a refusal, whatever the values are.
    """

    steps: list[_Step]
    known: Known | None

    def __call__(self, values: Mapping[str, Any], read: dict[_Read, Any]) -> None:
        """Takes every step.

        Raises:
            InvalidInput: with the name of the node that would refuse the request.
        """
        for step in self.steps:
            step(values, read)


class _Refused(Exception):
    """The way ends here: its last step refuses every request."""


class Walk:
    """Makes the plan of a way; a value is read once by ports of one type, however many have it."""

    def __init__(
        self,
        signatures: Mapping[str, Signature],
        parts: Mapping[str, Parts],
        types: dict[str, list[Any]],
        done: Iterable[_Read] = (),
    ) -> None:
        """Takes the types of ports met so far by name, and what has surely been read before."""
        self._signatures = signatures
        self._parts = parts
        self._types = types
        self._done = set(done)
        self._steps: list[_Step] = []

    def plan(self, node: Node, known: Known) -> Plan:
        """Returns the plan of a node and all below it."""
        try:
            return Plan(self._steps, self._follow(node, known))
        except _Refused:
            return Plan(self._steps, None)

    def _follow(self, node: Node, known: Known) -> Known:
        if node.type in (NodeType.MODEL, NodeType.TRANSFORMER):
            known = self._ask(node, known)
        elif node.type is NodeType.ROUTER:
            self._visit(node, known)
            return self._choose(node, known)
        if node.children:
            answers = [self._follow(child, known) for child in node.children]
            known = self._unite(node, answers) if node.type is NodeType.COMBINER else answers[0]
        if node.type is NodeType.OUTPUT_TRANSFORMER:
            known = self._ask(node, known)
        return known

    def _ask(self, node: Node, known: Known) -> Known:
        self._visit(node, known)
        signature = self._signatures[node.entry]
        outputs = signature.outputs
        new = {
            name: node.name
            for name, port in outputs.items()
            if port.required and name not in signature.inputs
        }
        if node.type is NodeType.MODEL:
            return Known(frozenset(), frozenset(outputs), new)
        return Known(known.given.difference(outputs), known.written.union(outputs), {**known.new, **new})

    def _choose(self, node: Node, known: Known) -> Known:
        """Plans all ways; what holds for the answer is what holds on each of them."""
        plans = [
            Walk(self._signatures, self._parts, self._types, self._done).plan(child, known)
            for child in node.children
        ]
        self._steps.append(functools.partial(_try, plans))
        ways = [plan.known for plan in plans if plan.known]
        if not ways:
            raise _Refused
        ways.append(known)  # it may choose none
        given = frozenset.intersection(*(one.given for one in ways))
        names = frozenset().union(*(one.written | one.given for one in ways))
        return Known(given, names - given, {})

    def _unite(self, node: Node, answers: Sequence[Known]) -> Known:
        """Unites what children answer; what one has made anew is not what the request gave another.

        It is refused if two answers will differ in a value, and the combiner wants them equal.
        """
        given = frozenset().union(*(answer.given for answer in answers))
        written = frozenset().union(*(answer.written for answer in answers))
        new = {name: maker for answer in answers for name, maker in answer.new.items()}
        kind = self._signatures[node.entry].kind
        if kind and issubclass(kind, Combiner) and kind.aggregate is Combiner.aggregate:
            for name in sorted(given & new.keys()):
                self._refuse(_clash, node, name, f"nothing, since node '{new[name]}' answers it too")
        return Known(given - written, written, new)

    def _visit(self, node: Node, known: Known) -> None:
        """Plans to read what the request gives the node, as the node will, and to ask its own check."""
        signature, parts = self._signatures[node.entry], self._parts.get(node.entry)
        fixed: dict[str, Any] = {}
        brought: dict[str, _Read] = {}
        for name, port in signature.inputs.items():
            if name in known.written:
                continue
            if name in known.given:
                brought[name] = self._read(node, port)
            elif parts is None:
                continue  # of a bundle that only the node's pod knows
            elif name in parts.defaults:
                fixed[name] = self._default(node, port, parts.defaults[name])
            elif port.required:
                self._refuse(_lack, node, name, "a value")
            else:
                fixed[name] = port.default
        kind = signature.kind
        if kind and parts is not None and _looks(kind):
            look = functools.partial(contained, kind.check)
            about = ({name: name in known.new for name in known.written}, parts.roles)
            self._steps.append(functools.partial(_look, look, brought, fixed, about, node.name))

    def _read(self, node: Node, port: Port) -> _Read:
        types = self._types.setdefault(port.name, [])
        if port.annotation not in types:
            types.append(port.annotation)
        one = (port.name, types.index(port.annotation))
        if one not in self._done:
            self._done.add(one)
            self._steps.append(functools.partial(_read, one, port, node.name))
        return one

    def _default(self, node: Node, port: Port, value: Any) -> Any:
        try:
            return port.read(value)
        except InvalidInput as error:
            error.node = node.name
            raise

    def _refuse(self, refuse: Callable[..., None], node: Node, name: str, expected: str) -> NoReturn:
        self._steps.append(functools.partial(refuse, name, expected, node.name))
        raise _Refused


def _looks(kind: type[Component]) -> bool:
    """Whether a component has a check of its own."""
    return getattr(kind.check, "__func__", None) is not vars(Component)["check"].__func__


def _read(one: _Read, port: Port, node: str, values: Mapping[str, Any], read: dict[_Read, Any]) -> None:
    """Reads a value as the node will."""
    try:
        read[one] = port.read(values[port.name])
    except InvalidInput as error:
        error.node = node
        raise


def _look(
    look: Callable[..., None],
    brought: Mapping[str, _Read],
    fixed: Mapping[str, Any],
    about: tuple[Mapping[str, bool], Set[str]],
    node: str,
    values: Mapping[str, Any],
    read: dict[_Read, Any],
) -> None:
    """Has the node's component look at all of its arguments that are known."""
    try:
        look({**fixed, **{name: read[one] for name, one in brought.items()}}, *about)
    except InvalidInput as error:
        error.node = error.node or node
        raise


def _try(plans: Sequence[Plan], values: Mapping[str, Any], read: dict[_Read, Any]) -> None:
    """Refuses what all of the ways refuse, as the first one does."""
    refusals: list[InvalidInput] = []
    for plan in plans:
        try:
            return plan(values, read)
        except InvalidInput as error:
            refusals.append(error)
    raise refusals[0]


def _lack(name: str, expected: str, node: str, values: Mapping[str, Any], read: dict[_Read, Any]) -> None:
    """Refuses every request, since the node would get nothing under that name."""
    error = InvalidInput(name, expected, "nothing")
    error.node = node
    raise error


def _clash(name: str, expected: str, node: str, values: Mapping[str, Any], read: dict[_Read, Any]) -> None:
    """Refuses every request, since there would be two values of that name."""
    error = InvalidInput(name, expected, values[name])
    error.node = node
    raise error
