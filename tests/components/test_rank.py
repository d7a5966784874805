import numpy as np
import pytest
from PIL import Image as Pillow

from components.depth import Depth
from components.edges import Edges
from components.pose import Pose
from components.rank import Rank
from components.segmentation import Segmentation
from imagegraph.component import Progress, Reader, Weights
from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from imagegraph.spec.weights import ROOT
from pocket.world import make_scene

WIDE, TALL = (96, 32), (64, 128)  # of a photo, and of what was drawn by its priors
MAPS = {"depth": Depth(32), "segmentation": Segmentation(32), "edges": Edges(32)}
PERSON = np.array([[[x, y, 1] for x, y in zip(range(10, 90, 5), range(1, 31, 2), strict=False)]], np.float32)


def scene(size: tuple[int, int]) -> Image:
    """Four fields, at any size the same."""
    width, height = size
    fields = np.array([[[0, 0, 0], [255, 255, 255]], [[60, 60, 60], [180, 0, 180]]], np.uint8)
    return Image.from_array(fields.repeat(height // 2, 0).repeat(width // 2, 1))


@pytest.mark.parametrize(("prior", "reader"), MAPS.items())
def test_fidelity_is_measured_where_a_picture_has_another_shape_than_its_prior(
    prior: str, reader: Reader
) -> None:
    assert reader.fidelity({prior: scene(WIDE)}, {prior: scene(TALL)}) > 0.95


def test_a_prior_with_alpha_is_on_black_as_where_it_steers() -> None:
    lines = np.zeros((32, 32), np.uint8)
    lines[8:24:4] = 255
    seen = Image.from_array(lines)
    given = Image(pixels=Pillow.merge("LA", [Pillow.new("L", (32, 32), 255), Pillow.fromarray(lines)]))
    for prior, reader in MAPS.items():
        assert reader.fidelity({prior: Image(given.data)}, {prior: seen}) == pytest.approx(1)


def test_people_are_stretched_like_the_picture_that_they_steered() -> None:
    again = PERSON * (TALL[0] / WIDE[0], TALL[1] / WIDE[1], 1)
    control = {"pose": scene(WIDE), "keypoints": PERSON}
    assert Pose(32).fidelity(control, {"pose": scene(TALL), "keypoints": again}) == 1


@pytest.fixture(scope="module")
def rank() -> Rank:
    component = Rank({})
    component.load(Weights({"model": ROOT / "pocket/weights/clip"}))
    return component


def test_each_picture_is_scored_by_its_own_prompt(rank: Rank) -> None:
    scenes = [make_scene(seed, "seen") for seed in (1, 2, 1)]
    pictures, captions = [Image.from_array(one.image) for one in scenes], [one.caption for one in scenes]
    together = rank.predict(Progress(), pictures, prompts=captions)["clip_prompt"]
    alone = [
        rank.predict(Progress(), [picture], prompt=caption)["clip_prompt"][0]
        for picture, caption in zip(pictures, captions, strict=True)
    ]
    assert together == pytest.approx(alone, abs=1e-5)
    swapped = rank.predict(Progress(), pictures, prompts=[captions[1], captions[0], captions[1]])
    assert max(swapped["clip_prompt"]) < min(together)


def test_prompts_are_one_a_picture(rank: Rank) -> None:
    picture = Image.from_array(make_scene(1, "seen").image)
    with pytest.raises(InvalidInput, match="prompts: expected 1 prompts, one a picture"):
        rank.predict(Progress(), [picture], prompts=["a", "b"])
    with pytest.raises(InvalidInput, match="prompt: expected a prompt, or prompts"):
        rank.predict(Progress(), [picture])
