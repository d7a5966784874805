from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests import tiny


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """An own folder with tiny components, into which commands write."""
    tiny.catalogue(tmp_path)
    monkeypatch.setenv("IMAGEGRAPH_CATALOGUE", str(tmp_path / "catalogue.yaml"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photos() -> Path:
    """A folder with five pictures, one of them in a folder of its own."""
    folder = Path("photos")
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(["a_red_cone", "b", "c", "d", "more/a_red_cone"]):
        draw(folder / f"{name}.png", number)
    return folder


def draw(path: Path, number: int) -> None:
    """Writes a picture that differs from the others."""
    pixels = np.full((16, 24, 3), number % 256, np.uint8)
    pixels[0, 0] = number // 256
    Pillow.fromarray(pixels).save(path)
