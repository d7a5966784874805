"""Every graph of the catalogue, run whole, with weights, in this process."""

import asyncio
from typing import Any

import pytest

from imagegraph.calls.check import Check
from imagegraph.engine.context import Context
from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from imagegraph.run.embedded import Embedded
from imagegraph.spec import graph
from imagegraph.spec.catalogue import ROOT, Catalogue
from imagegraph.spec.graph import NodeType
from imagegraph.spec.seldon import SeldonDeployment
from tests.catalogue.conftest import BUNDLE, SHIPPED

CATALOGUE = Catalogue.read()
REQUESTS: dict[str, dict[str, Any]] = {
    "with a photo": {"image": Image((ROOT / "pocket/examples/scene.png").read_bytes())},
    "with a prompt": {"prompt": "a red sphere"},
    "with a drawing": {
        "prompt": "a red cone",
        "drawing": Image((ROOT / "pocket/examples/drawing.png").read_bytes()),
    },
}
GRAPHS = [
    pytest.param(name, bundle, id=f"{name}-{bundle}")
    for name, item in CATALOGUE.graphs.items()
    for bundle in CATALOGUE.bundles(item.root)
    if bundle in SHIPPED
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda text: text.replace(" ", "-"))
@pytest.mark.parametrize(("name", "bundle"), GRAPHS)
def test_graph_answers_all_that_it_promises(name: str, bundle: str, request_: str) -> None:
    root = CATALOGUE.graph(name).root
    signatures = CATALOGUE.signatures(root, bundle)
    asked = graph.inputs(root, signatures)
    # Quickly, and of another shape than the photo.
    settings = {"steps": 2, "width": 192, "texts": ["a red sphere", "a blue cube"]}
    values = {**REQUESTS[request_], **{port: value for port, value in settings.items() if port in asked}}
    if "caption" in asked:  # nobody in the graph says what the photo shows
        values["prompt"] = "a red sphere"
    required = {port for port, one in asked.items() if one.port.required}
    if not required <= set(values) <= set(asked):
        pytest.skip("this graph takes no such request")
    context = Context()
    with Embedded(root, bundle, CATALOGUE, "cpu") as embedded:
        answer = asyncio.run(embedded.run(values, context))
    if root.type is not NodeType.ROUTER:
        optional = {"clip_image", "fidelity", "scribble"}  # need a photo, or a drawing
        assert graph.outputs(root, signatures) - optional <= set(answer.values)
    for node in context.timings:
        assert context.timings[node] > 0


@pytest.mark.parametrize("name", CATALOGUE.graphs)
def test_committed_manifest_is_the_graph_of_the_catalogue(name: str) -> None:
    deployment = SeldonDeployment.read(ROOT / "manifests" / "graphs" / f"{name}.yaml")
    assert deployment.spec.predictors[0].root == CATALOGUE.graph(name).root
    assert deployment.spec.predictors[0].bundle == BUNDLE


@pytest.mark.parametrize(("variants", "pictures"), [(1, 6), (2, 12)])
def test_seeds_that_do_not_fit_the_pictures_are_refused_before_a_model_is_loaded(variants, pictures) -> None:
    root = CATALOGUE.graph("reimagine").root
    check = Check(root, CATALOGUE.signatures(root, BUNDLE), CATALOGUE.parts(root, BUNDLE))
    asked = {**REQUESTS["with a photo"], "variants": variants}
    named = "caption, depth, pose, segmentation, edges, combined"
    with pytest.raises(InvalidInput, match=rf"seeds: expected {pictures} seeds, .*\({named}.*, got \[1, 2\]"):
        check({**asked, "seeds": [1, 2]})
    check({**asked, "seeds": [*range(pictures)]})
    check({**asked, "priors": ["depth"], "seeds": [*range(variants)]})
