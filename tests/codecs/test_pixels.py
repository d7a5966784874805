"""Pixels of encoded pictures: whole, in sRGB, on white; of maps on black."""

import zlib

import numpy as np
import pytest
from PIL import Image as Pillow

from imagegraph.codecs.pixels import decode
from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from tests.pictures import chunk, deep, encoded, profile, with_chunk

RED = Pillow.new("RGB", (32, 24), (255, 0, 0))
RANDOM = np.random.default_rng(3)


def photo(noise: float) -> Pillow.Image:
    ramp = np.add.outer(np.arange(60), np.arange(80))[:, :, None]
    return Pillow.fromarray(np.clip(ramp + RANDOM.normal(0, noise, (60, 80, 3)), 0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 2}, {"quality": 95}],
    ids=str,
)
@pytest.mark.parametrize("picture", [photo(0), photo(60), photo(20).convert("L"), photo(20).convert("CMYK")])
def test_a_jpeg_without_its_end_marker_is_whole_and_one_that_lacks_more_is_not(picture, options):
    data = encoded(picture, "JPEG", **options)
    whole = np.asarray(decode(data))
    assert data.endswith(b"\xff\xd9")
    accepted = []
    for cut in (*range(1, 40), *range(40, len(data) - 600, 131)):
        try:
            seen = np.asarray(decode(data[:-cut]))
        except InvalidInput:
            continue
        accepted.append(cut)
        assert np.array_equal(seen, whole), cut
    assert accepted[:2] == [1, 2]
    with pytest.raises(InvalidInput, match="a whole picture"):
        decode(data[:-300] + bytes(4096))


LINEAR = 188  # what 128 of 255 is in sRGB when it counts light

GREY = {
    "grey": (Pillow.new("L", (16, 16), 128), LINEAR),
    "grey and alpha": (Pillow.new("LA", (16, 16), (128, 255)), LINEAR),
    "16-bit": (deep(0x8080), LINEAR),
    "bilevel": (Pillow.new("1", (16, 16), 1), 255),
}
COLOURED = {
    "RGB": RED,
    "RGBA": Pillow.new("RGBA", (16, 16), (255, 0, 0, 255)),
    "palette": RED.quantize(4),
    "palette with alpha": Pillow.new("RGBA", (16, 16), (255, 0, 0, 255)).quantize(4),
}


@pytest.mark.parametrize(
    ("picture", "expected", "kind"),
    [(*one, "PNG") for one in GREY.values()] + [(*GREY["grey"], "JPEG")],
    ids=[*GREY, "grey JPEG"],
)
def test_a_profile_of_grey_is_converted_in_every_mode_that_carries_one(picture, expected, kind):
    seen = Image(encoded(picture, kind, icc_profile=profile("GRAY"))).rgb().getpixel((0, 0))
    assert np.allclose(seen, expected, atol=2)


@pytest.mark.parametrize(
    ("picture", "kind"),
    [(one, "PNG") for one in COLOURED.values()]
    + [(COLOURED["RGB"], "JPEG"), (COLOURED["RGB"], "WEBP"), (COLOURED["RGBA"], "WEBP")],
    ids=[*COLOURED, "JPEG", "WebP", "WebP with alpha"],
)
def test_a_profile_of_colours_is_converted_in_every_mode_that_carries_one(picture, kind):
    data = encoded(picture, kind, icc_profile=profile("RGB", 2.2, swapped=True))
    assert np.allclose(Image(data).rgb().getpixel((0, 0)), (0, 0, 255), atol=3)


@pytest.mark.parametrize("wrong", [profile("GRAY"), b"broken", profile("RGB")[:150], profile("CMYK")])
def test_a_profile_of_other_colours_changes_nothing(wrong):
    assert Image(encoded(RED, icc_profile=wrong)).rgb().getpixel((0, 0)) == (255, 0, 0)


def test_half_transparent_colours_are_converted_before_they_come_onto_white():
    half = Pillow.new("RGBA", (16, 16), (255, 0, 0, 128))
    data = encoded(half, icc_profile=profile("RGB", 2.2, swapped=True))
    assert np.allclose(Image(data).rgb().getpixel((0, 0)), (127, 127, 255), atol=3)


def grey_png(depth: int, value: int, key: int) -> bytes:
    """A PNG of few grey levels with one that is transparent, as Pillow does not write it."""
    side = 16
    row = b"\0" + int(f"{value:0{depth}b}" * side, 2).to_bytes(side * depth // 8, "big")
    head = side.to_bytes(4, "big") * 2 + bytes([depth, 0, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"tRNS", key.to_bytes(2, "big"))
        + chunk(b"IDAT", zlib.compress(row * side))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_the_transparent_grey_of_every_depth_is_white_in_a_photo_and_black_in_a_map(depth):
    top = 2**depth - 1
    for value in (0, top, top // 3):
        image = Image(grey_png(depth, value, value))
        assert image.rgb().getpixel((0, 0)) == (255, 255, 255)
        assert image.map_rgb().getpixel((0, 0)) == (0, 0, 0)
        assert image.map()[0, 0] == 0
        other = Image(grey_png(depth, value, top - value if value != top - value else 0)).rgb()
        assert np.allclose(other.getpixel((0, 0)), value * 255 // top if depth < 16 else value // 257, atol=1)


def test_the_transparent_colour_of_16_bits_is_white():
    data = with_chunk(encoded(RED), b"tRNS", b"\0\xff\0\0\0\0")
    assert Image(data).rgb().getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    "lines",
    [
        Pillow.new("RGBA", (32, 32), (255, 255, 255, 0)),
        Pillow.new("LA", (32, 32), (255, 0)),
        deep(0xFFFF, (32, 32)),
        Pillow.new("L", (32, 32), 255),
        Pillow.new("RGBA", (32, 32), (255, 255, 255, 0)).quantize(4),
    ],
    ids=["RGBA", "grey and alpha", "16-bit", "grey", "palette"],
)
def test_a_map_with_alpha_is_on_black_and_the_same_for_all_who_look(lines):
    options = {"transparency": 0xFFFF if lines.mode == "I;16" else 255} if lines.mode in ("I;16", "L") else {}
    image = Image(encoded(lines, **options))
    assert image.rgb().getpixel((0, 0)) == (255, 255, 255)
    assert image.map_rgb().getpixel((0, 0)) == (0, 0, 0)
    assert image.map().max() == 0


def test_a_map_is_the_same_in_one_channel_and_in_three_whatever_its_profile_says():
    values = RANDOM.integers(0, 256, (20, 30), np.uint8)
    alpha = RANDOM.integers(0, 256, (20, 30), np.uint8)
    for picture in (
        Pillow.fromarray(values),
        Pillow.fromarray(values.astype(np.uint16) * 257),
        Pillow.merge("LA", [Pillow.fromarray(values), Pillow.fromarray(alpha)]),
    ):
        image = Image(encoded(picture, icc_profile=profile("GRAY")))
        three = np.asarray(image.map_rgb())
        assert np.abs(three[..., 0] / 255 - image.map()).max() <= 1 / 255
        if picture.mode != "LA":
            assert np.array_equal(three[..., 1], values)
