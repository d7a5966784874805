import contextlib
import io
import struct

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms, ImageDraw

from imagegraph.codecs import pixels
from imagegraph.codecs.pixels import decode
from imagegraph.errors import InputTooLarge, InvalidInput
from imagegraph.image import Image, encode_png, working_size
from tests.pictures import chunk, encoded

RED = Pillow.new("RGB", (32, 24), (255, 0, 0))


def header(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and nothing more."""

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"")


def animation(kind: str) -> bytes:
    frames = [Pillow.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def pixel(data: bytes, at: tuple[int, int] = (0, 0)) -> tuple[int, ...]:
    return Image(data).rgb().getpixel(at)  # type: ignore[return-value]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_never_encoded_again(kind):
    data = encoded(RED, kind)
    image = Image(data)
    assert image.rgb().size == (32, 24)
    assert image.data is data


def test_base64_and_data_urls_are_pictures_too():
    import base64

    data = encoded(RED)
    text = base64.b64encode(data)
    for form in (text, text + b"\n", b"data:image/png;base64," + text):
        assert Image.from_bytes(form).data == data
        assert Image.from_text(form.decode()).data == data
    assert Image.from_bytes(data).data == data


@pytest.mark.parametrize("text", ["", "no base64!", "data:image/png;base64,?", "abcde", "ünïcode"])
def test_text_that_is_no_base64_is_refused_by_its_name(text):
    with pytest.raises(InvalidInput, match="photo: expected an image as base64"):
        Image.from_text(text, "photo")


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Pillow.new("L", (16, 16), 128), (128, 128, 128)),
        (Pillow.new("1", (16, 16), 1), (255, 255, 255)),
        (Pillow.new("RGBA", (16, 16), (255, 0, 0, 0)), (255, 255, 255)),
        (Pillow.new("RGBA", (16, 16), (255, 0, 0, 255)), (255, 0, 0)),
        (Pillow.new("LA", (16, 16), (0, 0)), (255, 255, 255)),
        (RED.quantize(4), (255, 0, 0)),
        (Pillow.fromarray(np.full((16, 16), 0x8080, np.uint16)), (128, 128, 128)),
    ],
    ids=["grey", "bilevel", "transparent", "opaque", "grey+alpha", "palette", "16-bit"],
)
def test_every_mode_becomes_opaque_8_bit_rgb(picture, expected):
    assert pixel(encoded(picture)) == expected


def test_a_transparent_colour_becomes_white_in_rgb_too():
    assert pixel(encoded(RED, transparency=(255, 0, 0))) == (255, 255, 255)


def test_cmyk_becomes_rgb():
    data = encoded(Pillow.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")
    assert np.allclose(pixel(data), (255, 0, 0), atol=4)


def test_exif_rotation_is_applied():
    exif = Pillow.Exif()
    exif[0x0112] = 6
    image = Image(encoded(RED, "JPEG", exif=exif))
    assert image.size == image.rgb().size == (24, 32)


def test_broken_exif_is_no_reason_to_refuse_a_photo():
    data = encoded(RED, "JPEG", exif=b"Exif\x00\x00broken")
    assert Image(data).rgb().size == (32, 24)


def test_a_colour_profile_is_converted_and_a_broken_one_is_ignored():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.allclose(pixel(encoded(RED, icc_profile=lab)), (255, 0, 0), atol=2)
    assert pixel(encoded(RED, icc_profile=b"broken")) == (255, 0, 0)


def test_the_further_pictures_in_a_phones_jpeg_do_not_matter():
    assert Image(encoded(RED, "MPO", save_all=True, append_images=[RED])).rgb().size == (32, 24)


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (b"", InvalidInput, "0 bytes"),
        (b"hello, I am no picture", InvalidInput, "a JPEG, PNG or WebP picture"),
        (encoded(RED, "GIF"), InvalidInput, "a JPEG, PNG or WebP picture"),
        (encoded(RED, "TIFF"), InvalidInput, "a JPEG, PNG or WebP picture"),
        (encoded(RED)[:60], InvalidInput, "a whole picture"),
        (encoded(RED, "JPEG")[:-200], InvalidInput, "a whole picture"),
        (encoded(RED, "WEBP")[:-20], InvalidInput, "picture"),
        (encoded(Pillow.new("RGB", (1, 1))), InvalidInput, "sides of at least 16 pixels, got '1x1'"),
        (encoded(Pillow.new("RGB", (400, 16))), InvalidInput, "aspect ratio within 4:1, got '400x16'"),
        (animation("PNG"), InvalidInput, "a still picture, got 'an animation of 2 frames'"),
        (animation("WEBP"), InvalidInput, "a still picture, got 'an animation of 2 frames'"),
        (header(20_000, 20_000), InputTooLarge, "at most 64000000 pixels"),
        (header(9_000, 9_000), InputTooLarge, "at most 64000000 pixels"),
        (header(2**31 - 1, 2**31 - 1), InputTooLarge, "at most 64000000 pixels"),
        (header(0, 0), InvalidInput, "picture"),
    ],
)
def test_what_cannot_be_used_says_why(data, kind, message):
    with pytest.raises(kind, match=message):
        Image(data).rgb()


def test_any_cut_or_changed_byte_gives_a_picture_or_a_clear_error():
    random = np.random.default_rng(0)
    exif = Pillow.Exif()
    exif[0x0112] = 6
    for kind in ("PNG", "JPEG", "WEBP"):
        whole = encoded(RED, kind, exif=exif)
        for _ in range(300):
            data = bytearray(whole[: random.integers(1, len(whole) + 1)])
            for place in random.integers(0, len(data), 3):
                data[place] = random.integers(256)
            with contextlib.suppress(InvalidInput):
                assert Image(bytes(data)).rgb().mode == "RGB"


def test_a_16_bit_map_keeps_its_precision():
    depth = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    again = Image(Image.from_array(depth).data).map()
    assert np.array_equal(np.round(again * 65535).astype(np.uint16), depth)
    assert Image.from_array(np.full((16, 16), 51, np.uint8)).map()[0, 0] == pytest.approx(0.2)
    with pytest.raises(TypeError, match="float32"):
        Image.from_array(np.zeros((16, 16), np.float32))


WRITES = {
    "thumbnail": lambda picture: picture.thumbnail((8, 8)),
    "paste": lambda picture: picture.paste(0, (0, 0, *picture.size)),
    "putpixel": lambda picture: picture.putpixel((0, 0), picture.getpixel((1, 1))),
    "putdata": lambda picture: picture.putdata([0 if picture.mode != "RGB" else (0, 0, 0)] * 4),
    "putalpha": lambda picture: picture.putalpha(0),
    "draw": lambda picture: ImageDraw.Draw(picture).rectangle((0, 0, 9, 9), fill=0),
    "info": lambda picture: picture.info.update(transparency=0),
}


# Of these Pillow itself makes no copy where it should.
UNGUARDED = {
    "frombytes": lambda picture: picture.frombytes(bytes(len(picture.tobytes()))),
    "putpalette": lambda picture: picture.putpalette(bytes(range(255, -1, -1)) * 3),
}


@pytest.mark.parametrize("write", (WRITES | UNGUARDED).values(), ids=WRITES | UNGUARDED)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "L", "P", "1"])
def test_who_writes_to_a_picture_changes_it_for_nobody_else(write, mode):
    data = encoded(RED.convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    for image in (Image(data), Image(pixels=RED.copy())):
        before = image.rgb().tobytes(), image.map_rgb().tobytes(), image.map().tobytes()
        own = image.own().convert("RGBA").tobytes()
        for read in (image.rgb, image.map_rgb, image.own):
            with contextlib.suppress(ValueError):
                write(read())
        image.map()[:] = 7
        assert (image.rgb().size, image.rgb().mode, image.rgb().info) == ((32, 24), "RGB", {})
        assert (image.rgb().tobytes(), image.map_rgb().tobytes(), image.map().tobytes()) == before
        assert image.own().convert("RGBA").tobytes() == own


def test_who_only_looks_at_a_picture_gets_no_copy():
    for image in (Image(encoded(RED)), Image(encoded(RED.convert("CMYK"), "JPEG")), Image(pixels=RED)):
        assert image.rgb().im is image.rgb().im


def test_what_is_made_a_picture_may_be_used_again():
    for picture in (RED.copy(), RED.convert("L")):
        for change in WRITES.values():
            mine = picture.copy()
            image = Image(pixels=mine)
            with contextlib.suppress(ValueError):
                change(mine)
            assert image == Image(pixels=picture.copy())
    for shape, kind in (((16, 16, 3), np.uint8), ((16, 16), np.uint8), ((16, 16), np.uint16)):
        array = np.zeros(shape, kind)
        image = Image.from_array(array)
        array[:] = 99
        assert image.map().max() == 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_size_upright_is_known_without_decoding(kind, monkeypatch):
    exif = Pillow.Exif()
    exif[0x0112] = 6
    image = Image(encoded(RED, kind, exif=exif))
    with monkeypatch.context() as patch:
        patch.delattr(pixels, "decode")
        assert image.size == (24, 32)
    assert image.rgb().size == (24, 32)


def test_pictures_are_equal_by_content_and_shown_briefly():
    one, other = Image.from_array(np.zeros((16, 16, 3), np.uint8)), Image(pixels=Pillow.new("RGB", (16, 16)))
    assert repr(one) == "Image(RGB 16x16)"
    assert one == other
    assert len({one, other}) == 1
    assert repr(Image(b"abc")) == "Image(3 bytes)"


def test_text_in_a_png_survives():
    picture = Pillow.open(io.BytesIO(encode_png(RED, {"key": "vålue 👩‍🚀"})))
    assert picture.text == {"key": "vålue 👩‍🚀"}


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 512), (128, 128)),
        ((640, 480), (192, 128)),
        ((480, 640), (128, 192)),
        ((4000, 1000), (512, 128)),
        ((16, 16), (128, 128)),
    ],
)
def test_the_working_size_keeps_the_aspect_in_multiples_of_64(size, expected):
    assert working_size(*size, 128) == expected


def test_decode_names_the_field():
    with pytest.raises(InvalidInput, match="^depth: "):
        decode(b"", "depth")


def test_a_notebook_shows_any_picture_as_png():
    pixels = Pillow.new("RGB", (32, 16), "red")
    for one in (Image(encoded(pixels, "JPEG")), Image(encoded(pixels)), Image(pixels=pixels)):
        assert Pillow.open(io.BytesIO(one._repr_png_())).size == (32, 16)
