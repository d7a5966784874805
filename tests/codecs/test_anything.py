"""Pictures as Python programs have them."""

import io
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from imagegraph.codecs.anything import picture, pictures
from imagegraph.errors import InputTooLarge, InvalidInput
from imagegraph.image import Image
from tests.pictures import encoded, exif, lying, profile, with_segment

GREY = np.arange(16 * 32 * 3, dtype=np.uint8).reshape(16, 32, 3)


def same_pixels(one: Image, other: Image) -> bool:
    return np.array_equal(np.asarray(one.rgb()), np.asarray(other.rgb()))


def test_all_forms_of_a_picture_are_the_same_picture(tmp_path: Path) -> None:
    data = encoded(Pillow.fromarray(GREY))
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    whole = Image(data)
    assert picture(whole) is whole
    for value in (
        data,
        bytearray(data),
        memoryview(data),
        path,
        str(path),
        Pillow.fromarray(GREY),
        Pillow.open(path),
        Pillow.open(io.BytesIO(data)),
        GREY,
    ):
        assert same_pixels(picture(value), whole), value


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "RGB", "CMYK", "YCbCr", "I;16"])
def test_pillows_pictures_are_what_their_file_would_be(mode: str) -> None:
    if mode == "I;16":
        drawn = Pillow.fromarray(GREY[..., 0].astype(np.uint16) * 200)
    else:
        drawn = Pillow.fromarray(GREY).convert(mode)
    if mode in ("LA", "RGBA"):
        drawn.putalpha(Pillow.fromarray(GREY[..., 1]))
    seen = drawn.convert("RGB") if mode in ("CMYK", "YCbCr") else drawn
    assert same_pixels(picture(drawn), Image(encoded(seen)))


def test_how_a_picture_lies_and_its_profile_count() -> None:
    jpeg = encoded(Pillow.fromarray(GREY), "JPEG", icc_profile=profile("RGB", swapped=True))
    jpeg = with_segment(jpeg, 0xE1, b"Exif\0\0" + exif(lying(6)))
    assert picture(Pillow.open(io.BytesIO(jpeg))).size == (16, 32)
    assert same_pixels(picture(Pillow.open(io.BytesIO(jpeg))), Image(jpeg))


def test_what_is_done_to_a_picture_later_changes_nothing() -> None:
    drawn, array = Pillow.new("RGB", (16, 16), "red"), np.zeros((16, 16, 3), np.uint8)
    taken = picture(drawn), picture(array)
    drawn.paste("blue", (0, 0, 16, 16))
    array[:] = 255
    assert [one.rgb().getpixel((0, 0)) for one in taken] == [(255, 0, 0), (0, 0, 0)]


def test_arrays_are_maps_masks_colours_and_colours_with_alpha() -> None:
    assert picture(np.full((16, 16), 65535, np.uint16)).map().max() == 1
    assert picture(np.full((16, 16), 51, np.uint8)).map().max() == pytest.approx(0.2)
    clear = np.zeros((16, 16, 4), np.uint8)
    assert picture(clear).rgb().getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no/such.png", r"photo: expected a file with a picture, got 'no/such.png \(No such file"),
        (Path("/"), r"photo: expected a file with a picture, got '/ \(Is a directory"),
        ("a\0b", "photo: expected a file with a picture"),
        (b"GIF89a\0\0", "photo: expected a JPEG, PNG or WebP picture, got .8 bytes beginning"),
        (b"hello\n", "photo: expected a JPEG, PNG or WebP picture, got .6 bytes beginning"),
        (b64encode(encoded(Pillow.fromarray(GREY))), "photo: expected a JPEG, PNG or WebP picture"),
        (__file__, f"^{__file__}: photo: expected a JPEG, PNG or WebP picture"),
        ("data:image/png;base64,?", "photo: expected an image as base64"),
        (7, "photo: expected a picture: a path, bytes of a JPEG"),
        (None, "photo: expected a picture: a path, bytes of a JPEG"),
        (
            np.zeros((16, 16, 3), np.float32),
            r"photo: expected pixels as uint8 .*, got 'float32 \[16, 16, 3\]'",
        ),
        (np.zeros((16, 16, 2), np.uint8), r"photo: expected pixels as uint8 .*, got 'uint8 \[16, 16, 2\]'"),
        (np.zeros((4, 16, 3), np.uint8), "photo: expected sides of at least 16 pixels"),
        (Pillow.new("RGB", (100, 16)), "photo: expected an aspect ratio within 4:1"),
        (Pillow.open(io.BytesIO(encoded(Pillow.fromarray(GREY))[:-60])), "photo: expected a whole picture"),
    ],
)
def test_what_is_no_picture_is_said_by_name(value: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        picture(value, "photo")


def test_all_of_a_picture_is_looked_at_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    path.write_bytes(encoded(Pillow.fromarray(GREY))[:-60])
    picture(path, "photo")
    with pytest.raises(InvalidInput, match=f"^{path}: photo: expected a whole picture, got '.* bytes"):
        picture(path, "photo", whole=True)


def test_too_many_pixels_are_refused_before_they_are_touched() -> None:
    with pytest.raises(InputTooLarge, match="photo: expected at most 64000000 pixels"):
        picture(np.broadcast_to(np.uint8(0), (10_000, 10_000)), "photo")


def test_lists_and_single_values_are_read_by_name_and_others_left_alone() -> None:
    read = pictures(
        {"one": GREY, "many": (GREY, GREY), "text": "photo.png", "none": None},
        {"one": False, "many": True, "none": False},
    )
    assert isinstance(read["one"], Image)
    assert [type(one) for one in read["many"]] == [Image, Image]
    assert (read["text"], read["none"]) == ("photo.png", None)
    with pytest.raises(InvalidInput, match=r"many\[1\]: expected a file with a picture"):
        pictures({"many": [GREY, "no.png"]}, {"many": True})
    with pytest.raises(InvalidInput, match="many: expected a list of pictures"):
        pictures({"many": GREY}, {"many": True})
