"""What Prometheus is told: of requests and jobs here, and of what the store holds."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from studio.metrics import Metrics
from studio.settings import Token
from studio.store.database import Database
from studio.store.figures import Figures
from studio.store.models import Comparison
from tests.serve.conftest import free_port
from tests.studio.conftest import NewDatabase
from tests.studio.serving import Studio, running, settings

PREFIX = "imagegraph_studio_"


def read(page: str) -> dict[tuple[str, ...], float]:
    """Returns samples by their short names and the values of their labels, in the order of the names."""
    return {
        (one.name.removeprefix(PREFIX), *(one.labels[name] for name in sorted(one.labels))): one.value
        for family in text_string_to_metric_families(page)
        for one in family.samples
    }


def scraped(studio: Studio) -> dict[tuple[str, ...], float]:
    return read(studio.get("/metrics").raise_for_status().text)


def test_requests_are_counted_by_the_route_and_never_by_a_clients_words(studio: Studio) -> None:
    for path in ("/api/jobs/123456", "/api/jobs/abcdef", "/wp-login.php", "/assets/evil.js"):
        assert studio.get(path).status_code == 404
    assert studio.request("PROPFIND", "/api/graphs").status_code == 405
    found = scraped(studio)
    assert found["requests_total", "404", "GET", "/api/jobs/{id}"] == 2
    assert found["requests_total", "404", "GET", "/assets"] == 1
    assert found["requests_total", "405", "other", "/api/graphs"] == 1
    assert found["request_seconds_count", "GET", "/api/jobs/{id}"] == 2
    labels = {label for key in found for label in key[1:]}
    assert not {one for one in labels if "123456" in one or "evil" in one.lower() or "login" in one}
    assert found["users_active",] == 1


def test_jobs_pictures_and_ratings_are_counted(new_database: NewDatabase, tmp_path: Path) -> None:
    with running(settings(tmp_path, database=new_database())) as studio:
        job = studio.run("painter", {"prompt": "counted", "variants": 2})
        assert studio.run("faulty", {"number": 1})["state"] == "failed"
        studio.put(f"/api/pictures/{job['pictures'][0]['id']}/rating", json={"stars": 4}).raise_for_status()
        found = scraped(studio)
    assert found["job_seconds_count", "painter", "done", "pocket"] == 1
    assert found["job_seconds_count", "faulty", "failed", "pocket"] == 1
    assert found["job_wait_seconds_count", "painter"] == 1
    assert (found["jobs", "painter", "done"], found["jobs", "faulty", "failed"]) == (1, 1)
    assert (found["queue_depth",], found["queue_age_seconds",], found["jobs_running",]) == (0, 0, 0)
    assert found["pictures", "generated"] == 2
    assert found["ratings", "painter", "4", "pocket"] == 1
    assert found["stored_bytes",] > 0
    assert found["database_seconds_count", "write"] > 0
    assert found["database_seconds_count", "read"] > 0


def test_comparisons_are_counted_from_the_side_of_each_arm(new_database: NewDatabase, tmp_path: Path) -> None:
    database = Database(new_database() or f"sqlite:///{tmp_path / 'studio.sqlite'}")
    database.migrate()
    versions = [{"graph": "draw", "bundle": "canary"}, {"graph": "draw", "bundle": "stable"}]
    priors = [{"graph": "draw", "prior": "depth"}, {"graph": "draw"}]
    words = [{"graph": "draw", "inputs": {"prompt": "<evil>"}}, {"graph": "draw"}]
    answers = [("v", versions, one) for one in ("a", "a", "b", "tie", "both-bad", None)]
    answers += [("p", priors, "b"), ("w", words, "a")]
    with database.write() as session:
        for tally, arms, choice in answers:
            about = {"owner": "ann", "graph": "draw", "jobs": [], "a_is_left": True}
            session.add(Comparison(**about, tally=tally, arms=arms, choice=choice))
    metrics = Metrics()
    metrics.registry.register(Figures(database, 1000))
    page, _ = metrics.page("text/plain")
    database.close()
    found = {key[1:]: value for key, value in read(page.decode()).items() if key[0] == "comparisons"}
    assert {key: value for key, value in found.items() if "version" in key} == {
        (against, arm, "version", "draw", outcome): count
        for arm, against, counts in (
            ("canary", "stable", {"won": 2, "lost": 1, "tied": 1, "both_bad": 1}),
            ("stable", "canary", {"won": 1, "lost": 2, "tied": 1, "both_bad": 1}),
        )
        for outcome, count in counts.items()
    }
    assert found["depth", "default", "prior", "draw", "won"] == 1
    assert len(found) == 10


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[tuple[Studio, int]]:
    """A studio with tokens, and the port at which Prometheus needs none."""
    port = free_port()
    tokens = (Token(name="vic", role="viewer", token="vic-secret"),)
    with running(settings(tmp_path, tokens=tokens, metrics_port=port)) as client:
        yield client, port


def test_strangers_are_shown_nothing_but_at_a_port_of_its_own(closed: tuple[Studio, int]) -> None:
    studio, port = closed
    assert studio.get("/metrics").status_code == 401
    assert studio.get("/metrics", headers={"Authorization": "Bearer vic-secret"}).status_code == 200
    page = httpx.get(f"http://127.0.0.1:{port}/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    assert ("requests_total", "401", "GET", "/metrics") in read(page.text)
    assert b"imagegraph_studio" in httpx.get(f"http://127.0.0.1:{port}/api/jobs").content  # and nothing else
