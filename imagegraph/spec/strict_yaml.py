"""YAML documents checked strictly against pydantic models: every error names file and line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml
from yaml.constructor import SafeConstructor

from imagegraph.errors import InvalidDocument, shorten


class Strict(pydantic.BaseModel):
    """Base of all document models: unknown keys are errors, instances do not change."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True
    )


Model = TypeVar("Model", bound=pydantic.BaseModel)


class Misplaced(ValueError):
    """A fault that a validator found in another place than its own: `at` leads there from its own."""

    def __init__(self, at: Sequence[str | int], sentence: str) -> None:
        """Takes the keys and indices on the way."""
        super().__init__(sentence)
        self.at = tuple(at)


@dataclass(frozen=True)
class Document:
    """A YAML document as it was read: its data, and where in the file they stand.

    Attributes:
        source: the file, as errors call it.
    """

    source: str
    root: yaml.Node
    data: Any

    def reach(self, at: Sequence[str | int]) -> tuple[int, int]:
        """Returns how many steps of the way the document has, and the line of the last one."""
        node, steps = _find(self.root, at)
        return steps, _line(node)

    def fault(self, at: Sequence[str | int], sentence: str) -> InvalidDocument:
        """Returns the error that something is wrong there."""
        way = f"{'.'.join(map(str, at))}: " if at else ""
        return InvalidDocument(f"{self.source}:{self.reach(at)[1]}: {way}{sentence}")


def load(path: Path) -> Document:
    """Reads one YAML document, whatever it says.

    Raises:
        InvalidDocument: with file and line: not there, not YAML, a key twice, a reference to itself.
    """
    try:
        return compose(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidDocument(f"{path}:1: cannot be read: {error}") from error


def compose(text: str, source: str) -> Document:
    """Like `load`, of a text; `source` stands for the file in errors."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            raise InvalidDocument(f"{source}:1: the document is empty")
        _check_keys(root, source, (), set())
        return Document(source, root, SafeConstructor().construct_document(root))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InvalidDocument(f"{source}:{line}: not YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # bytes, dates or depths beyond YAML's
        raise InvalidDocument(f"{source}:1: not YAML: {error}") from error


def read(path: Path, model: type[Model]) -> Model:
    """Reads one YAML document.

    Raises:
        InvalidDocument: as `load`; or not what `model` describes.
    """
    document = load(path)
    return checked(document.data, model, [document])


def parse(text: str, model: type[Model], source: str) -> Model:
    """Like `read`, of a text; `source` stands for the file in errors."""
    document = compose(text, source)
    return checked(document.data, model, [document])


def checked(data: Any, model: type[Model], documents: Sequence[Document]) -> Model:
    """Makes a model of data that documents gave; a fault is where the last one of them has most of its way.

    Raises:
        InvalidDocument: with file and line: not what `model` describes.
    """
    try:
        return model.model_validate(data)
    except pydantic.ValidationError as error:
        faults = []
        for detail in _real(error.errors()):
            cause = detail.get("ctx", {}).get("error")
            at = (*detail["loc"], *(cause.at if isinstance(cause, Misplaced) else ()))
            reached = [(*document.reach(at), place) for place, document in enumerate(documents)]
            _, line, place = max(reached, key=lambda one: (one[0], one[2]))
            faults.append((place, line, _sentence(detail, at)))
        raise InvalidDocument(
            "\n".join(
                f"{documents[place].source}:{line}: {sentence}" for place, line, sentence in sorted(faults)
            )
        ) from None


def _check_keys(node: yaml.Node, source: str, above: tuple[yaml.Node, ...], done: set[yaml.Node]) -> None:
    """Refuses keys that stand twice and aliases that contain themselves; YAML allows both.

    Args:
        done: the nodes checked so far; aliases of aliases would take forever otherwise.
    """
    if any(node is ancestor for ancestor in above):
        raise InvalidDocument(f"{source}:{_line(node)}: a cycle: this part contains itself")
    if node in done:
        return
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise InvalidDocument(f"{source}:{_line(key)}: a key must be text")
            if key.value in seen:
                raise InvalidDocument(f"{source}:{_line(key)}: key '{key.value}' stands twice")
            seen.add(key.value)
            _check_keys(value, source, (*above, node), done)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(item, source, (*above, node), done)
    done.add(node)


def _real(details: Sequence[Any]) -> list[Any]:
    """Leaves out that a list is too short where items of it are wrong: pydantic counts only the others."""
    wrong = [detail["loc"] for detail in details if detail["type"] != "too_short"]
    return [
        detail
        for detail in details
        if detail["type"] != "too_short"
        or not any(loc[: len(detail["loc"])] == detail["loc"] for loc in wrong)
    ]


def _sentence(detail: Any, loc: Sequence[str | int]) -> str:
    at = ".".join(str(part) for part in loc)
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        message = "unknown key"
    elif "input" in detail and detail["type"] not in ("missing", "value_error"):
        message += f", got {shorten(detail['input'])}"
    return f"{at + ': ' if at else ''}{message}"


def _find(node: yaml.Node, location: Sequence[str | int]) -> tuple[yaml.Node, int]:
    """Walks down to the key or list item at `location`, or as far as the document goes; counts the steps."""
    found, steps = node, 0
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if pair is None:
                continue  # pydantic's own steps, such as the arm of a union
            found, node = pair
            steps += 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = node = node.value[part]
            steps += 1
    return found, steps


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def dump(document: Any) -> str:
    """Writes plain data as YAML in the order given, without aliases."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        # Kubernetes style: list items are indented below their key.
        return super().increase_indent(flow, False)
