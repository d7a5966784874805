"""A real Kubernetes: the one of KUBECONFIG, or a local one that is up for the session."""

import os
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.cluster import images as built_images
from tests.cluster import local, toolchain
from tests.cluster.kubernetes import Kubernetes, Namespace, given

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
def namespace(cluster: Kubernetes, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """A namespace for one test under Pod Security's level restricted."""
    yield from _namespace(cluster, request)


@pytest.fixture(scope="class")
def shared_namespace(cluster: Kubernetes, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """One for the tests of a class, which follow one another."""
    yield from _namespace(cluster, request)


def _namespace(cluster: Kubernetes, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower()).removeprefix("test").strip("-")
    with cluster.namespace(f"test-{name}"[:50].strip("-")) as made:
        yield made
        if any(REPORTS in item.stash for item in request.session.items if request.node in item.listchain()):
            print(made.diagnose())
