"""Upgrades to a chart that has a value more: what helm's options keep, and what they lose."""

import json
import shutil
from collections.abc import Iterator

import pytest
import yaml

from tests.cluster.kubernetes import CommandFailed, Kubernetes, Namespace
from tests.cluster.releases import CHART

SETTINGS = ("--set", "graph=edges,termination.drainSeconds=90")


@pytest.fixture(scope="module")
def release(cluster: Kubernetes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """A release `edges` of a chart of before, which knew no `podTemplate`."""
    before = tmp_path_factory.mktemp("before") / "imagegraph"
    shutil.copytree(CHART, before)
    values = yaml.safe_load((before / "values.yaml").read_text())
    del values["podTemplate"]
    (before / "values.yaml").write_text(yaml.safe_dump(values))
    schema = json.loads((before / "values.schema.json").read_text())
    schema["required"].remove("podTemplate")
    (before / "values.schema.json").write_text(json.dumps(schema))
    with cluster.namespace("test-upgrades") as namespace:
        namespace.helm("install", "edges", str(before), *SETTINGS)
        yield namespace


def upgrade(release: Namespace, *options: str) -> str:
    """Returns the engine's Deployment as an upgrade to the chart of today would make it."""
    manifest = release.helm("upgrade", "edges", str(CHART), "--dry-run=server", "--output=json", *options)
    documents = yaml.safe_load_all(json.loads(manifest)["manifest"])
    [engine] = [
        one for one in documents if (one["kind"], one["metadata"]["name"]) == ("Deployment", "edges-engine")
    ]
    return json.dumps(engine)


def test_reusing_all_values_of_before_is_refused_with_the_value_that_is_missing(release: Namespace) -> None:
    with pytest.raises(CommandFailed, match="missing property 'podTemplate'"):
        upgrade(release, "--reuse-values")


def test_what_was_set_is_kept_and_the_rest_is_the_new_charts(release: Namespace) -> None:
    assert '"value": "90"' in upgrade(release, "--reset-then-reuse-values")


def test_without_either_option_what_was_set_is_lost_unless_nothing_is_given(release: Namespace) -> None:
    assert '"value": "90"' in upgrade(release)
    assert '"value": "90"' not in upgrade(release, "--set", "graph=edges")
