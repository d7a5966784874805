"""Dashboards and rules on a real Kubernetes, under load: every query finds series, and they say the truth."""

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagegraph.client import Client
from imagegraph.errors import InvalidInput
from imagegraph.spec.catalogue import ROOT
from tests.cluster.kubernetes import Namespace, eventually
from tests.cluster.load import PICTURE, Load
from tests.cluster.monitoring import BOARDS, NOT_HERE, Prometheus
from tests.cluster.releases import install

GRAPH = "cut-out"
VALUES: dict[str, Any] = {
    "graph": GRAPH,
    "predictors": {"default": {"traffic": 50}, "canary": {"traffic": 50, "image": {"tag": "canary"}}},
    "engine": {"replicas": 1, "env": {"IMAGEGRAPH_SERVE_CACHE_MIB": "64"}},
}
# Where the dashboards are to be drawn, as docs/ shows them; then there is more to see.
PICTURES = os.environ.get("DRAW_DASHBOARDS")


@pytest.mark.usefixtures("near")
class TestUnderLoad:
    """Two versions of a graph of two nodes, with a cache, asked as fast as two clients can."""

    graph = GRAPH

    def test_every_panel_and_rule_finds_series_and_they_agree_with_what_was_asked(
        self,
        release: Namespace,
        prometheus: Callable[[Namespace, str], AbstractContextManager[str]],
        tmp_path: Path,
        figure: Callable[[str], None],
    ) -> None:
        install(release, GRAPH, **VALUES)
        with release.address(f"{GRAPH}-engine", 8080) as address, prometheus(release, GRAPH) as url:
            ask = Prometheus(url)
            with Load(
                address, threads=2, rate=10, most=10, model=GRAPH, values=clicks(), timeout_s=60
            ) as first:
                first.finish(120)
            with Client(f"http://{address}") as client, pytest.raises(InvalidInput):
                client.infer(GRAPH, image=PICTURE, points=np.array([[[5000, 5000]]], np.float32))
            eventually("a scrape", lambda: ask('imagegraph_requests_total{code="400"}'), 30)
            time.sleep(5)
            well = 'sum(imagegraph_requests_total{role="engine",code="200"})'
            before = ask.number(well)
            most = 1200 if PICTURES else 400
            with Load(address, threads=2, rate=20, most=most, model=GRAPH, values=clicks()) as load:
                load.finish(900)
            assert load.lost == 0, load.outcomes
            time.sleep(3)  # until the last is scraped
            counted = ask.number(well) - before
            figure(f"{load}; Prometheus counted {counted:.0f}")
            assert counted == pytest.approx(load.sent, rel=0.02)
            expected = lambda query: not any(word in query for word in NOT_HERE)  # noqa: E731
            assert not ask.empty(release.name, GRAPH, tmp_path / "rules.yaml", expected)
            assert not ask('ALERTS{alertstate="firing"}')
            # The parts of an answer's time are its time.
            path = ask.number('sum(imagegraph_critical_path_seconds_total{role="engine"})')
            whole = ask.number('sum(imagegraph_request_seconds_sum{role="engine"})')
            assert 0.5 * whole < path < whole
            if PICTURES:
                _draw(url, release.name, Path(PICTURES))


def clicks() -> Callable[[], dict[str, Any]]:
    """Returns what makes inputs that are never the same again, so that nodes have to be asked."""
    turn = itertools.count()

    def clicked() -> dict[str, Any]:
        number = next(turn)
        return {"points": np.array([[[20 + number % 80, 40 + number / 200]]], np.float32)}

    return clicked


def _draw(url: str, namespace: str, folder: Path) -> None:
    script = [sys.executable, ROOT / "load-tests" / "draw_dashboard.py"]
    for name in BOARDS.keys() - {"studio"}:
        given = [f"--prometheus={url}", f"--namespace={namespace}", f"--release={GRAPH}", "--minutes=4"]
        chosen = ["--set=before=default", "--set=after=canary", "--set=window=5m"]
        subprocess.run([*script, name, *given, *chosen, f"--out={folder}/dashboard-{name}.png"], check=True)
