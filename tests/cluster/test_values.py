"""A real API server takes whatever the chart renders of values that nobody thought of."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.cluster.dry_run import check
from tests.cluster.kubernetes import Namespace
from tests.deploy import chart, generated_values, test_names, test_pod_template

# The server's own words may be slow; what the chart refuses is no case.
PATIENT = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@PATIENT
@given(generated_values.values(), generated_values.RELEASES)
def test_whatever_renders_is_taken(place: Namespace, given: dict[str, Any], release: str) -> None:
    done = chart.template(given=given, release=release)
    if done.returncode == 0:
        check(place, done.stdout, warnings=True)


def scenarios() -> Iterator[dict[str, Any]]:
    for platform in ("plain", "seldon", "kserve"):
        for fill in ("init", "job"):
            yield {
                "platform": platform,
                "cache": {"volume": "perPool", "fill": fill},
                "predictors": {"canary": {"bundle": "sd15"}},
                "podTemplate": test_pod_template.EVERYTHING,
                "commonLabels": {"team": "vision"},
            }


@pytest.mark.parametrize(
    "given", list(scenarios()), ids=lambda given: f"{given['platform']}-{given['cache']['fill']}"
)
def test_the_longest_names_are_taken_and_all_that_is_said_of_pods(
    place: Namespace, given: dict[str, Any]
) -> None:
    done = chart.template(given=given, release=test_names.LONGEST)
    assert done.returncode == 0, done.stderr
    check(place, done.stdout)
