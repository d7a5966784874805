"""The studio on a real Kubernetes: two pods over PostgreSQL and object storage, and one of them is killed."""

import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from imagegraph.client import Client
from imagegraph.image import Image
from studio.store.models import Comparison
from tests.cluster.kubernetes import Kubernetes, Namespace, eventually
from tests.cluster.local import Node
from tests.cluster.monitoring import BOARDS, Prometheus
from tests.cluster.policies import enforced, reaches
from tests.cluster.releases import SCENE, SMALL, install
from tests.deploy.queries import queries
from tests.studio import postgres

GRAPH = "restyle"
TOKEN = "everything"
KEYS = {"AWS_ACCESS_KEY_ID": "it", "AWS_SECRET_ACCESS_KEY": "is", "AWS_REGION": "us-east-1"}
JOBS, AT_ONCE = 24, 2
NETWORK = "10.240.0.0/12"  # nodes and pods of the local cluster


@contextmanager
def object_storage(node: Node) -> Iterator[str]:
    """A stand-in for S3 with a bucket `pictures`, where pods reach it."""
    import s3fs
    from moto.server import ThreadedMotoServer

    served = ThreadedMotoServer(ip_address=node.gateway, port=0)
    served.start()
    try:
        url = "http://{}:{}".format(*served.get_host_and_port())
        key, secret, _ = KEYS.values()
        s3fs.S3FileSystem(key=key, secret=secret, endpoint_url=url).mkdir("pictures")
        yield url
    finally:
        served.stop()


@pytest.fixture(scope="class")
def database(images: Kubernetes) -> Iterator[str]:
    """The URL of a PostgreSQL of this machine, which pods reach."""
    assert images.local
    with postgres.running(images.local.node(1).gateway, NETWORK) as url:
        yield url


@pytest.fixture(scope="class")
def chosen(near: None, images: Kubernetes) -> Iterator[dict[str, Any]]:
    """Values of a release with two pods of the studio."""
    assert images.local
    with object_storage(images.local.node(1)) as url:
        environment = {"AWS_ENDPOINT_URL": url, "STUDIO_LEASE_S": 4, "STUDIO_JOBS_AT_ONCE": AT_ONCE, **KEYS}
        about = {"secret": "studio", "storage": "s3://pictures/studio", "resources": SMALL}
        studio = {"enabled": True, "replicas": 2, "env": environment, **about}
        yield {"graph": GRAPH, "studio": studio}


@pytest.fixture(scope="class")
def release(shared_namespace: Namespace, chosen: dict[str, Any], database: str) -> Namespace:
    """The release."""
    tokens = json.dumps([{"name": "you", "role": "admin", "token": TOKEN}])
    literals = [f"--from-literal=tokens={tokens}", f"--from-literal=database={database}"]
    shared_namespace.kubectl("create", "secret", "generic", "studio", *literals)
    install(shared_namespace, GRAPH, **chosen)
    return shared_namespace


@pytest.fixture(scope="class")
def studio(release: Namespace) -> Iterator[httpx.Client]:
    """Asks through the Service as the page does, once somebody has logged in."""
    with release.address(f"{GRAPH}-studio", 80) as address, page(f"http://{address}") as client:
        yield client


@contextmanager
def page(url: str) -> Iterator[httpx.Client]:
    # Each request by a connection of its own, so that both pods are asked.
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=url, timeout=60, limits=limits) as client:
        session = client.post("/api/session", json={"token": TOKEN})
        assert session.status_code == 204, session.text
        yield client


def scene(studio: httpx.Client) -> str:
    """Returns the id of the shipped scene, with which newcomers begin."""
    found: str = studio.get("/api/examples").json()[0]["id"]
    return found


class TestStudio:
    """Two pods over the release's own graph."""

    def test_the_page_draws_the_shipped_scene(self, release: Namespace, studio: httpx.Client) -> None:
        start = studio.get("/")
        script = re.search(r'src="(/[^"]+[.]js)"', start.text)
        assert script, start.text
        assert (
            studio.get(script[1]).headers["Content-Type"].startswith(("text/javascript", "application/java"))
        )
        assert httpx.get(studio.base_url.join("/api/graphs")).status_code == 401
        # It looks every few seconds whether a graph is ready.
        [graph] = eventually(
            "a ready graph", lambda: [one for one in studio.get("/api/graphs").json() if one["ready"]]
        )
        assert graph["name"] == GRAPH
        inputs = {"image": {"picture": scene(studio)}}
        job = studio.post(f"/api/graphs/{GRAPH}/jobs", params={"wait": 50}, json={"inputs": inputs}).json()
        assert job["state"] == "done", job
        drawn = [studio.get(one["url"]) for one in job["pictures"]]
        assert {one.headers["Content-Type"] for one in drawn} == {"image/png"}
        assert studio.get(job["pictures"][0]["thumbnail"]).headers["Content-Type"] == "image/webp"
        with release.address(f"{GRAPH}-engine", 8080) as address, Client(f"http://{address}") as client:
            answer = client.infer(GRAPH, image=Image(SCENE.read_bytes()), timeout_s=60)
        expected = {hashlib.sha256(one.data).hexdigest() for one in answer["pictures"]}
        assert {one["hash"] for one in job["pictures"]} == expected

    def test_one_of_two_is_killed_in_the_middle_of_jobs(
        self, release: Namespace, studio: httpx.Client, database: str, figure: Callable[[str], None]
    ) -> None:
        here = release.cluster.local
        assert here
        picture = scene(studio)
        ids = []
        for place in range(JOBS):
            inputs = {"image": {"picture": picture}, "strength": 1 - place / 100}
            begun = studio.post(f"/api/graphs/{GRAPH}/jobs", json={"inputs": inputs})
            assert begun.status_code == 202, begun.text
            ids.append(begun.json()["id"])
        with noting(studio) as boards, watching(studio, ids[-1]) as seen:
            container = eventually("a pod with work", lambda: working(release))
            here.node(1).containerd.signal(container, "SIGKILL")
            jobs = [ended(studio, id) for id in ids]
        assert {job["state"] for job in jobs} == {"done"}, [job["error"] for job in jobs]
        # What was acknowledged is there, and each job's pictures are there once.
        names = {one["name"] for one in studio.get("/api/boards").json()}
        assert boards
        assert names >= set(boards)
        found = studio.get("/api/pictures", params={"limit": 100}).json()["items"]
        [count] = {len(job["pictures"]) for job in jobs}
        drawn = Counter(one["job"] for one in found)
        assert {id: drawn[id] for id in ids} == dict.fromkeys(ids, count)
        # Only what the killed one had in hand was begun again.
        engine = create_engine(database)
        with engine.connect() as connection:
            begun_again = connection.scalar(text("SELECT sum(attempts - 1) FROM jobs"))
        engine.dispose()
        assert 0 <= begun_again <= AT_ONCE
        # Whoever watches has missed nothing, and was told nothing twice.
        whole: list[int] = []
        assert follow(studio, ids[-1], whole)
        assert set(seen) >= set(whole)
        assert seen == sorted(set(seen))
        figure(f"{begun_again} of {JOBS} jobs were begun again, {len(boards)} boards acknowledged meanwhile")

    def test_the_dashboard_and_the_alerts_find_series(
        self,
        release: Namespace,
        studio: httpx.Client,
        chosen: dict[str, Any],
        database: str,
        prometheus: Callable[..., AbstractContextManager[str]],
        tmp_path: Path,
    ) -> None:
        inputs = {"image": {"picture": scene(studio)}}
        with Session(create_engine(database)) as session:
            session.add_all(compared(choice) for choice in 6 * ["a"] + 2 * ["b"] + ["tie"])
            session.commit()
        with prometheus(release, GRAPH, **chosen) as url:
            ask = Prometheus(url)

            def all_found() -> bool:
                job = studio.post(
                    f"/api/graphs/{GRAPH}/jobs", params={"wait": 50}, json={"inputs": inputs}
                ).json()
                rating = f"/api/pictures/{job['pictures'][0]['id']}/rating"
                assert studio.put(rating, json={"stars": 5}).status_code == 200
                empty = ask.empty(release.name, GRAPH, tmp_path / "rules.yaml", has_series)
                assert not empty, empty
                return True

            eventually("series of every query", all_found, 90)
            done = studio.get("/api/jobs", params={"state": "done", "limit": 1}).json()["total"]
            there = 'sum(max by (state) (imagegraph_studio_jobs{state="done"}))'
            eventually("a scrape", lambda: ask.number(there) == done, 30)
            # The one that was killed has taken its count with it.
            assert 0 < ask.number('sum(imagegraph_studio_job_seconds_count{state="done"})') <= done
            assert ask("sum by (release) (imagegraph_studio_info)")[0]["metric"] == {"release": GRAPH}
            [people] = [row for row in BOARDS["canary"]["panels"] if row["title"] == "Prefer the new one"]
            high, middle, low = (
                ask.number(query)
                for query in queries(
                    {"panels": [people], "annotations": {"list": []}}, release.name, GRAPH, after="canary"
                )
            )
            assert middle == 0.75
            # Wilson's interval of 6 out of 8.
            assert (low, high) == pytest.approx((0.4093, 0.9285), abs=1e-3)

    def test_pods_are_reached_by_those_whom_their_policies_let_in(
        self, release: Namespace, studio: httpx.Client, chosen: dict[str, Any]
    ) -> None:
        here = release.cluster.local
        assert here
        engine, restyle, upscale, page = (
            first(release, label)
            for label in (
                "app.kubernetes.io/component=engine", "imagegraph/node=restyle", "imagegraph/node=upscale",
                "app.kubernetes.io/component=studio",
            )
        )  # fmt: skip
        metrics = f"http://{upscale['status']['podIP']}:8080/metrics"
        assert reaches(release, restyle, upscale, 8080), "nobody enforces policies"
        with enforced(here):
            eventually("policies", lambda: not reaches(release, restyle, upscale, 8080))
            assert reaches(release, engine, upscale, 8080)
            assert reaches(release, restyle, engine, 8080)
            with pytest.raises((httpx.ConnectError, httpx.ConnectTimeout)):
                httpx.get(metrics, timeout=2)
            # Only the studio may ask the engine now, and this machine is Prometheus.
            monitoring = {"ipBlock": {"cidr": f"{here.node(1).gateway}/32"}}
            nobody = {"podSelector": {"matchLabels": {"app": "nobody"}}}
            install(release, GRAPH, **chosen, networkPolicy={"clients": [nobody], "prometheus": [monitoring]})
            eventually("other policies", lambda: not reaches(release, restyle, engine, 8080))
            assert not reaches(release, restyle, page, 7860)
            assert reaches(release, page, engine, 8080)
            assert "imagegraph_info" in httpx.get(metrics, timeout=10).text
            # The kubelet asks as before, from the node.
            assert all(one["ready"] for pod in release.pods() for one in pod["status"]["containerStatuses"])
        assert reaches(release, restyle, upscale, 8080), "rules are left"


def has_series(query: str) -> bool:
    """Says whether the studio has them: nothing failed in it, and it was not started just now."""
    failures = r'\w+{[^}]*(state="failed"|code=~"5[.][.]")}'
    is_failure = re.fullmatch(failures, query) is not None
    return "imagegraph_studio_" in query and "offset 1m" not in query and not is_failure


def compared(choice: str) -> Comparison:
    """Returns a blind pair of a canary and the default that somebody has judged."""
    arms = [{"graph": GRAPH, "bundle": name} for name in ("canary", "default")]
    about = {"graph": GRAPH, "arms": arms, "jobs": [], "tally": "canary", "a_is_left": True}
    return Comparison(owner="you", choice=choice, answered_at=time.time(), **about)


def first(release: Namespace, label: str) -> dict[str, Any]:
    return release.pods(label)[0]


def ended(studio: httpx.Client, id: str) -> dict[str, Any]:
    """Returns a job once it has ended."""

    def look() -> dict[str, Any] | None:
        try:
            job: dict[str, Any] = studio.get(f"/api/jobs/{id}").json()
        except httpx.TransportError:  # the pod that has just been killed is still among those of the Service
            return None
        return job if job["state"] in ("done", "failed") else None

    found: dict[str, Any] = eventually(f"the end of job {id}", look, 60)
    return found


def working(release: Namespace) -> str:
    """Returns the container of a pod that runs jobs; "" while none does."""
    for pod in release.pods("app.kubernetes.io/component=studio"):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        system = httpx.get(f"http://{pod['status']['podIP']}:7860/api/system", headers=headers, timeout=30)
        if system.json()["running_here"]:
            [container] = pod["status"]["containerStatuses"]
            return str(container["containerID"].removeprefix("containerd://"))
    return ""


@contextmanager
def noting(studio: httpx.Client) -> Iterator[list[str]]:
    """Makes boards one after the other meanwhile; gives the names of those that were acknowledged."""
    acknowledged: list[str] = []
    ends = threading.Event()

    def note() -> None:
        number = 0
        while not ends.wait(0.05):
            number += 1
            try:
                answer = studio.post("/api/boards", json={"name": f"board {number}"})
            except httpx.TransportError:
                continue
            if answer.status_code == 201:
                acknowledged.append(f"board {number}")

    with beside(note):
        try:
            yield acknowledged
        finally:
            ends.set()


@contextmanager
def watching(studio: httpx.Client, id: str) -> Iterator[list[int]]:
    """Follows a job meanwhile as a browser does, to its end; gives the numbers of its events."""
    seen: list[int] = []

    def watch() -> None:
        while not follow(studio, id, seen):
            time.sleep(0.2)

    with beside(watch):
        yield seen


def follow(studio: httpx.Client, id: str, seen: list[int]) -> bool:
    """Reads a job's events after those seen, and adds their numbers; says whether that was its end."""
    ended = False
    try:
        headers = {"Last-Event-ID": str(seen[-1])} if seen else {}
        with studio.stream("GET", f"/api/jobs/{id}/events", headers=headers) as answer:
            for line in answer.iter_lines():
                ended = ended or line == "event: done"
                if line.startswith("id: "):
                    seen.append(int(line[4:]))
    except httpx.TransportError:
        return False
    return ended


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    """Has work done beside; waits for its end."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    thread.join(60)
    assert not thread.is_alive()
