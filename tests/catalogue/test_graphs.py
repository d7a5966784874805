"""Every graph of the catalogue, run whole, with weights, in this process."""

import asyncio
import functools
from collections.abc import Mapping
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
PHOTO, DRAWING = (
    Image((ROOT / "pocket/examples" / name).read_bytes()) for name in ("scene.png", "drawing.png")
)
REQUESTS = ({"image": PHOTO}, {"prompt": "a red sphere"}, {"prompt": "a red cone", "drawing": DRAWING})
GRAPHS = [
    pytest.param(name, bundle, id=f"{name}-{bundle}")
    for name, item in CATALOGUE.graphs.items()
    for bundle in CATALOGUE.bundles(item.root)
    if bundle in SHIPPED
]


@pytest.mark.parametrize(("name", "bundle"), GRAPHS)
def test_graph_answers_all_that_it_promises(name: str, bundle: str) -> None:
    root = CATALOGUE.graph(name).root
    signatures = CATALOGUE.signatures(root, bundle)
    asked = graph.inputs(root, signatures)
    required = {port for port, one in asked.items() if one.port.required}
    requests = [one for one in map(functools.partial(_complete, asked), REQUESTS) if required <= one.keys()]
    fitting = [one for one in requests if one.keys() <= asked.keys()]
    assert fitting
    optional = {"clip_image", "fidelity", "scribble", "prompt"}  # need a photo, a drawing, or one prompt
    with Embedded(root, bundle, CATALOGUE, "cpu") as embedded:
        for values in fitting:
            context = Context()
            answer = asyncio.run(embedded.run(values, context))
            if root.type is not NodeType.ROUTER:
                assert graph.outputs(root, signatures) - optional <= answer.values.keys(), values.keys()
            assert all(seconds > 0 for seconds in context.timings.values())


def _complete(asked: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a request that is answered quickly, with a picture of another shape than the photo's."""
    settings = {"steps": 2, "width": 192, "texts": ["a red sphere", "a blue cube"]}
    values = {**request, **{port: value for port, value in settings.items() if port in asked}}
    if "caption" in asked:  # nobody in the graph says what the photo shows
        values["prompt"] = "a red sphere"
    return values


@pytest.mark.parametrize("name", CATALOGUE.graphs)
def test_committed_manifest_is_the_graph_of_the_catalogue(name: str) -> None:
    deployment = SeldonDeployment.read(ROOT / "manifests" / "graphs" / f"{name}.yaml")
    assert deployment.spec.predictors[0].root == CATALOGUE.graph(name).root
    assert deployment.spec.predictors[0].bundle == BUNDLE


@pytest.mark.parametrize(("variants", "pictures"), [(1, 6), (2, 12)])
def test_seeds_that_do_not_fit_the_pictures_are_refused_before_a_model_is_loaded(variants, pictures) -> None:
    root = CATALOGUE.graph("reimagine").root
    check = Check(root, CATALOGUE.signatures(root, BUNDLE), CATALOGUE.parts(root, BUNDLE))
    asked = {"image": PHOTO, "variants": variants}
    named = "caption, depth, pose, segmentation, edges, combined"
    with pytest.raises(InvalidInput, match=rf"seeds: expected {pictures} seeds, .*\({named}.*, got \[1, 2\]"):
        check({**asked, "seeds": [1, 2]})
    check({**asked, "seeds": [*range(pictures)]})
    check({**asked, "priors": ["depth"], "seeds": [*range(variants)]})
