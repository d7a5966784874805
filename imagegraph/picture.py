"""One picture of an answer, with what the answer says of it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image as Pillow

from imagegraph.image import Image, encode_png

ORDER = "order"  # the port by which a graph ranks its pictures
THUMBNAIL = 256  # px, the longer side of what a notebook shows


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture of a list in an answer.

    What the answer says of each is an attribute, in the singular, too: `steered_by`, `seed`. So are its texts
    and numbers that hold for all, such as `prompt`.

    Attributes:
        port: the name of the list, and `index` its place there.
        value: the picture as the graph carries it; `image` is that of Pillow.
        about: what the answer says of it, by the name of the list that says so.
        shared: what the answer says of all.
    """

    port: str
    index: int
    value: Image
    about: Mapping[str, Any] = field(default_factory=dict)
    shared: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def image(self) -> Pillow.Image:
        """The picture in 8-bit sRGB; a mask or a 16-bit map as it is."""
        return pillow(self.value)

    @property
    def scores(self) -> dict[str, float]:
        """What is said of it in numbers with a point."""
        return {name: value for name, value in self.about.items() if isinstance(value, float)}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # asked for by who copies, when there is nothing yet
            raise AttributeError(name)
        for known, key in ((self.about, name), (self.about, f"{name}s"), (self.shared, name)):
            if key in known:
                return known[key]
        raise AttributeError(f"nothing says '{name}' of a picture; there are: {', '.join(self._names())}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._names()]

    def _names(self) -> list[str]:
        names = [*(name.removesuffix("s") for name in self.about), *self.about, *self.shared]
        return list(dict.fromkeys(names))

    def _repr_png_(self) -> bytes:
        return encode_png(self.image)

    def _repr_html_(self) -> str:
        words = [str(value) for value in self.about.values() if isinstance(value, str)]
        numbers = [f"{name} {value:.2f}" for name, value in self.scores.items()]
        return figure(self.value, "\n".join([*words, *numbers]))


def ranked(
    port: str, values: Mapping[str, Any], columns: Collection[str], shared: Mapping[str, Any] | None = None
) -> list[Picture]:
    """Returns the pictures of a list, best first where the graph ranks so many.

    Args:
        values: the answer's.
        columns: the names of the lists that may say something of each.
        shared: what is said of all.
    """
    images: Sequence[Image] = values[port]
    fitting = {name: value for name, value in values.items() if name in columns and isinstance(value, list)}
    items = {name: value for name, value in fitting.items() if len(value) == len(images)}
    order: Sequence[int] = range(len(images))
    ranks = values.get(ORDER)
    if isinstance(ranks, list) and sorted(one for one in ranks if isinstance(one, int)) == list(order):
        order = ranks
    return [
        Picture(port, index, images[index], {name: one[index] for name, one in items.items()}, shared or {})
        for index in order
    ]


def lists_of_pictures(values: Mapping[str, Any]) -> Iterator[str]:
    """Yields the names of the values that are lists of pictures."""
    for name, value in values.items():
        if isinstance(value, list) and value and all(isinstance(one, Image) for one in value):
            yield name


def pillow(image: Image) -> Pillow.Image:
    """Returns a picture in 8-bit sRGB; a mask or a 16-bit map as it is."""
    own = image.own()
    return own if own.mode in ("L", "I;16") else image.rgb()


def figure(image: Image, caption: str) -> str:
    """Returns a small picture with words below it as HTML."""
    own = image.own()
    small = image.map_rgb() if own.mode in ("L", "I;16") else image.rgb()
    small = small.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    source = base64.b64encode(buffer.getvalue()).decode()
    words = html.escape(caption).replace("\n", "<br>")
    return (
        '<figure style="display:inline-block;margin:4px;vertical-align:top">'
        f'<img src="data:image/png;base64,{source}" width="{small.width}" height="{small.height}">'
        f'<figcaption style="max-width:{THUMBNAIL}px">{words}</figcaption></figure>'
    )
