"""A real Kubernetes: the one of KUBECONFIG, or a local one that is up for the session."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import yaml

from tests.cluster import images as built_images
from tests.cluster import local, toolchain
from tests.cluster.kubernetes import Kubernetes, Namespace, eventually, given

# A second version for canaries: the same image by another name.
CANARY = "docker.io/library/imagegraph:canary"
REPORTS: pytest.StashKey[bool] = pytest.StashKey()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/cluster/" in item.path.as_posix():
            item.add_marker(pytest.mark.cluster)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed:
        item.stash[REPORTS] = True
    return report


def unavailable(reason: str) -> None:
    """Skips, but fails where continuous integration would not notice a skip."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Kubernetes]:
    """The cluster of the session; a local one that was not up before goes at the end."""
    if elsewhere := given():
        yield elsewhere
        return
    here = local.Cluster()
    was_up = here.node(1).running()
    try:
        here.up()
    except toolchain.Missing as error:
        unavailable(str(error))
    try:
        yield Kubernetes(here.kubeconfig, here)
    finally:
        if not was_up:
            here.down()


@pytest.fixture(scope="session")
def images(cluster: Kubernetes) -> Kubernetes:
    """The cluster with the project's images on it."""
    if cluster.local:
        try:
            node, model_init = (built_images.built(name) for name in built_images.IMAGES)
        except toolchain.Missing as error:
            unavailable(str(error))
        for image in (node, model_init, replace(node, name=CANARY)):
            cluster.local.load(image)
    return cluster


@pytest.fixture
def prometheus(tmp_path: Path) -> Callable[[str], AbstractContextManager[str]]:
    """Starts a Prometheus that scrapes an address every second; gives its URL."""

    @contextmanager
    def scraping(target: str) -> Iterator[str]:
        if not shutil.which("prometheus"):
            unavailable("prometheus is not installed; run `make cluster-tools`")
        job = {"job_name": "engine", "static_configs": [{"targets": [target]}]}
        configuration = {"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}
        (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        command = [
            "prometheus", f"--config.file={tmp_path}/prometheus.yaml",
            f"--web.listen-address={address}", f"--storage.tsdb.path={tmp_path}/data",
        ]  # fmt: skip
        with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
            try:
                url = f"http://{address}"
                eventually("Prometheus", lambda: answers(f"{url}/-/ready"), 30)
                yield url
            finally:
                process.kill()

    return scraping


def answers(url: str) -> bool:
    """Says whether something answers there with 200."""
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def namespace(cluster: Kubernetes, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """A namespace for one test under Pod Security's level restricted."""
    yield from _namespace(cluster, request)


@pytest.fixture(scope="class")
def shared_namespace(cluster: Kubernetes, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """One for the tests of a class, which follow one another; `level` of the class weakens Pod Security."""
    yield from _namespace(cluster, request, getattr(request.cls, "level", "restricted"))


def _namespace(
    cluster: Kubernetes, request: pytest.FixtureRequest, level: str = "restricted"
) -> Iterator[Namespace]:
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower()).removeprefix("test").strip("-")
    with cluster.namespace(f"test-{name}"[:50].strip("-"), level=level) as made:
        yield made
        if any(REPORTS in item.stash for item in request.session.items if request.node in item.listchain()):
            print(made.diagnose())
