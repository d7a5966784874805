"""Values that the chart's own schema admits, made at random, so that tests try what nobody thought of."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import jsonschema_rs
from hypothesis import strategies as st

from tests.deploy.chart import CHART

Schema = dict[str, Any]
Values = dict[str, Any]

SCHEMA: Schema = json.loads((CHART / "values.schema.json").read_text())
# Small graphs with a node of each: one with weights, one without, one with children.
GRAPHS = {"upscale": "upscale", "edges": "edges", "draw": "generate"}
# As helm takes them; Kubernetes wants a letter first.
RELEASES = st.from_regex(r"[a-z]([-a-z0-9]{0,51}[a-z0-9])?", fullmatch=True) | st.just("2024-photos")
BOUND = 2**31 - 1
SECTIONS = sorted(SCHEMA["properties"])
# What the schema leaves to Kubernetes, by definition.
OPEN: dict[str, st.SearchStrategy[Any]] = {
    "ipBlock": st.sampled_from([{"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}, {"cidr": "fd00::/8"}]),
    "variable": st.fixed_dictionaries({"name": st.just("ADDRESS"), "value": st.text()}),
    "mount": st.fixed_dictionaries({"name": st.just("tmp"), "mountPath": st.sampled_from(["/a", "/b/c"])}),
    "volume": st.fixed_dictionaries({"name": st.just("more"), "emptyDir": st.just({})}),
}


@st.composite
def values(draw: st.DrawFn) -> Values:
    """Makes values for a small graph on any platform, with a few things set that the schema admits."""
    names = draw(st.lists(st.sampled_from(SECTIONS), min_size=1, max_size=5, unique=True))
    made: Values = {name: draw(_section(name)) for name in names}
    made["platform"] = draw(st.sampled_from(["plain", "seldon", "kserve"]))
    made["graph"] = draw(st.sampled_from(sorted(GRAPHS)))
    made["bundle"] = "pocket"
    made["predictors"] = {"default": {"traffic": 100}}
    node = draw(_own_node())
    made["nodes"] = {GRAPHS[made["graph"]]: node}
    node.pop("pool", None)
    if "autoscaling" in node:
        node.pop("keda", None)
    for scaling in (node[name] for name in ("autoscaling", "keda") if name in node):
        scaling["minReplicas"] = min(scaling["minReplicas"], scaling["maxReplicas"])
    return made


@cache
def _section(name: str) -> st.SearchStrategy[Any]:
    return of(SCHEMA["properties"][name])


@cache
def _own_node() -> st.SearchStrategy[Any]:
    return of(SCHEMA["definitions"]["ownNode"])


def of(schema: Schema) -> st.SearchStrategy[Any]:
    """Returns a strategy for what a schema admits; objects hold a few keys where any may be."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return OPEN[name] if name in OPEN else of(SCHEMA["definitions"][name])
    found = _made_of(schema)
    if schema.keys() & {"not", "if", "oneOf", "allOf", "patternProperties"}:
        valid = jsonschema_rs.validator_for({**schema, "definitions": SCHEMA["definitions"]})
        return found.filter(valid.is_valid)
    return found


def _made_of(schema: Schema) -> st.SearchStrategy[Any]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    if "anyOf" in schema:
        return st.one_of([of(one) for one in schema["anyOf"]])
    if "type" not in schema and "allOf" in schema:
        return of(schema["allOf"][0])
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return st.one_of([_of_type(one, schema) for one in types])


def _of_type(type_: str, schema: Schema) -> st.SearchStrategy[Any]:
    above = schema.get("exclusiveMinimum")
    least, most = schema.get("minimum", -BOUND if above is None else above), schema.get("maximum", BOUND)
    if type_ == "object":
        return _object(schema)
    if type_ == "array":
        least, most = schema.get("minItems", 0), schema.get("minItems", 0) + 2
        return st.lists(of(schema["items"]), min_size=least, max_size=most, unique_by=json.dumps)
    if type_ == "string":
        if "pattern" in schema:  # helm's `$` ends the text, that of Python a line
            text = st.from_regex(schema["pattern"].replace("$", r"\Z"), alphabet=st.characters(codec="utf-8"))
        else:
            text = st.text(min_size=schema.get("minLength", 0))
        most = schema.get("maxLength", 1000)
        return text.filter(lambda one: len(one) <= most and "\x00" not in one)
    least_whole = math.ceil(least) + (above is not None and least == math.ceil(least))
    # A number may lie between 0 and 1, where no whole one is.
    whole = st.integers(least_whole, math.floor(most)) if least_whole <= most else st.nothing()
    simple: dict[str, st.SearchStrategy[Any]] = {
        "integer": whole,
        "number": whole | st.floats(least, most, exclude_min=above is not None, allow_subnormal=False),
        "boolean": st.booleans(),
        "null": st.none(),
    }
    return simple[type_]


def _object(schema: Schema) -> st.SearchStrategy[Values]:
    # Others forbid a key, or say more of one whose pattern is below.
    makes = {"$ref", "allOf", "anyOf", "const", "enum", "type"}
    properties = {key: one for key, one in schema.get("properties", {}).items() if one and makes & one.keys()}
    required = {name: of(properties[name]) for name in schema.get("required", []) if name in properties}
    optional = {name: of(one) for name, one in properties.items() if name not in required}
    known = st.fixed_dictionaries(required, optional=optional)
    more = {pattern: one for pattern, one in schema.get("patternProperties", {}).items() if one is not False}
    if isinstance(schema.get("additionalProperties"), dict):
        more["^.*$"] = schema["additionalProperties"]
    if not more:
        return known
    named = {"type": "string", **schema.get("propertyNames", {})}
    others = [
        st.dictionaries(of({**named, "pattern": pattern}), of(one), max_size=2)
        for pattern, one in more.items()
    ]
    return st.builds(lambda some, rest: {**rest, **some}, known, st.one_of(others))
