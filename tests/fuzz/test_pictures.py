"""Pictures: what stands beside the pixels changes nothing but how they lie; what is broken is refused."""

import contextlib

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image as Pillow

from imagegraph.codecs.encoded import ORIENTATION
from imagegraph.codecs.pixels import _UPRIGHT, decode
from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from tests.fuzz.cases import cases
from tests.pictures import chunk, encoded, exif, lying, with_chunk, with_segment

MODES = {
    "PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
    "JPEG": ("RGB", "L", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
}
FORMATS = tuple(MODES)
ENTRIES = st.lists(
    st.tuples(
        st.integers(0, 0xFFFF).filter(lambda tag: tag != ORIENTATION),
        st.integers(0, 14) | st.integers(0, 0xFFFF),
        st.integers(0, 4) | st.integers(0, 2**32 - 1),
        st.binary(min_size=4, max_size=4),
    ),
    max_size=6,
)


@st.composite
def pictures(draw, modes=("RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK")):
    """A small picture of random colours in some mode."""
    mode = draw(st.sampled_from(modes))
    size = draw(st.tuples(st.integers(16, 40), st.integers(16, 40)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    flat = draw(st.booleans())
    values = random.integers(0, 256, (*size[::-1], 4), np.uint8)
    if flat:
        values[:] = values[0, 0]
    if mode == "I;16":
        return Pillow.fromarray(values[..., 0].astype(np.uint16) * 257)
    return Pillow.fromarray(values, "RGBA").convert("RGB" if mode in ("P", "CMYK") else "RGBA").convert(mode)


def seen(data: bytes) -> np.ndarray:
    return np.asarray(Image(data).rgb())


def beside(kind: str, picture: Pillow.Image, tiff: bytes) -> bytes:
    """The picture with EXIF."""
    if kind == "PNG":
        return with_chunk(encoded(picture, kind), b"eXIf", tiff, before=b"IEND")
    if kind == "JPEG":
        return with_segment(encoded(picture, kind), 0xE1, b"Exif\0\0" + tiff)
    return encoded(picture, kind, lossless=True, exif=b"Exif\0\0" + tiff)


@cases(700)
@given(
    st.sampled_from(FORMATS), pictures(("RGB",)), ENTRIES, st.integers(0, 6), st.integers(1, 8), st.booleans()
)
@example("JPEG", Pillow.new("RGB", (32, 24)), [(0x0213, 8, 1, b"\xff\xff\0\0")], 0, 6, True)
def test_a_picture_is_set_upright_whatever_else_exif_says(kind, picture, entries, place, orientation, little):
    order = "<" if little else ">"
    entries = [*entries[:place], lying(orientation, order), *entries[place:]]
    upright = seen(beside(kind, picture, exif(*entries, order=order)))
    plain = Pillow.fromarray(seen(beside(kind, picture, b"")))
    expected = plain.transpose(_UPRIGHT[orientation]) if orientation > 1 else plain
    assert np.array_equal(upright, np.asarray(expected))


@cases(500)
@given(st.sampled_from(FORMATS), pictures(("RGB",)), st.binary(max_size=60))
def test_any_bytes_as_exif_are_read_or_left_out(kind, picture, content):
    for tiff in (content, b"II*\0" + content, b"MM\0*" + content):
        assert sorted(seen(beside(kind, picture, tiff)).shape[:2]) == sorted(picture.size)


KINDS = [b"iCCP", b"zTXt", b"iTXt", b"tEXt", b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"acTL", b"fcTL", b"fdAT"]
KINDS += [b"bKGD", b"hIST", b"sBIT", b"sPLT", b"tIME", b"cICP", b"eXIf", b"oFFs", b"vpAg", b"abCd", b"ABCD"]


@cases(900)
@given(
    pictures(MODES["PNG"]),
    st.lists(
        st.tuples(st.sampled_from(KINDS), st.binary(max_size=40), st.sampled_from([b"IDAT", b"IEND"])),
        max_size=4,
    ),
    st.booleans(),
)
@example(Pillow.new("P", (16, 16)), [(b"iCCP", b"x\0\0", b"IDAT")], True)
@example(Pillow.new("RGB", (16, 16)), [(b"acTL", bytes(8), b"IDAT")], False)
def test_no_chunk_changes_a_png(picture, chunks, sound):
    data = plain = encoded(picture)
    for kind, content, before in chunks:
        if kind == b"acTL" and len(content) == 8 and content[:4] > b"\0\0\0\1":
            continue  # an animation
        data = with_chunk(data, kind, content, before)
        if not sound:
            data = data.replace(chunk(kind, content), chunk(kind, content)[:-1] + b"?")
    assert np.array_equal(seen(data), seen(plain))


@cases(400)
@given(
    pictures(MODES["JPEG"]),
    st.lists(st.tuples(st.integers(0xE0, 0xEF) | st.just(0xFE), st.binary(max_size=40)), max_size=4),
)
@example(Pillow.new("L", (16, 16)), [(0xE0, b"JFIF\0")])
def test_no_segment_changes_a_jpeg(picture, segments):
    data = plain = encoded(picture, "JPEG")
    for marker, content in segments:
        if not content.startswith((b"JFIF\0", b"Adobe")) or len(content) < 12:
            data = with_segment(data, marker, content)
    assert np.array_equal(seen(data), seen(plain))


@cases(200)
@given(pictures(MODES["JPEG"]), st.booleans(), st.integers(0, 3), st.integers(1, 400))
@example(Pillow.new("RGB", (40, 40), 77), True, 0, 12)
@example(Pillow.new("L", (40, 40), 77), False, 2, 27)
def test_a_jpeg_that_is_cut_is_refused_or_all_of_it_is_there(picture, progressive, restart, cut):
    data = encoded(picture, "JPEG", progressive=progressive, restart_marker_blocks=restart)
    cut = min(cut, len(data) - 3)
    try:
        got = decode(data[:-cut])
    except InvalidInput:
        assert cut > 2
    else:
        assert np.array_equal(np.asarray(got), np.asarray(decode(data)))


@cases(600)
@given(
    st.sampled_from(FORMATS),
    pictures(),
    st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=4),
    st.data(),
)
def test_a_picture_of_changed_bytes_is_refused_or_read_alike_by_all(kind, picture, changes, data):
    if picture.mode not in MODES[kind]:
        picture = picture.convert("RGB")
    whole = bytearray(encoded(picture, kind))
    for place, value in changes:
        whole[place % len(whole)] = value
    image = Image(bytes(whole[: data.draw(st.integers(1, len(whole)))]))
    with contextlib.suppress(InvalidInput):
        rgb = image.rgb()
        assert (rgb.mode, rgb.size) == ("RGB", image.size)
        assert image.map().shape == rgb.size[::-1] == image.map_rgb().size[::-1]
        assert 0 <= image.map().min() <= image.map().max() <= 1
        assert Image(Image(pixels=rgb).data).rgb().tobytes() == rgb.tobytes()
