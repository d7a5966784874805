"""Manifests and values of the chart with something changed in them: used, or refused in words."""

import copy
import re
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from imagegraph.errors import ImagegraphError
from imagegraph.spec import strict_yaml
from imagegraph.spec.catalogue import ROOT
from imagegraph.spec.seldon import SeldonDeployment
from tests.deploy import chart
from tests.fuzz.cases import cases

MANIFESTS = [
    yaml.safe_load(path.read_text()) for path in sorted((ROOT / "manifests" / "graphs").glob("*.yaml"))
]
VALUES = yaml.safe_load((chart.CHART / "values.yaml").read_text())
# What YAML, Go's templates or Kubernetes may take for something else than the text that it is.
TRAPS = [
    "*",
    "&a",
    "y",
    "null",
    "0x1",
    "1e3",
    "a: b",
    "# c",
    "{{ .Values }}",
    "'",
    '"',
    "a\nb",
    "a" * 70,
    "é",
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.sampled_from(TRAPS)
    | st.text(max_size=9)
)
ANY = st.recursive(
    SCALARS, lambda one: st.lists(one, max_size=2) | st.dictionaries(st.text(max_size=5), one, max_size=2)
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all that stands in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [one for key, child in inner for one in ((*at, key), *places(child, (*at, key)))]


def changed(document: Any, place: tuple[Any, ...], how: str, value: Any) -> Any:
    """The document with one thing replaced, left out, or with something beside it."""
    made = copy.deepcopy(document)
    parent = made
    for key in place[:-1]:
        parent = parent[key]
    if how == "replace":
        parent[place[-1]] = value
    elif how == "leave out":
        del parent[place[-1]]
    elif isinstance(parent, list):
        parent.insert(place[-1], value)
    else:
        parent[str(value)] = value
    return made


HOW = st.sampled_from(["replace", "leave out", "add"])


@cases(300)
@given(st.data(), st.sampled_from(MANIFESTS), HOW, ANY)
def test_a_changed_manifest_is_read_or_refused_with_its_line(data, manifest, how, value):
    document = changed(manifest, data.draw(st.sampled_from(places(manifest))), how, value)
    refused = None
    try:
        read = strict_yaml.parse(yaml.safe_dump(document, allow_unicode=True), SeldonDeployment, "graph.yaml")
        read.choose("7")
    except ImagegraphError as error:
        refused = str(error)
    assert refused is None or re.match(r"graph\.yaml:\d+: ", refused)


NAME = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?")
LABEL = re.compile(r"(?=.{0,63}$)([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?")


@cases(4)
@given(st.data(), HOW, SCALARS.filter(lambda one: one == one))
@example(None, "replace", "*.example.com")
def test_changed_values_render_what_kubernetes_takes_or_are_refused(data, how, value):
    place = ("ingress", "host") if data is None else data.draw(st.sampled_from(places(VALUES)))
    done = chart.template(given=changed(VALUES, place, how, value))
    if done.returncode:
        assert not re.search("nil pointer|panic|can't evaluate field|error converting YAML", done.stderr), (
            done.stderr
        )
        return
    for one in chart.parsed(done.stdout):
        name = one["metadata"]["name"]
        assert NAME.fullmatch(name), name
        for label in one["metadata"].get("labels", {}).values():
            assert LABEL.fullmatch(label), label
