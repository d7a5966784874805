"""What a graph takes and answers, as whoever asks it sees it."""

from pathlib import Path

import pytest

from imagegraph.spec import graph
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.graph import Node
from imagegraph.spec.interface import Interface
from tests import tiny


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.read()


@pytest.mark.parametrize("name", ["reimagine", "interpret", "create"])
def test_what_readers_below_a_combiner_answer_may_be_brought_instead(catalogue: Catalogue, name: str) -> None:
    interface = Interface.of_graph(catalogue.graph(name).root, "pocket", catalogue)
    assert interface.priors >= set(catalogue.priors)
    written = [catalogue.signature(prior, "pocket").outputs for prior in catalogue.priors]
    assert interface.priors == set().union(*written)


def test_what_other_nodes_write_or_a_request_needs_anyway_is_no_prior(tmp_path: Path) -> None:
    known = tiny.catalogue(tmp_path)

    def priors(root: dict) -> set[str]:
        node = Node.model_validate(root)
        return set(graph.priors(node, known.signatures(node, "pocket")))

    def united(*children: dict) -> dict:
        return {"name": "unite", "type": "COMBINER", "children": list(children)}

    double, add = {"name": "double"}, {"name": "add"}
    assert priors(double) == set()
    assert priors(united(double)) == {"doubled"}
    assert priors(united({**double, "type": "TRANSFORMER"})) == set()
    # `add` writes a number, which `double` reads; and it reads what `double` writes.
    assert priors(united(double, add)) == set()
    assert (
        priors({"name": "more", "entry": "double", "type": "TRANSFORMER", "children": [united(double)]})
        == set()
    )


def test_lists_of_one_entry_say_something_of_its_pictures(tmp_path: Path) -> None:
    interface = Interface.of_entry("film", "pocket", tiny.catalogue(tmp_path))
    assert interface.columns == {"frames": {"titles", "sharpness", "shots", "words"}}
    described = {one["name"]: one["parameters"] for one in interface.describe()["outputs"]}
    assert described["titles"]["of"] == ["frames"]
    assert described["frames"]["content_type"] == "image/*"
    assert "of" not in described["points"]
    assert "prior" not in described["image"]
