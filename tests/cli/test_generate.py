import pytest

from imagegraph.errors import ImagegraphError
from tests.cli.commands import run


def test_generate_writes_what_the_catalogue_gives_and_check_finds_what_differs(tmp_path):
    with pytest.raises(
        ImagegraphError, match=r"graphs/sum.yaml, .*imagegraph/catalogue.yaml; run `imagegraph"
    ):
        run("generate", "--check")
    assert "manifests/graphs/sum.yaml" in run("generate")
    assert "charts/imagegraph/catalogue.yaml" not in run("generate"), "nothing is written twice"
    run("generate", "--check")
    (tmp_path / "manifests" / "graphs" / "old.yaml").touch()
    with pytest.raises(ImagegraphError, match=r"differ from what makes them: manifests/graphs/old.yaml"):
        run("generate", "--check")
    run("generate")
    assert not (tmp_path / "manifests" / "graphs" / "old.yaml").exists()
