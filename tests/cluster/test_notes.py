"""What helm says after an install: the address that answers on each platform."""

import json

import pytest

from tests.cluster.kubernetes import Namespace
from tests.cluster.releases import CHART


@pytest.mark.parametrize(
    ("platform", "service", "path"),
    [
        ("plain", "photos-engine 8080:8080", "photos-engine.test-manifests.svc:8080/v2/models/photos/infer"),
        # Seldon's executor knows models by the names of nodes, and the graph by none.
        ("seldon", "photos-default 8080:8000", "photos-default.test-manifests.svc:8000/v2/models/infer"),
        ("kserve", "photos-default 8080:80", "photos-default.test-manifests.svc:80/"),
    ],
)
def test_the_notes_name_an_address_that_answers(
    place: Namespace, platform: str, service: str, path: str
) -> None:
    options = ["--dry-run=server", "--output=json", "--set", f"platform={platform}"]
    notes = json.loads(place.helm("install", "photos", str(CHART), *options))["info"]["notes"]
    assert f"  http://{path}\n" in notes
    assert f"port-forward service/{service} &" in notes
    assert f"localhost:8080/{path.partition('/')[2]}" in notes
