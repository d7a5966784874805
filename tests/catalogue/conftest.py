from typing import Any

import pytest

from imagegraph.catalogue import ROOT, Catalogue, Entry
from imagegraph.image import Image

BUNDLE = "pocket"


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue.read()


def smoke_values(entry: Entry) -> dict[str, Any]:
    """The entry's smoke input, with files read."""

    def read(name: str, value: Any) -> Any:
        if not entry.signature.port(name).holds_images:
            return value
        if isinstance(value, list):
            return [Image((ROOT / path).read_bytes()) for path in value]
        return Image((ROOT / value).read_bytes())

    return {name: read(name, value) for name, value in entry.smoke.items()}
