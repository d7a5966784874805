from pathlib import Path

import pytest
import yaml

from imagegraph.deploy import render
from imagegraph.errors import ImagegraphError, InvalidDocument
from tests import tiny


def test_a_table_of_values_has_a_row_for_every_value_with_its_comment():
    text = "# -- What | who\n# goes on\na: 1\nb:\n  # -- Inner\n  c: {d: [x]}\n"
    assert render.values_table(text).splitlines()[2:] == [
        "| `a` | `1` | What \\| who goes on |",
        '| `b.c` | `{"d": ["x"]}` | Inner |',
    ]


def test_a_value_without_a_comment_is_an_error_with_its_line():
    with pytest.raises(InvalidDocument, match=r"values.yaml:3: 'b' has no comment"):
        render.values_table("# -- One\na: 1\nb: 2\n")


def test_the_chart_knows_graphs_and_single_components_and_what_kserve_can(tmp_path):
    found = yaml.safe_load(render.chart_catalogue(tiny.catalogue(tmp_path)))
    assert found["graphs"]["sum"]["tree"]["name"] == "add"
    assert found["graphs"]["sum"]["kserve"]["root"]["routerType"] == "Sequence"
    assert found["graphs"]["ways"]["kserve"] is None, "a router"
    assert found["graphs"]["double"]["tree"] == {"name": "double", "type": "MODEL", "entry": "double"}
    assert "unite" not in found["graphs"], "a combiner alone does nothing"
    assert found["entries"]["double"]["bundles"]["sd15"] == {"cpu": "1", "memory": "1024Mi", "weights": False}


def test_an_entry_needs_a_volume_for_the_weights_of_what_it_uses(tmp_path):
    text = yaml.safe_load(tiny.CATALOGUE)
    weights = {"model": {"repo": "a/b", "revision": "0" * 40}}
    text["entries"]["double"]["bundles"]["pocket"] = {"weights": weights}
    found = yaml.safe_load(render.chart_catalogue(tiny.catalogue(tmp_path, yaml.safe_dump(text))))
    assert found["entries"]["user"]["bundles"]["pocket"]["weights"] is True
    assert found["entries"]["unite"]["bundles"]["pocket"]["weights"] is False


def test_what_helm_cannot_render_is_told_in_its_own_words(tmp_path):
    helm = tmp_path / "helm"
    helm.write_text("#!/bin/sh\necho 'no such chart' >&2\nexit 1\n")
    helm.chmod(0o755)
    with pytest.raises(ImagegraphError, match=r"template sum .*failed: no such chart"):
        render.rendered(tmp_path, tiny.catalogue(tmp_path), str(helm))


def test_files_that_nothing_asks_for_are_found(tmp_path: Path):
    kept, old = tmp_path / "a" / "kept.yaml", tmp_path / "a" / "old.yaml"
    kept.parent.mkdir()
    kept.write_text("1")
    old.write_text("1")
    assert render.differing({kept: "1"}, [tmp_path / "a"]) == ([], [old])
    assert render.differing({kept: "2"}, [tmp_path / "a"]) == ([kept], [old])
