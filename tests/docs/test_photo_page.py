"""docs/photo.md is tested: what it runs exists, its links lead to files, its numbers are the tables'."""

import re

import pytest

from imagegraph.signature import Signature
from imagegraph.spec.catalogue import ROOT, Catalogue

PAGE = ROOT / "docs" / "photo.md"
TEXT = PAGE.read_text()
CATALOGUE = Catalogue.read()
COMMANDS = re.findall(r"^imagegraph (?:run|export) (\S+)(.*?)(?:#.*)?$", TEXT, re.M)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", TEXT))
def test_its_links_lead_to_files(target: str) -> None:
    assert (PAGE.parent / target).exists(), target


@pytest.mark.parametrize(("name", "rest"), COMMANDS)
def test_what_it_runs_is_in_the_bundle_and_takes_those_inputs(name: str, rest: str) -> None:
    root = CATALOGUE.graph(name).root
    assert "photo" in CATALOGUE.bundles(root)
    ports = {port for one in CATALOGUE.signatures(root, "photo").values() for port in one.inputs}
    for option in set(re.findall(r"--([a-z-]+)", rest)) - {"bundle", "format", "out"}:
        assert option.replace("-", "_") in ports


def test_it_names_every_style_and_every_input() -> None:
    gallery = (ROOT / "photo/weights/style/gallery").iterdir()
    names = {file.stem for file in gallery} | Signature.of(CATALOGUE.entry("restyle").kind).inputs.keys()
    assert all(f"`{name}`" in TEXT for name in names - {"image"})


def test_its_means_are_those_of_the_table() -> None:
    last = (ROOT / "photo/STYLES.md").read_text().strip().splitlines()[-1]
    nearer, edges = re.findall(r"(\d+)%, 0(\.\d+) \|$", last)[0]
    assert f"falls by {nearer} % on average" in " ".join(TEXT.split())
    assert f"edges is {edges} (" in TEXT
