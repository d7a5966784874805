from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image as Pillow

from pocket.world import make_scene


@pytest.fixture(scope="session")
def scenes() -> list[Pillow.Image]:
    return [Pillow.fromarray(make_scene(seed, "seen").image).resize((256, 256)) for seed in range(24)]


@pytest.fixture
def photos(tmp_path: Path, scenes) -> Path:
    """A folder with two dozen pictures, in folders and formats of several kinds."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for index, scene in enumerate(scenes):
        suffix = ("png", "jpg", "webp")[index % 3]
        place = folder / "more" if index % 2 else folder
        scene.save(place / f"scene_{index:02}.{suffix}")
    return folder


@pytest.fixture
def silent() -> Callable[[str, int, int | None], None]:
    return lambda what, done, total: None
