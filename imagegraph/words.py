"""Ports in words: what they take, within which limits, and what stands in where nothing is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, Self

_KINDS = {"boolean": "yes or no", "integer": "whole number", "number": "number", "string": "text"}


class Told(Protocol):
    """What is known of a port, here or by a server's metadata; see `imagegraph.ports.Port`."""

    @property
    def schema(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def is_list(self) -> bool: ...  # noqa: D102
    @property
    def holds_images(self) -> bool: ...  # noqa: D102
    @property
    def required(self) -> bool: ...  # noqa: D102
    @property
    def default(self) -> Any: ...  # noqa: D102


class Described(NamedTuple):
    """A port as V2 metadata describe it."""

    schema: Mapping[str, Any]
    is_list: bool
    holds_images: bool
    required: bool
    default: Any

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Self:
        """Takes the facts of an input: its shape and its parameters."""
        holds_images = facts.get("content_type") == "image/*"
        required, default = facts.get("required", False), facts.get("default")
        return cls(facts.get("schema", {}), facts["shape"] != [1], holds_images, required, default)


def takes(port: Told) -> str:
    """Returns what an input takes, such as "photo", "choice of a, b" or "whole number, 1 to 16"."""
    return _said(port, "photo")


def gives(port: Told) -> str:
    """Returns what an answer is, such as "pictures"."""
    return _said(port, "picture")


def _said(port: Told, picture: str) -> str:
    schema = port.schema
    if "dtype" in schema:
        return (
            f"array of {schema['dtype']}, {' x '.join('any' if n == -1 else str(n) for n in schema['shape'])}"
        )
    if not port.is_list:
        return ", ".join([picture if port.holds_images else _kind(schema), *_limits(schema), *_keys(schema)])
    item = schema.get("items", {})
    kind = f"{picture if port.holds_images else _kind(item)}s"
    if "enum" in item:
        kind = f"some of {_names(item['enum'])}"
    count = _range(schema.get("minItems"), schema.get("maxItems"), "of them")
    return ", ".join([kind, *_limits(item), *count])


def placeholder(port: Told) -> str:
    """Returns what stands for a port's value in a line of usage, such as PHOTO."""
    if port.holds_images:
        return "PHOTO"
    schema = port.schema.get("items", {}) if port.is_list else port.schema
    if "dtype" in port.schema or _kind(schema) == "JSON":
        return "JSON"
    return "NAME" if "enum" in schema else {"string": "TEXT", "boolean": "YES"}.get(schema["type"], "NUMBER")


def choices(port: Told) -> list[str]:
    """Returns the values of which a port takes one or some, if there are only so many."""
    schema = port.schema
    return [str(choice) for choice in {**schema.get("items", {}), **schema}.get("enum", ())]


def default(port: Told) -> str:
    """Returns what stands in for an input, "required" where nothing can, and nothing for nothing."""
    if port.required:
        return "required"
    if port.default in (None, "", {}):
        return ""
    if isinstance(port.default, list):
        return ", ".join(map(str, port.default))
    return {True: "yes", False: "no"}[port.default] if isinstance(port.default, bool) else str(port.default)


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return f"choice of {_names(schema['enum'])}"
    if "additionalProperties" in schema or "properties" in schema or "$ref" in schema:
        return "JSON"
    return _KINDS.get(schema.get("type", ""), "value")


def _keys(schema: Mapping[str, Any]) -> list[str]:
    """Returns the names that a mapping may have, if they are known."""
    keys = schema.get("propertyNames", {})
    names = [keys["const"]] if "const" in keys else keys.get("enum")
    return [] if names is None else [f"by {_names(names) or 'name, of which there is none'}"]


def _limits(schema: Mapping[str, Any]) -> list[str]:
    if "maxLength" in schema or "minLength" in schema:
        return _range(schema.get("minLength"), schema.get("maxLength"), "characters")
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMaximum" in schema and schema.get("type") == "integer":
        high = schema["exclusiveMaximum"] - 1
    unit = schema.get("unit", "")
    if "exclusiveMinimum" in schema:
        said = [f"above {schema['exclusiveMinimum']}", *_range(None, high, unit)]
    else:
        said = _range(low, high, unit)
    if "exclusiveMaximum" in schema and schema.get("type") != "integer":
        said.append(f"below {schema['exclusiveMaximum']}")
    if "multipleOf" in schema:
        said.append(f"in steps of {schema['multipleOf']}")
    return said


def _range(low: Any, high: Any, unit: str) -> list[str]:
    """Returns a range in words, if there is one."""
    if low is None and high is None:
        return []
    if low is None:
        text = f"up to {high}"
    elif high is None:
        text = f"{low} or more"
    else:
        text = f"{low} to {high}"
    return [f"{text} {unit}".rstrip()]


def _names(choices: list[Any]) -> str:
    return ", ".join(map(str, choices))
