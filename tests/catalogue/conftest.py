import pytest

from imagegraph.catalogue import Catalogue

BUNDLE = "pocket"


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue.read()
