import numpy as np
import pytest
from numpy.typing import NDArray

from components.upscale import HALO, Upscale, spans
from imagegraph.codecs.pixels import MAX_ASPECT
from imagegraph.component import Progress, Weights
from imagegraph.errors import Cancelled, InputTooLarge, InvalidInput
from imagegraph.image import Image, working_size
from imagegraph.spec.catalogue import ROOT, Catalogue

PHOTO = ROOT / "pocket" / "examples" / "photo.jpg"


@pytest.fixture(scope="module")
def weights() -> Weights:
    return Weights({"model": ROOT / "pocket" / "weights" / "upscale"})


@pytest.fixture(scope="module")
def upscale(weights: Weights) -> Upscale:
    component = Upscale()
    component.load(weights)
    return component


def tiled(upscale: Upscale, tile: int) -> Upscale:
    """The same model, in smaller parts."""
    other = Upscale(tile)
    other.__dict__.update(upscale.__dict__ | {"_tile": tile})
    return other


def enlarge(upscale: Upscale, image: Image, progress: Progress | None = None) -> NDArray[np.int16]:
    (picture,) = upscale.predict(progress or Progress(), image=image)["pictures"]
    return np.asarray(picture.rgb(), np.int16)


def cut(width: int, height: int) -> Image:
    photo = Image(PHOTO.read_bytes()).rgb()
    return Image(pixels=photo.crop((60, 120, 60 + width, 120 + height)))


# Sides that are multiples of the window, and that are not.
@pytest.mark.parametrize("size", [(232, 16), (19, 227)])
def test_parts_have_no_seam(upscale: Upscale, size: tuple[int, int]) -> None:
    steps = []
    progress = Progress(lambda done, total, _: steps.append((done, total)))
    in_parts = enlarge(tiled(upscale, 224), cut(*size), progress)
    assert len(steps) == 3
    assert steps == [(step, len(steps)) for step in range(len(steps))]
    assert in_parts.shape == (2 * size[1], 2 * size[0], 3)
    assert np.abs(in_parts - enlarge(upscale, cut(*size))).max() <= 1


def test_every_part_comes_to_its_place(upscale: Upscale, monkeypatch: pytest.MonkeyPatch) -> None:
    def double(picture):  # what the model does, but for the sharpness
        padded = np.pad(np.asarray(picture), ((0, 8), (0, 8), (0, 0)))
        return padded.repeat(2, 0).repeat(2, 1)

    monkeypatch.setattr(upscale, "_predict", double)
    image = Image.from_array(np.random.default_rng(0).integers(0, 255, (1500, 701, 3), np.uint8))
    assert np.array_equal(enlarge(upscale, image), np.asarray(image.rgb()).repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("tile", [176, 320, 640])
@pytest.mark.parametrize("window", [7, 8, 16])
def test_spans_cover_a_side_and_see_no_more_than_a_tile(tile: int, window: int) -> None:
    for length in [*range(16, 2200, 37), 4096, 8192]:
        found = spans(length, tile, window)
        assert [one.start for one in found] == [0, *(one.end for one in found[:-1])]
        assert found[-1].end == length
        for one in found:
            assert one.seen_end - one.seen_start <= tile
            assert one.seen_start % window == 0
            assert one.seen_start == 0 or one.start - one.seen_start >= HALO
            assert one.seen_end == length or one.seen_end - one.end >= HALO


def test_whatever_can_be_drawn_can_be_enlarged(upscale: Upscale) -> None:
    catalogue = Catalogue.read()
    widest = int(16 * MAX_ASPECT)
    for name, variant in catalogue.entry("generate").bundles.items():
        component = catalogue.entry("upscale").build(name, {})
        component.__dict__.update(_scale=upscale._scale, _window=upscale._window)
        for aspect in ((16, 16), (16, 9), (9, 16), (widest, 16), (16, widest)):
            size = working_size(*(side * 100 for side in aspect), variant.settings["size"])
            assert component._fits(*size), size
        assert component._fits(2048, 2048)


def test_a_cancelled_request_ends_at_the_next_part(upscale: Upscale) -> None:
    progress = Progress(lambda done, *_: progress.cancel() if done == 1 else None)
    with pytest.raises(Cancelled):
        enlarge(tiled(upscale, 176), cut(227, 19), progress)


def test_what_nobody_could_read_is_refused_before_anything_is_computed(
    upscale: Upscale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(upscale, "_processor")
    with pytest.raises(InputTooLarge, match=r"image: expected at most 16000000 pixels.*5000x4000"):
        enlarge(upscale, Image.from_array(np.zeros((4000, 5000), np.uint8)))


def test_what_another_node_has_painted_is_not_lost_when_it_is_too_large(upscale: Upscale) -> None:
    painting = Image.from_array(np.zeros((4000, 5000), np.uint8))
    small, large = upscale.predict(Progress(), pictures=[cut(16, 16), painting])["pictures"]
    assert small.size == (32, 32)
    assert large is painting


def test_something_to_enlarge_is_needed(upscale: Upscale) -> None:
    with pytest.raises(InvalidInput, match="pictures: expected pictures, or an image, got 'neither'"):
        upscale.predict(Progress())
