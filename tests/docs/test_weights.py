"""docs/weights.md is tested: a catalogue that it shows can be read, and gives the ports that it tells of."""

import re
from pathlib import Path

import pytest

from imagegraph.errors import ImagegraphError
from imagegraph.spec.catalogue import ROOT, Catalogue

TEXT = (ROOT / "docs" / "weights.md").read_text()
[OWN] = [block for block in re.findall(r"^```yaml\n(.*?)^```", TEXT, re.M | re.S) if "entries:" in block]


def test_its_adapters_are_those_that_a_request_may_name(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(OWN)
    catalogue = Catalogue.read([tmp_path / "mine.yaml"])
    port = catalogue.signature("generate", "sd15").port("adapters")
    [asked] = re.findall(r"'adapters=(.*)'", TEXT)
    assert set(port.read(asked)) == {"watercolour", "pixels"}
    with pytest.raises(ImagegraphError, match="'watercolour' or 'pixels', got 'ink'"):
        port.read({"ink": 1})
    with pytest.raises(ImagegraphError, match="no name, since there is none"):
        catalogue.signature("generate", "pocket").port("adapters").read({"pixels": 1})
    assert catalogue.entry("generate").build("sd15", {})
