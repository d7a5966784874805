"""What a form for a graph's inputs needs to know, from V2 metadata alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Kind = Literal[
    "image", "images", "text", "texts", "choice", "choices", "number", "numbers", "integer", "integers",
    "boolean", "boxes", "points", "labels", "array", "object",
]  # fmt: skip
Group = Literal["main", "advanced"]
LIMITS = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
    "minItems", "maxItems", "pattern", "enum", "unit",
)  # fmt: skip
# What people change from run to run; all else is folded away unless it must be given.
_MAIN_KINDS = ("image", "images", "boxes", "points", "labels", "choices")
_MAIN_NAMES = ("prompt", "seed", "variants", "controls")
_ARRAYS: dict[tuple[int, ...], Kind] = {(-1, 4): "boxes", (-1, -1, 2): "points", (-1, -1): "labels"}
_PLAIN: dict[str, tuple[Kind, Kind]] = {
    "string": ("text", "texts"),
    "number": ("number", "numbers"),
    "integer": ("integer", "integers"),
}


class Field(NamedTuple):
    """One input of a form."""

    name: str
    kind: Kind
    group: Group
    required: bool
    default: Any
    schema: Mapping[str, Any]
    limits: Mapping[str, Any]
    description: str


def fields(inputs: list[Mapping[str, Any]], priors: Mapping[str, Mapping[str, Any]]) -> list[Field]:
    """Returns the fields of a form.

    Args:
        inputs: as V2 metadata have them.
        priors: of the outputs, those that may be given instead of having them read.
    """
    found = [_field(one, required=bool(one.get("parameters", {}).get("required"))) for one in inputs]
    known = {one.name for one in found}
    given = [_field(one, required=False) for name, one in priors.items() if name not in known]
    return [*found, *(one._replace(group="advanced") for one in given)]


def _field(tensor: Mapping[str, Any], required: bool) -> Field:
    facts = tensor.get("parameters", {})
    schema = facts.get("schema", {})
    name, kind = tensor["name"], _kind(tensor, schema)
    is_main = required or kind in _MAIN_KINDS or name in _MAIN_NAMES
    items = schema.get("items", {})
    limits = {key: one[key] for one in (items, schema) for key in LIMITS if key in one}
    group: Group = "main" if is_main else "advanced"
    described = str(schema.get("description", ""))
    return Field(name, kind, group, required, facts.get("default"), schema, limits, described)


def _kind(tensor: Mapping[str, Any], schema: Mapping[str, Any]) -> Kind:
    several = tensor["shape"] != [1]
    content_type = tensor.get("parameters", {}).get("content_type")
    if content_type == "image/*":
        return "images" if several else "image"
    if content_type == "application/json":
        return "object"
    if "dtype" in schema:
        return _ARRAYS.get(tuple(tensor["shape"]), "array")
    one = schema.get("items", {}) if schema.get("type") == "array" else schema
    if "enum" in one:
        return "choices" if several else "choice"
    if tensor["datatype"] == "BOOL" and not several:
        return "boolean"
    by_datatype = {"BYTES": "string", "FP64": "number", "FP32": "number", "INT64": "integer"}
    single, plural = _PLAIN[by_datatype.get(tensor["datatype"], "number")]
    return plural if several else single
