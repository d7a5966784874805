"""Which tensors go where in a graph that is exported."""

import pytest

from imagegraph.errors import InvalidInput
from imagegraph.export.formats import recipe_of
from imagegraph.export.graph import ExportedGraph, Wiring
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.graph import Node

CATALOGUE = Catalogue.read()


def of(name: str) -> ExportedGraph:
    return ExportedGraph.of(name, "pocket", "cpu", CATALOGUE)


def test_what_a_combiner_unites_is_answered_by_its_own_names() -> None:
    graph = of("interpret")
    assert {step.node.name for step in graph.steps} == {"depth", "pose", "segmentation", "edges", "caption"}
    assert all(step.reads["image"] == "image" for step in graph.steps)
    assert graph.answers["depth"] == "depth"
    assert set(graph.answers) == set(graph.interface.outputs)


def test_a_later_node_reads_what_an_earlier_one_wrote_and_passes_on_the_rest() -> None:
    steps = {step.node.name: step for step in of("reimagine").steps}
    assert "source" not in steps  # it computes nothing
    assert steps["generate"].reads["depth"] == "depth" == steps["depth"].writes["depth"]
    assert steps["upscale"].reads["pictures"] == steps["generate"].writes["pictures"] == "generate.pictures"
    assert steps["rank"].reads["pictures"] == steps["upscale"].writes["pictures"] == "pictures"


def test_a_value_with_an_inputs_name_keeps_that_of_its_node() -> None:
    graph = of("reimagine")
    assert "seeds" in graph.interface.inputs
    assert graph.answers["seeds"] == "generate.seeds"


def test_a_graph_that_chooses_is_refused() -> None:
    with pytest.raises(InvalidInput, match="component: expected a graph whose nodes all compute.*'by-input'"):
        of("create")


def test_two_values_of_one_name_are_refused() -> None:
    children = [{"name": name, "entry": "depth"} for name in ("one", "two")]
    root = Node.model_validate({"name": "priors", "type": "COMBINER", "children": children})
    wiring = Wiring("twice", CATALOGUE.signatures(root, "pocket"))
    with pytest.raises(
        InvalidInput, match="one node below 'priors' that writes 'depth'.*one.depth and two.d"
    ):
        wiring.follow(root, {"image": "image"})


def test_formats_without_graphs_name_those_that_have_them() -> None:
    with pytest.raises(InvalidInput, match="component: expected no graph, but for triton, got 'interpret'"):
        recipe_of("flask", "interpret", "pocket", "cpu", CATALOGUE)
