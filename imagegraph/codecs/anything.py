"""Pictures as Python programs have them: paths, bytes, Pillow's own, arrays."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from imagegraph.codecs.pixels import check_size
from imagegraph.errors import InvalidInput
from imagegraph.image import Image

EXPECTED = "a picture: a path, bytes of a JPEG, PNG or WebP, a Pillow picture, or an array"
PIXELS = "pixels as uint8 [h, w, 3], [h, w, 4] or [h, w], or uint16 [h, w]"
_ORIENTATION = 0x0112  # of EXIF
_PLAIN = ("RGB", "L", "I;16")  # modes that an Image has as they are
_PNG = (*_PLAIN, "1", "LA", "P", "RGBA", "I")


def picture(value: Any, field: str = "image", whole: bool = False) -> Image:
    """Returns what somebody has of a picture as the graph carries it.

    Args:
        value: a path (text is one, unless it begins with `data:`), encoded bytes, a picture of Pillow, an
            array of pixels in sRGB, or an Image.
        whole: whether all of encoded bytes is looked at, not only the first.

    Raises:
        InvalidInput: there is no picture in it.
        InputTooLarge: it has more pixels than any component takes.
    """
    if isinstance(value, Image):
        return _looked_at(value, field, whole)
    if isinstance(value, str) and value.startswith("data:"):
        return _looked_at(Image.from_text(value, field), field, whole)
    if isinstance(value, (str, os.PathLike)):
        return _of_file(Path(value), field, whole)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _looked_at(Image(bytes(value)), field, whole)
    if isinstance(value, Pillow.Image):
        return _of_pillow(value, field)
    if hasattr(value, "__array__"):
        return _of_array(np.asarray(value), field)
    raise InvalidInput(field, EXPECTED, value)


def pictures(values: Mapping[str, Any], lists: Mapping[str, bool], whole: bool = False) -> dict[str, Any]:
    """Returns values whose pictures are as the graph carries them.

    Args:
        lists: by the name of each value that is made of pictures, whether it is a list of them.
        whole: as `picture`.

    Raises:
        InvalidInput, InputTooLarge: as `picture`.
    """

    def read(name: str, value: Any) -> Any:
        if value is None or name not in lists:
            return value
        if not lists[name]:
            return picture(value, name, whole)
        if not isinstance(value, (list, tuple)):
            raise InvalidInput(name, "a list of pictures", value)
        return [picture(one, f"{name}[{index}]", whole) for index, one in enumerate(value)]

    return {name: read(name, value) for name, value in values.items()}


def _looked_at(image: Image, field: str, whole: bool) -> Image:
    image.check(field)
    if whole:
        image.own()
    return image


def _of_file(path: Path, field: str, whole: bool) -> Image:
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: no path has such characters
        reason = getattr(error, "strerror", None) or error
        raise InvalidInput(field, "a file with a picture", f"{path} ({reason})") from error
    try:
        return _looked_at(Image(data), field, whole)
    except InvalidInput as error:
        error.file = str(path)
        raise


def _of_pillow(picture: Pillow.Image, field: str) -> Image:
    """Takes pixels as they are, where that is all; else what a PNG file of the picture would be."""
    check_size(*picture.size, field)
    try:
        picture.load()
        orientation = picture.getexif().get(_ORIENTATION, 1)
        if (
            picture.mode in _PLAIN
            and orientation == 1
            and not picture.info.keys() & {"icc_profile", "transparency"}
        ):
            return Image(pixels=picture)
        png = picture if picture.mode in _PNG else picture.convert("RGB")
        exif = Pillow.Exif()
        exif[_ORIENTATION] = orientation
        profile = picture.info.get("icc_profile") if png is picture else None
        buffer = io.BytesIO()
        png.save(buffer, "PNG", compress_level=1, exif=exif, icc_profile=profile)
    except (OSError, ValueError) as error:
        raise InvalidInput(field, "a whole picture", f"{picture!r} ({error})") from error
    return Image(buffer.getvalue())


def _of_array(array: NDArray[Any], field: str) -> Image:
    deep = array.dtype == np.uint16 and array.ndim == 2
    flat = array.dtype == np.uint8 and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4)))
    if not deep and not flat:
        raise InvalidInput(field, PIXELS, f"{array.dtype} {list(array.shape)}")
    check_size(array.shape[1], array.shape[0], field)
    if array.ndim == 3 and array.shape[2] == 4:
        return _of_pillow(Pillow.fromarray(array), field)
    return Image.from_array(array)
