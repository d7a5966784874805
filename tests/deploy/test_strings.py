"""Strings arrive as they were written, whatever YAML makes of them unquoted."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy import chart
from tests.deploy.generated_values import SCHEMA

STRINGS = [
    "*", "*.example.com", "&", "&a b", ": ", "a: b", "#", "a # b", "yes", "no", "null", "~", "1e3", "0x10",
    "1_000", "12:30:45", "2024-01-01", "- a", "? a", "!a", "%a", "@a", "`a`", "'", '"', "\\",
    "{{ .Release }}", "[a", "{a", "|", ">", "a\nb\n", "\n---\n", " a ", "\t", "\u2028", "\ufeff", "é 😀", "",
]  # fmt: skip
# What the schema lets through of text: all but control characters and what YAML has no character for.
TEXT = SCHEMA["definitions"]["text"]["pattern"]
# Objects that the values below turn on.
SETTINGS: dict[str, Any] = {
    "graph": "upscale",
    "ingress": {"enabled": True, "host": "*.example.com", "className": "nginx", "tlsSecret": "a"},
    "gateway": {"enabled": True, "host": "*.example.com", "parent": {"name": "a", "namespace": "b"}},
    "monitoring": {"podMonitor": True},
    "nodes": {"upscale": {"keda": {"minReplicas": 0, "maxReplicas": 1}}},
    "studio": {"enabled": True, "secret": "a"},
}


def free(schema: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yields where the schema takes any string; `*` stands for a key of the author's, `0` for an item."""
    if schema is False:
        return
    if "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    for one in [*schema.get("allOf", []), *schema.get("anyOf", [])]:
        yield from free(one, path)
    types = schema.get("type", ())
    if "string" in types and schema.get("pattern", TEXT) == TEXT:
        yield path
    for name, one in schema.get("properties", {}).items():
        yield from free(one, (*path, name))
    for one in [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]:
        if isinstance(one, dict):
            yield from free(one, (*path, "*"))
    if "items" in schema:
        yield from free(schema["items"], (*path, "0"))


FREE = sorted({".".join(path) for path in free(SCHEMA)})


def given(text: str) -> dict[str, Any]:
    """Values with a string at every place where any string may stand."""
    annotations = {"a.example/b": text}
    variable = {"name": "FREE", "value": text}
    pods = {"annotations": annotations, "container": {"env": [variable]}}
    trigger = {"type": text or "a", "name": text, "metadata": {text: text}}
    return {
        **SETTINGS,
        "podTemplate": pods,
        "node": {"env": {"NODE": text}, "podTemplate": pods},
        "nodes": {
            "upscale": {
                "env": {"OWN": text},
                "podTemplate": pods,
                "keda": {"minReplicas": 0, "maxReplicas": 1, "triggers": [trigger]},
            }
        },
        "engine": {"env": {"ENGINE": text}, "podTemplate": pods},
        "modelInit": {"env": {"INIT": text}, "container": {"env": [variable]}},
        "service": {"annotations": annotations},
        "serviceAccount": {"annotations": annotations},
        "ingress": {**SETTINGS["ingress"], "annotations": annotations},
        "studio": {**SETTINGS["studio"], "env": {"STUDIO": text}, "podTemplate": pods},
        "loadTest": {"enabled": True, "args": [text], "podTemplate": pods},
    }


def test_the_values_above_fill_every_place_where_any_string_may_stand() -> None:
    def filled(value: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
        if isinstance(value, dict):
            for key, one in value.items():
                yield from filled(one, (*path, key))
        elif isinstance(value, list):
            for one in value:
                yield from filled(one, (*path, "0"))
        elif value == "free":
            yield ".".join(path).replace("a.example/b", "*")

    names = dict.fromkeys(("NODE", "OWN", "ENGINE", "INIT", "STUDIO", "upscale", "free"), "*")
    found = {".".join(names.get(part, part) for part in path.split(".")) for path in filled(given("free"))}
    assert found == set(FREE)


@pytest.mark.parametrize("text", STRINGS, ids=json.dumps)
def test_a_string_arrives_as_it_was_written(text: str) -> None:
    rendered = chart.objects(given=given(text))
    by_kind = {
        one["kind"]: one for one in rendered if one["kind"] in ("Ingress", "ServiceAccount", "Service")
    }
    by_kind["Service"] = next(
        one for one in chart.of_kind("Service", rendered) if one["metadata"]["name"].endswith("-engine")
    )
    for one in by_kind.values():
        assert one["metadata"]["annotations"]["a.example/b"] == text
    [scaled] = chart.of_kind("ScaledObject", rendered)
    [trigger] = scaled["spec"]["triggers"]
    assert (trigger["type"], trigger["name"], trigger["metadata"]) == (text or "a", text, {text: text})
    [job] = chart.of_kind("Job", rendered)
    assert job["spec"]["template"]["spec"]["containers"][0]["args"][-1] == text
    for workload in [job, *chart.of_kind("Deployment", rendered)]:
        template = workload["spec"]["template"]
        assert template["metadata"]["annotations"]["a.example/b"] == text
    variables = {
        (container["name"], one["name"]): one.get("value")
        for pod in chart.pods(rendered)
        for container in pod.containers
        for one in container.get("env", [])
    }
    wanted = {
        ("upscale", "NODE"), ("upscale", "OWN"), ("upscale", "FREE"), ("engine", "ENGINE"),
        ("engine", "FREE"), ("model-init", "INIT"), ("model-init", "FREE"),
        ("studio", "STUDIO"), ("studio", "FREE"), ("load-test", "FREE"),
    }  # fmt: skip
    assert {key: value for key, value in variables.items() if key in wanted} == dict.fromkeys(wanted, text)


@pytest.mark.parametrize("host", ["*.example.com", "1e3", "yes", "0x10.1"])
def test_so_does_a_host(host: str) -> None:
    section = {"enabled": True, "host": host}
    gateway = {**section, "parent": {"name": "true", "namespace": "123"}}
    rendered = chart.objects(given={"ingress": {**section, "tlsSecret": "1e3"}, "gateway": gateway})
    [ingress], [route] = (chart.of_kind(kind, rendered) for kind in ("Ingress", "HTTPRoute"))
    assert ingress["spec"]["rules"][0]["host"] == host
    assert ingress["spec"]["tls"] == [{"hosts": [host], "secretName": "1e3"}]
    assert route["spec"]["hostnames"] == [host]
    assert route["spec"]["parentRefs"] == [{"name": "true", "namespace": "123"}]
