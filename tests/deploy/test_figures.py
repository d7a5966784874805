"""Figures of a real Prometheus over our own metrics, and the judgement on them."""

import math
import threading

import pytest

from imagegraph.deploy.figures import Figures, Prometheus
from imagegraph.deploy.verdict import Limits, chance_of, objections
from imagegraph.errors import InvalidInput, Unavailable
from tests.deploy.api import Api
from tests.deploy.conftest import Exporter, wait_for

GOOD = Figures(requests=1000, errors=2, mean_s=1.0, p95_s=2.0)


@pytest.mark.parametrize(
    ("canary", "said"),
    [
        (GOOD, []),
        (Figures(300, 1, 1.1, 2.1), []),
        (Figures(300, 0, 0.2, 0.3), []),
        (Figures(300, 3, 1.0, 2.0), []),
        (
            Figures(199, 0, 1.0, 2.0),
            ["too little data: the canary answered 199 requests, expected 200 or more"],
        ),
        (
            Figures(0, 0, None, None),
            ["too little data: the canary answered 0 requests, expected 200 or more"],
        ),
        (
            Figures(300, 9, 1.0, 2.0),
            ["the canary fails more often: 3.00% against 0.20%, an accident in 0.01% of cases"],
        ),
        (
            Figures(300, 0, 1.3, 2.0),
            ["the canary is slower: mean 1.300 s against 1.000 s, more than 1.2 times"],
        ),
        (
            Figures(300, 300, 1.0, 2.5),
            [
                "the canary fails more often: 100.00% against 0.20%, an accident in 0.00% of cases",
                "the canary is slower: p95 2.500 s against 2.000 s, more than 1.2 times",
            ],
        ),
    ],
)
def test_a_canary_is_promoted_only_when_its_figures_allow_it(canary: Figures, said: list[str]) -> None:
    assert objections(GOOD, canary, Limits()) == said


def test_too_little_data_of_the_default_says_nothing_either() -> None:
    [said] = objections(Figures(10, 0, 1, 1), GOOD, Limits())
    assert said.startswith("too little data: the default answered 10 requests")


@pytest.mark.parametrize(
    ("errors", "requests", "other_errors", "other_requests"),
    [(0, 10, 0, 10), (1, 10, 0, 10), (3, 10, 1, 30), (5, 5, 0, 5), (2, 40, 8, 12), (0, 10, 3, 10)],
)
def test_the_chance_of_errors_is_what_counting_all_cases_gives(
    errors: int, requests: int, other_errors: int, other_requests: int
) -> None:
    failed, total = errors + other_errors, requests + other_requests
    cases = [
        math.comb(requests, k) * math.comb(other_requests, failed - k)
        for k in range(errors, min(failed, requests) + 1)
    ]
    wanted = sum(cases) / math.comb(total, failed)
    assert chance_of(errors, requests, other_errors, other_requests) == pytest.approx(wanted)


CANARY = ("photos", "prod", "canary")


def test_figures_are_what_the_predictors_did_and_nobody_else(watched: str) -> None:
    found = Prometheus(watched, "1h").figures(*CANARY, "plain")
    # Prometheus extrapolates to the edges of its window.
    assert found.requests == pytest.approx(300, rel=0.5)
    assert found.error_rate == pytest.approx(0.1, rel=0.1)
    assert found.mean_s == pytest.approx(0.5, rel=0.05)
    assert found.p95_s is not None
    assert 0.25 < found.p95_s <= 0.5
    nobody = Prometheus(watched, "1h").figures("photos", "prod", "gone", "plain")
    assert nobody == Figures(0, 0, None, None)
    assert Prometheus(watched, "1h", 'job="other"').figures(*CANARY, "plain") == nobody
    with pytest.raises(InvalidInput, match="window or match: expected what Prometheus understands"):
        Prometheus(watched, "soon").figures(*CANARY, "plain")


def test_figures_of_seldon_are_those_of_its_executor(watched: str) -> None:
    found = Prometheus(watched, "1h").figures(*CANARY, "seldon")
    assert found.requests == pytest.approx(300, rel=0.5)
    assert found.errors == 0
    assert found.mean_s == pytest.approx(0.25, rel=0.05)
    assert Prometheus(watched, "1h").figures("photos", "test", "canary", "seldon").requests == 0


def test_a_predictor_that_some_engine_does_not_ask_is_known(watched: str, exporter: Exporter) -> None:
    source = Prometheus(watched, "1h")
    assert source.is_asked(*CANARY), "nothing says otherwise"
    exporter.metrics.predictor_up("canary", up=False)
    try:
        wait_for(lambda: not source.is_asked(*CANARY), "the next scrape")
        assert source.is_asked("photos", "test", "canary")
    finally:
        exporter.metrics.predictor_up("canary", up=True)
        wait_for(lambda: source.is_asked(*CANARY), "the next scrape")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "localhost:9090", "http://127.0.0.1:web", "http://a b"]
)
def test_a_prometheus_that_is_not_there_is_named(url: str) -> None:
    with pytest.raises(Unavailable, match=f"Prometheus at {url} does not answer"):
        Prometheus(url, "1h").figures(*CANARY, "plain")


def test_what_is_no_prometheus_is_named() -> None:
    with Api() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with pytest.raises(Unavailable, match=f"what answers at {url} is no Prometheus"):
            Prometheus(url, "1h").figures(*CANARY, "plain")
        server.shutdown()
