from pathlib import Path
from typing import Any

import pytest

from imagegraph.catalogue import Catalogue
from tests.deploy import chart


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue.read()


@pytest.fixture(
    scope="session", params=chart.SCENARIOS, ids=lambda path: path.name.removesuffix("-values.yaml")
)
def scenario(request: pytest.FixtureRequest) -> Path:
    """A file of values for a way in which the chart is meant to be used."""
    path: Path = request.param
    return path


@pytest.fixture(scope="session")
def values(scenario: Path) -> dict[str, Any]:
    return chart.values(scenario)


@pytest.fixture(scope="session")
def rendered(scenario: Path) -> list[dict[str, Any]]:
    return chart.objects("--values", str(scenario))
