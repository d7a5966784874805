"""A real Kubernetes: the one that TEST_KUBECONFIG names, or a local one for the session."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import crds, local, monitoring
from tests.cluster import images as built_images
from tests.cluster.kubernetes import Kubernetes, Namespace, eventually, given
from tests.cluster.releases import install
from tests.cluster.shell import answers, free_ports, running
from tests.left_out import leave_out, left_out_if_missing

# More versions for canaries, the same image by other names: one that works, and some that do not.
CANARY = "docker.io/library/imagegraph:canary"
BROKEN = {"crashing": ["/bin/false"], "silent": ["/bin/sh", "-c", "sleep 3600"]}
REPORTS: pytest.StashKey[bool] = pytest.StashKey()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/cluster/" in item.path.as_posix():
            item.add_marker(pytest.mark.cluster)
    # The last one: on a fresh cluster it leaves its definitions there, rather than wait until they go.
    items.sort(key=lambda item: item.path.name == "test_kserve.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed:
        item.stash[REPORTS] = True
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Shows what tests have measured."""
    for report in terminalreporter.getreports("passed"):
        for name, figure in report.user_properties:
            if name == "figure" and report.when == "call":
                terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {figure}")


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Notes what a test has measured, to be shown at the end of the session."""
    return partial(record_property, "figure")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Kubernetes]:
    """The cluster of the session."""
    if chosen := given():
        yield chosen
        return
    with left_out_if_missing("the cluster"):
        local.check()
    here = local.Cluster("session", 2)
    with here.fresh():
        yield Kubernetes(here.kubeconfig, here, fresh=True)


@pytest.fixture(scope="session")
def images(cluster: Kubernetes) -> Kubernetes:
    """The cluster with the project's images on its nodes."""
    if cluster.local:
        load_images(cluster.local)
    return cluster


def load_images(cluster: local.Cluster) -> None:
    """Makes the project's images known to all nodes."""
    with left_out_if_missing("a cluster with the images"):
        node, model_init = (built_images.built(name) for name in built_images.IMAGES)
    for image in (node, model_init, replace(node, name=CANARY)):
        cluster.load(image)
    for tag, entrypoint in BROKEN.items():
        config = json.loads(node.config)
        config["config"]["Entrypoint"] = entrypoint
        cluster.load(replace(node, name=CANARY.replace("canary", tag), config=json.dumps(config).encode()))


@pytest.fixture
def prometheus(tmp_path: Path) -> Callable[..., AbstractContextManager[str]]:
    """Starts a Prometheus that scrapes every second what a release's PodMonitors select; gives its URL."""

    @contextmanager
    def scraping(namespace: Namespace, release: str, **values: Any) -> Iterator[str]:
        if not shutil.which("prometheus"):
            leave_out("prometheus is not installed; run `make cluster-tools`")
        address = f"127.0.0.1:{free_ports(1)[0]}"
        url = f"http://{address}"
        options = [f"--web.listen-address={address}", f"--storage.tsdb.path={tmp_path}/data"]
        with (
            monitoring.configured(tmp_path, namespace, release, **values) as configuration,
            running("prometheus", f"--config.file={configuration}", *options, log=tmp_path / "log") as check,
        ):
            eventually("Prometheus", lambda: answers(f"{url}/-/ready", check), 60)
            yield url

    return scraping


@pytest.fixture
def namespace(cluster: Kubernetes, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """A namespace for one test under Pod Security's level restricted."""
    yield from _namespace(cluster, request)


@pytest.fixture(scope="session")
def place(cluster: Kubernetes) -> Iterator[Namespace]:
    """A namespace that warns of what Pod Security's level restricted forbids, where all kinds are known."""
    with crds.installed(cluster), cluster.namespace("test-manifests") as made:
        made.kubectl("label", "namespace", made.name, "pod-security.kubernetes.io/warn=restricted")
        yield made


@pytest.fixture(scope="class")
def shared_namespace(cluster: Kubernetes, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """One for the tests of a class, which follow one another; `level` of the class weakens Pod Security."""
    yield from _namespace(cluster, request, getattr(request.cls, "level", "restricted"))


@pytest.fixture(scope="class")
def release(request: pytest.FixtureRequest, images: Kubernetes, shared_namespace: Namespace) -> Namespace:
    """A release of the graph that the class names, by its name, on platform plain."""
    install(shared_namespace, request.cls.graph, graph=request.cls.graph)
    return shared_namespace


@pytest.fixture(scope="class")
def near(images: Kubernetes) -> None:
    """Skips where a Service cannot be asked by its own address."""
    if images.local is None:
        pytest.skip("of a cluster elsewhere a port is forwarded, to one pod, and goes with that pod")


def _namespace(
    cluster: Kubernetes, request: pytest.FixtureRequest, level: str = "restricted"
) -> Iterator[Namespace]:
    name = re.sub("[^a-z0-9]+", "-", f"{request.path.stem} {request.node.name}".lower())
    with cluster.namespace(name.replace("test-", "")[:50].strip("-"), level=level) as made:
        yield made
        if any(REPORTS in item.stash for item in request.session.items if request.node in item.listchain()):
            print(made.diagnose())
