"""Every entry of the catalogue: nobody lists names here, adding an entry adds its tests."""

import asyncio
import subprocess
import sys

import pytest

from imagegraph.component import Combiner, Router
from imagegraph.message import same
from imagegraph.run.embedded import Embedded
from imagegraph.signature import Signature
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.graph import Node
from tests.catalogue.conftest import BUNDLE, SHIPPED

CATALOGUE = Catalogue.read()
ENTRIES = sorted(CATALOGUE.entries)
VARIANTS = [(name, bundle) for name in ENTRIES for bundle in CATALOGUE.entry(name).bundles]
RUNNABLE = [
    (name, bundle)
    for name, bundle in VARIANTS
    if bundle in SHIPPED and not issubclass(CATALOGUE.entry(name).kind, (Combiner, Router))
]


@pytest.mark.parametrize(("name", "bundle"), RUNNABLE)
def test_entry_answers_its_smoke_input_with_just_its_ports_and_the_same_again(name: str, bundle: str) -> None:
    entry = CATALOGUE.entry(name)
    signature = CATALOGUE.signature(name, bundle)
    values = entry.smoke_values(signature)
    with Embedded(Node(name=name), bundle, CATALOGUE, "cpu") as embedded:
        first = asyncio.run(embedded.run(values)).values
        again = asyncio.run(embedded.run(values)).values
    assert set(first) <= set(signature.outputs)
    for port, value in first.items():
        signature.outputs[port].read(value)
        assert same(value, again[port]), f"{port} changed between two equal requests"


LIGHT = """
import asyncio, sys
from imagegraph.spec.catalogue import Catalogue
from imagegraph.calls.in_process import LocalCall
with LocalCall(Catalogue.read(), sys.argv[1], sys.argv[2:]) as call:
    asyncio.run(call.ready())
print("torch" in sys.modules)
"""


def test_what_computes_next_to_nothing_takes_no_memory_for_torch() -> None:
    names = [name for name in ENTRIES if CATALOGUE.entry(name).kind.inline]
    assert names
    command = [sys.executable, "-c", LIGHT, BUNDLE, *names]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize(("name", "bundle"), VARIANTS)
def test_settings_and_defaults_of_a_variant_fit_its_class(name: str, bundle: str) -> None:
    entry = CATALOGUE.entry(name)
    entry.build(bundle, {})
    signature = CATALOGUE.signature(name, bundle)
    for port, value in entry.variant(bundle).defaults.items():
        signature.port(port).read(value)
    assert all(port.schema for port in signature.inputs.values())
    assert all(port.schema for port in signature.outputs.values())


@pytest.mark.parametrize(("name", "bundle"), VARIANTS)
def test_a_class_of_a_bundles_own_answers_what_the_entrys_class_does(name: str, bundle: str) -> None:
    entry = CATALOGUE.entry(name)
    own, common = (Signature.of(kind) for kind in (entry.kind_in(bundle), entry.kind))
    # What it has no use for, as a limit of tokens, it leaves out.
    assert own.inputs.keys() <= common.inputs.keys()
    assert own.outputs.keys() == common.outputs.keys()


@pytest.mark.parametrize(("name", "bundle"), VARIANTS)
def test_equal_ports_of_different_entries_have_equal_types(name: str, bundle: str) -> None:
    known = {}
    for variant in VARIANTS:
        signature = CATALOGUE.signature(*variant)
        for port in (*signature.inputs.values(), *signature.outputs.values()):
            known.setdefault(port.name, (port.datatype, port.shape))
    signature = CATALOGUE.signature(name, bundle)
    for port in (*signature.inputs.values(), *signature.outputs.values()):
        assert (port.datatype, port.shape) == known[port.name], port.name
