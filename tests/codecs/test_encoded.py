"""What stands beside the pixels: read where it is sound, and never a reason to refuse a picture."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image as Pillow

from imagegraph.codecs.encoded import MAX_PARTS, take_apart
from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from tests.pictures import chunk, encoded, exif, lying, profile, with_chunk, with_segment

RED = Pillow.new("RGB", (32, 24), (255, 0, 0))
BROKEN_EXIF = {
    "a short of -1": exif(lying(6), (0x0213, 8, 1, struct.pack("<hh", -1, 0))),
    "a type that is none": exif((0x0100, 99, 1, bytes(4)), lying(6)),
    "a value far outside": exif((0x010F, 2, 2**32 - 1, b"\xff\xff\xff\xff"), lying(6)),
    "a fraction by zero": exif((0x011A, 5, 1, b"\x08\0\0\0"), lying(6)),
    "a thumbnail outside": exif(lying(6))[:-4] + b"\xff\xff\xff\xff",
    "more entries than there are": exif(lying(6)).replace(b"\x01\0\x12", b"\xff\xff\x12", 1),
    "in the other order": exif(lying(6, ">"), order=">"),
}


def with_exif(kind: str, content: bytes) -> bytes:
    data = encoded(RED, kind)
    if kind == "PNG":
        return with_chunk(data, b"eXIf", content, before=b"IEND")
    if kind == "JPEG":
        return with_segment(data, 0xE1, b"Exif\0\0" + content)
    return encoded(RED, kind, exif=b"Exif\0\0" + content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("content", BROKEN_EXIF.values(), ids=BROKEN_EXIF)
def test_a_picture_is_set_upright_whatever_else_exif_says(kind, content):
    image = Image(with_exif(kind, content))
    assert image.size == image.rgb().size == (24, 32)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"broken",
        exif(lying(9)),
        exif(lying(0)),
        exif((0x0112, 2, 1, b"6\0\0\0")),
        exif(lying(6))[:12],
    ],
)
def test_a_picture_whose_exif_says_nothing_lies_as_it_is(kind, content):
    image = Image(with_exif(kind, content))
    assert image.size == image.rgb().size == (32, 24)


def test_all_eight_orientations_are_those_of_exif():
    corner = RED.copy()
    corner.paste((0, 0, 255), (0, 0, 8, 8))
    places = {}
    for orientation in range(1, 9):
        pixels = np.asarray(Image(encoded(corner, exif=exif(lying(orientation)))).rgb())
        blue = pixels[..., 2] == 255
        places[orientation] = pixels.shape[:2], blue[0, 0], blue[0, -1], blue[-1, 0], blue[-1, -1]
    wide, high = (24, 32), (32, 24)
    one = {"top left": 1, "top right": 2, "bottom left": 3, "bottom right": 4}
    for orientation, shape, place in [
        (1, wide, "top left"),
        (2, wide, "top right"),
        (3, wide, "bottom right"),
        (4, wide, "bottom left"),
        (5, high, "top left"),
        (6, high, "top right"),
        (7, high, "bottom right"),
        (8, high, "bottom left"),
    ]:
        assert places[orientation][0] == shape
        assert [index for index in range(1, 5) if places[orientation][index]] == [one[place]]


BIG = zlib.compress(bytes(2**21))
ANCILLARY = [
    (b"iCCP", b"big\0\0" + zlib.compress(profile("RGB", 2.2) + bytes(1025 * 1024))),
    (b"iCCP", b"bomb\0\0" + zlib.compress(bytes(2**25))),
    (b"iCCP", b"broken\0\0?"),
    (b"iCCP", b""),
    (b"zTXt", b"big\0\0" + BIG),
    (b"zTXt", b"broken\0\0?"),
    (b"zTXt", b"x\0\7"),
    (b"iTXt", b"big\0\1\0\0\0" + BIG),
    (b"tEXt", b"x" * 2**21),
    (b"gAMA", b"\0"),
    (b"cHRM", b"\0"),
    (b"sRGB", b""),
    (b"pHYs", b"\0"),
    (b"tRNS", b"\0"),
    (b"acTL", b"\0"),
    (b"acTL", bytes(8)),
    (b"fcTL", b"\0"),
    (b"fdAT", b"\0"),
    (b"tIME", b""),
    (b"abCd", b"?"),
    (b"ABCD", b"?"),
]


@pytest.mark.parametrize(("kind", "content"), ANCILLARY)
@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
def test_no_chunk_beside_the_pixels_is_a_reason_to_refuse_a_png(kind, content, before):
    data = with_chunk(encoded(RED), kind, content, before)
    seen = np.asarray(Image(data).rgb())
    assert np.abs(seen.astype(int) - np.asarray(RED)).max() <= 2
    wrong = data.replace(chunk(kind, content), chunk(kind, content)[:-1] + b"?")
    assert np.array_equal(np.asarray(Image(wrong).rgb()), seen), "nor is its checksum"


def test_a_png_that_ends_behind_its_pixels_is_whole():
    data = encoded(RED)
    cut = with_chunk(data, b"tEXt", b"x" * 1000, before=b"IEND")[:-500]
    for one in (cut, data[:-12], data[:-5]):
        assert np.array_equal(np.asarray(Image(one).rgb()), np.asarray(RED))


@pytest.mark.parametrize("marker", [*range(0xE0, 0xF0), 0xFE])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"JFIF\0",
        b"Adobe",
        b"Exif\0\0",
        b"MPF\0II*\0\x08\0\0\0\xff\xff",
        b"Photoshop 3.0\0008BIM\4",
        b"?",
    ],
)
def test_no_segment_beside_the_pixels_is_a_reason_to_refuse_a_jpeg(marker, content):
    data = encoded(RED, "JPEG")
    assert np.array_equal(Image(with_segment(data, marker, content)).rgb(), Image(data).rgb())


def test_a_jpegs_profile_is_put_together_from_its_segments_or_left_out():
    whole = profile("RGB", 2.2)
    data = encoded(RED, "JPEG")

    def segments(*parts: tuple[int, int, bytes]) -> bytes:
        marked = data
        for index, count, content in reversed(parts):
            marked = with_segment(marked, 0xE2, b"ICC_PROFILE\0" + bytes([index, count]) + content)
        return marked

    assert take_apart(segments((1, 1, whole))).profile == whole
    assert take_apart(segments((2, 2, whole[100:]), (1, 2, whole[:100]))).profile == whole
    assert take_apart(segments((1, 2, whole[:100]))).profile == b""
    assert take_apart(segments((0, 0, whole))).profile == b""


def test_a_webp_whose_metadata_are_cut_off_is_whole():
    data = encoded(RED, "WEBP", lossless=True, exif=b"Exif\0\0" + exif(lying(6)) + bytes(100))
    assert np.array_equal(np.asarray(Image(data[:-50]).rgb()), np.asarray(Image(data).rgb()))


def test_more_parts_than_any_picture_has_are_refused():
    for many in (
        with_chunk(encoded(RED), b"abCd", b"").replace(
            chunk(b"abCd", b""), chunk(b"abCd", b"") * (MAX_PARTS + 1)
        ),
        b"\xff\xd8" + b"\xff\xfe\0\2" * (MAX_PARTS + 1),
        b"RIFF\xff\xff\xff\0WEBP" + b"abcd\0\0\0\0" * (MAX_PARTS + 1),
    ):
        with pytest.raises(InvalidInput, match="a whole picture, got '.* bytes .more than 100000"):
            Image(many).rgb()
