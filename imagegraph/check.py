"""What can be known of a request before the first node of its graph runs; what must fail is refused at once.

Follows the message as the engine does, with the values that the request brings and the names of those that
nodes write on the way. Which way a ROUTER chooses is not known: refused is what every way refuses, and once
it has chosen, what the chosen one does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from imagegraph.catalogue import Parts
from imagegraph.component import Combiner, Signature
from imagegraph.engine import Call, Context
from imagegraph.errors import ImagegraphError, InvalidInput, UnknownName
from imagegraph.graph import Node, NodeType
from imagegraph.message import Message, Tensor
from imagegraph.ports import Port
from imagegraph.worker import contained

# Of a message that is read on the event loop; a larger one is in a thread.
MAX_ITEMS, MAX_CHARACTERS = 1000, 2**16


class _Known(NamedTuple):
    """What is known of a message at one point of its way.

    Attributes:
        given: the values of the request that it still carries.
        written: the names of values that nodes before this point write, or may write.
        new: of these, what a node surely makes without having read a value of that name, with the node.
    """

    given: Mapping[str, Any]
    written: frozenset[str]
    new: Mapping[str, str]

    def without(self, names: Collection[str]) -> Mapping[str, Any]:
        """Returns what the request has given but for some names."""
        return {name: value for name, value in self.given.items() if name not in names}


class Check:
    """Checks the requests of one graph."""

    def __init__(self, root: Node, signatures: Mapping[str, Signature], parts: Mapping[str, Parts]) -> None:
        """Takes the graph, the signature of every entry, and what those have that are known here."""
        self.root = root
        self._signatures = signatures
        self._parts = parts

    def __call__(
        self, values: Mapping[str, Any], outputs: Iterable[str] | None = None, node: Node | None = None
    ) -> None:
        """Checks a request, or what comes to a node on its way.

        Args:
            values: that the message brings.
            outputs: names of the values that are wanted back, if not all.
            node: of the graph; its root by default.

        Raises:
            InvalidInput: a value is wrong for, lacks at, or does not go with, a node that will be asked,
                whose name the error has.
            UnknownName: a value is wanted back that no answer can have.
        """
        end = _Walk(self._signatures, self._parts).follow(node or self.root, _Known(values, frozenset(), {}))
        possible = end.written.union(end.given)
        for name in outputs or ():
            if name not in possible:
                raise UnknownName("output", name, possible)

    async def message(
        self, message: Message, outputs: Iterable[str] | None = None, node: Node | None = None
    ) -> None:
        """Checks the same beside other requests: what takes long to read is read in a thread."""
        if _is_large(message.values):
            await asyncio.to_thread(self, message.values, outputs, node)
        else:
            self(message.values, outputs, node)


class CheckedCall:
    """A call that checks the way that a ROUTER has chosen before its first node is asked."""

    def __init__(self, call: Call, check: Check) -> None:
        """Takes both."""
        self._call = call
        self._check = check

    async def infer(self, node: Node, message: Message, context: Context) -> Message:
        """Asks the node."""
        return await self._call.infer(node, message, context)

    async def aggregate(self, node: Node, messages: Sequence[Message], context: Context) -> Message:
        """Asks the node."""
        return await self._call.aggregate(node, messages, context)

    async def route(self, node: Node, message: Message, context: Context) -> int:
        """Asks the node; checks the child that it chose."""
        choice = await self._call.route(node, message, context)
        if 0 <= choice < len(node.children):
            await self._check.message(message, None, node.children[choice])
        return choice


def checked(call: Call, check: Check) -> Call:
    """Returns the call with checks on the way, where the graph has a ROUTER."""
    routers = any(node.type is NodeType.ROUTER for node in check.root.walk())
    return CheckedCall(call, check) if routers else call


def _is_large(values: Mapping[str, Any]) -> bool:
    """Whether reading the values may keep others waiting: many items, or text that may be a picture."""
    for value in values.values():
        items = value.data if isinstance(value, Tensor) else value
        if not isinstance(items, (list, str, bytes)):
            continue
        if len(items) > MAX_ITEMS and isinstance(items, list):
            return True
        for item in items if isinstance(items, list) else [items]:
            if isinstance(item, (str, bytes)) and len(item) > MAX_CHARACTERS:
                return True
    return False


class _Walk:
    """One check; a value is read once by ports of one type, however many nodes have such a port."""

    def __init__(self, signatures: Mapping[str, Signature], parts: Mapping[str, Parts]) -> None:
        self._signatures = signatures
        self._parts = parts
        self._read: dict[str, list[tuple[Any, Any]]] = {}

    def follow(self, node: Node, known: _Known) -> _Known:
        """Returns what is known of the answer of a node and all below it."""
        if node.type in (NodeType.MODEL, NodeType.TRANSFORMER):
            known = self._ask(node, known)
        elif node.type is NodeType.ROUTER:
            self._visit(node, known)
            return self._choose(node, known)
        if node.children:
            answers = [self.follow(child, known) for child in node.children]
            known = self._unite(node, answers) if node.type is NodeType.COMBINER else answers[0]
        if node.type is NodeType.OUTPUT_TRANSFORMER:
            known = self._ask(node, known)
        return known

    def _ask(self, node: Node, known: _Known) -> _Known:
        self._visit(node, known)
        signature = self._signatures[node.entry]
        outputs = signature.outputs
        new = {
            name: node.name
            for name, port in outputs.items()
            if port.required and name not in signature.inputs
        }
        if node.type is NodeType.MODEL:
            return _Known({}, frozenset(outputs), new)
        return _Known(known.without(outputs), known.written.union(outputs), {**known.new, **new})

    def _choose(self, node: Node, known: _Known) -> _Known:
        """Follows all ways; what holds for the answer is what holds on each of them."""
        ways: list[_Known] = []
        refusals: list[ImagegraphError] = []
        for child in node.children:
            try:
                ways.append(self.follow(child, known))
            except InvalidInput as error:
                refusals.append(error)
        if not ways:
            raise refusals[0]
        ways.append(known)  # it may choose none
        given = {name: value for name, value in known.given.items() if all(name in one.given for one in ways)}
        names = frozenset(name for one in ways for name in (*one.written, *one.given))
        return _Known(given, names.difference(given), {})

    def _unite(self, node: Node, answers: Sequence[_Known]) -> _Known:
        """Unites what children answer; what one has made anew is not what the request gave another.

        Raises:
            InvalidInput: two answers will differ in a value, and the combiner wants them equal.
        """
        given = {name: value for answer in answers for name, value in answer.given.items()}
        new = {name: maker for answer in answers for name, maker in answer.new.items()}
        kind = self._signatures[node.entry].kind
        if kind and issubclass(kind, Combiner) and kind.aggregate is Combiner.aggregate:
            for name in given.keys() & new.keys():
                error = InvalidInput(name, f"nothing, since node '{new[name]}' answers it too", given[name])
                error.node = node.name
                raise error
        written = frozenset().union(*(answer.written for answer in answers))
        return _Known({name: value for name, value in given.items() if name not in written}, written, new)

    def _visit(self, node: Node, known: _Known) -> None:
        """Reads what the request gives the node, as the node will.

        Raises:
            InvalidInput: with the node's name.
        """
        signature, parts = self._signatures[node.entry], self._parts.get(node.entry)
        arguments: dict[str, Any] = {}
        try:
            for name, port in signature.inputs.items():
                if name in known.written:
                    continue
                if name in known.given:
                    arguments[name] = self._value(port, known.given[name])
                elif parts is None:
                    continue  # of a bundle that only the node's pod knows
                elif name in parts.defaults:
                    arguments[name] = port.read(parts.defaults[name])
                elif port.required:
                    raise InvalidInput(name, "a value", "nothing")
                else:
                    arguments[name] = port.default
            if signature.kind and parts is not None:
                contained(signature.kind.check, arguments, known.written, parts.roles)
        except InvalidInput as error:
            error.node = error.node or node.name
            raise

    def _value(self, port: Port, value: Any) -> Any:
        read = self._read.setdefault(port.name, [])
        for annotation, found in read:
            if annotation is port.annotation or annotation == port.annotation:
                return found
        found = port.read(value)
        read.append((port.annotation, found))
        return found
