import pytest

from imagegraph.spec.catalogue import Catalogue

BUNDLE = "pocket"
SHIPPED = ("pocket", "photo")  # bundles whose weights are in the repository


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue.read()
