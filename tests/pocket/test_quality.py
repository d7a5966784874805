"""The committed pocket weights reach their floors (`pocket/evaluate/floors.py`)."""

import pytest

from pocket.evaluate.floors import FLOORS, Score
from pocket.evaluate.measures import evaluate

pytestmark = pytest.mark.timeout(1800)  # all measures are taken at once, by the first test


@pytest.fixture(scope="module")
def scores() -> dict[str, dict[str, Score]]:
    return evaluate(["seen"])


@pytest.mark.xdist_group("pocket-quality")
@pytest.mark.parametrize("name", FLOORS)
def test_a_measure_reaches_its_floor(name, scores):
    value = scores[name]["seen"].value
    assert FLOORS[name].holds(value), f"{name}: {value:.3f}, wanted {FLOORS[name]}"
