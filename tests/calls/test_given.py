"""What a request brings is not read again."""

import asyncio
from typing import Any

import pytest
from PIL import Image as Pillow

from imagegraph.engine.context import Context
from imagegraph.errors import InvalidInput, UnknownName
from imagegraph.run.embedded import Embedded
from imagegraph.spec.catalogue import Catalogue
from tests import tiny
from tests.pictures import encoded


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.read()


def run(embedded: Embedded, **values: Any) -> tuple[Any, Context]:
    context = Context()
    return asyncio.run(embedded.run(values, context)).values, context


def test_a_given_value_spares_its_node_and_is_answered_as_it_came(tmp_path) -> None:
    tiny_catalogue = tiny.catalogue(tmp_path)
    with Embedded(tiny_catalogue.graph("sum").root, "pocket", tiny_catalogue, "cpu") as embedded:
        values, context = run(embedded, number=1, doubled="40")
        assert values == {"number": 51, "doubled": 40}
        assert context.cache_hits == ["double"]
        values, context = run(embedded, number=1)
        assert values == {"number": 13, "doubled": 2}
        assert context.cache_hits == []
        with pytest.raises(InvalidInput, match="node 'double': doubled: expected a valid integer"):
            run(embedded, number=1, doubled="x")


def test_of_a_reader_the_prior_of_its_name_spares_it_with_or_without_the_others(catalogue) -> None:
    drawing = encoded(Pillow.new("RGB", (128, 128)))
    photo = encoded(Pillow.new("RGB", (64, 64), "red"))
    root = catalogue.graph("interpret").root
    names = [child.name for child in root.children]
    with Embedded(root, "pocket", catalogue, "cpu") as embedded:
        values, context = run(embedded, image=photo, pose=drawing)
        assert context.cache_hits == ["pose"]
        assert values["pose"].data == drawing
        assert "keypoints" not in values
        assert set(names) - {"pose"} <= values.keys()
        with pytest.raises(InvalidInput, match="keypoints"):
            run(embedded, image=photo, keypoints=[])
        with pytest.raises(UnknownName, match="unknown input 'poze'"):
            run(embedded, image=photo, poze=drawing)
