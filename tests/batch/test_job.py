"""The Job that a batch on Kubernetes is."""

import pytest

from imagegraph.batch import job
from imagegraph.batch.job import Pods
from imagegraph.batch.models import Choices
from imagegraph.cli.batch_words import pod_words
from imagegraph.errors import ImagegraphError, InvalidInput
from imagegraph.spec.catalogue import Catalogue
from tests.cli.commands import said

WORDS = ["depth", "photos", "-o", "out"]


def made(graph: str = "depth", bundles: tuple[str, ...] = ("pocket",), **pods) -> dict:
    known = Catalogue.read()
    models = Choices(known.graph(graph).root, bundles).all()
    return job.manifest(graph, [graph, *WORDS[1:]], models, known, Pods("data", **pods))


@pytest.fixture(autouse=True)
def own_catalogue(monkeypatch):
    monkeypatch.delenv("IMAGEGRAPH_CATALOGUE")


def test_each_pod_runs_its_part_of_the_same_table():
    spec = made(count=3, parallelism=8)["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    (container,) = spec["template"]["spec"]["containers"]
    assert container["args"] == ["batch", *WORDS, "--shard", "$(JOB_COMPLETION_INDEX)/3"]
    assert container["workingDir"] == "/data"


def test_it_asks_for_what_the_catalogue_says_and_for_a_pool():
    pod = made("reimagine", ("sd15",), pool={"cloud/pool": "gpu"}, gpus=1)["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"cloud/pool": "gpu"}
    resources = pod["containers"][0]["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == "1"
    known = Catalogue.read()
    needed = known.needed(known.graph("reimagine").root)
    memory = sum(known.entry(name).variant("sd15").resources.memory_gib for name in needed)
    assert resources["requests"]["memory"] == f"{memory:g}Gi"


def test_weights_are_pulled_for_every_bundle_or_lie_on_a_claim():
    pod = made("depth", ("pocket", "sd15"))["spec"]["template"]["spec"]
    assert [one["args"] for one in pod["initContainers"]] == [
        ["pull", "--bundle", "pocket", "--entry=depth"],
        ["pull", "--bundle", "sd15", "--entry=depth"],
    ]
    volumes = made("depth", weights="models")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "models"}} in volumes
    assert "initContainers" not in made("edges")["spec"]["template"]["spec"]


def test_credentials_come_from_a_secret():
    (container,) = made(secret="store")["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "store"}}]


def test_the_same_words_are_the_same_job():
    assert (
        job.name("depth", WORDS) == made()["metadata"]["name"] != job.name("depth", [*WORDS, "--overwrite"])
    )
    assert len(job.name("g" * 63, WORDS)) <= 63


def test_pods_are_told_nothing_of_the_job():
    words = [
        "depth",
        "photos",
        "--on",
        "kubernetes",
        "--claim=data",
        "--pods",
        "3",
        "-o",
        "out",
        "--grid",
        "a=1",
    ]
    assert pod_words(words) == ["depth", "photos", "-o", "out", "--grid", "a=1"]


def test_a_cluster_needs_a_volume_and_an_address(monkeypatch, tmp_path):
    with pytest.raises(InvalidInput, match="claim: expected --claim beside --on"):
        said("batch", "depth", "photos", "--on", "kubernetes")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ImagegraphError, match="no cluster to ask"):
        said("batch", "depth", "photos", "--on", "kubernetes", "--claim", "data")
