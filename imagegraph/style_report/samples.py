"""The pictures that a report shows: of the best and the worst photos, and the best and worst ones."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as Pillow
from PIL import ImageOps

from imagegraph.style_report.answers import Answer
from imagegraph.style_report.figures import Figures

THUMBNAIL, QUALITY = 224, 82  # px, of JPEG
ENDS = 2  # photos that are shown of the best, and of the worst


@dataclass(frozen=True)
class Report:
    """What a page says.

    Attributes:
        folder: in which the pictures are.
        facts: what was run, in words.
        failures: what was wrong, by the name of a photo.
    """

    folder: Path
    answers: Sequence[Answer]
    figures: Figures
    facts: Sequence[str]
    failures: Mapping[str, str]


def ends(report: Report) -> list[str]:
    """Returns the photos with the highest mean score, then those with the lowest."""
    left_out = set(report.figures.incomplete)
    chances: dict[str, list[float]] = {}
    for one in report.answers:
        if one.photo not in left_out:
            chances.setdefault(one.photo, []).append(one.confidence)
    ranked = sorted(chances, key=lambda photo: -sum(chances[photo]) / len(chances[photo]))
    return ranked if len(ranked) <= 2 * ENDS else [*ranked[:ENDS], *ranked[-ENDS:]]


def photo(report: Report, name: str) -> str:
    """Returns a photo and, by architecture, the first picture of it in each style."""
    own = [one for one in report.answers if one.photo == name]
    mean = sum(one.confidence for one in own) / len(own)
    strips = []
    for place, architecture in enumerate(report.figures.cells):
        first = {one.style: one for one in reversed(own) if one.architecture == architecture}
        figures = "".join(
            _figure(report, first[style].picture, _said(first[style]), style)
            for style in report.figures.styles
        )
        strips.append(f'{_label(place, architecture)}<div class="strip">{figures}</div>')
    source = _figure(report, own[0].source, "the photo", "the photo") if own[0].source else "<div></div>"
    pair = f'<div class="pair">{source}<div>{"".join(strips)}</div></div>'
    return f'<div class="sheet photo"><h3>{html.escape(name)}, {mean:.3f}</h3>{pair}</div>'


def half(report: Report, place: int, architecture: str) -> str:
    """Returns the best and the worst picture that an architecture has drawn in each style."""
    own = [one for one in report.answers if one.architecture == architecture]
    ranked = {
        style: sorted((one for one in own if one.style == style), key=lambda one: -one.confidence)
        for style in report.figures.styles
    }
    parts = {
        "Most like their style": [some[0] for some in ranked.values()],
        "Least like their style": [some[-1] for some in ranked.values()],
    }
    body = "".join(
        f'<h4>{head}</h4><div class="samples">{"".join(_sample(report, one) for one in some)}</div>'
        for head, some in parts.items()
    )
    return f'<div class="sheet">{_label(place, architecture)}{body}</div>'


def _label(place: int, architecture: str) -> str:
    said = html.escape(capital(words(architecture)))
    return f'<p class="label" style="--own: var(--a{place % 4})">{said}</p>'


def _sample(report: Report, one: Answer) -> str:
    pictures = _image(report, one.picture, one.prompt)
    if one.source:
        pictures += _image(report, one.source, "the photo")
    return f'<figure><div class="two">{pictures}</div><figcaption>{_said(one)}</figcaption></figure>'


def _said(one: Answer) -> str:
    return f"{html.escape(one.style)}<br>{one.confidence:.2f}"


def _figure(report: Report, file: str, caption: str, alt: str) -> str:
    return f"<figure>{_image(report, file, alt)}<figcaption>{caption}</figcaption></figure>"


def _image(report: Report, file: str, alt: str) -> str:
    """Returns a small copy of a picture, in the page itself."""
    with Pillow.open(report.folder / file) as picture:
        small = (ImageOps.exif_transpose(picture) or picture).convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL), Pillow.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/jpeg;base64,{data}" alt="{html.escape(alt)}">'


def words(architecture: str) -> str:
    """Returns an architecture's name as one says it."""
    return architecture.replace("-", " ")


def capital(text: str) -> str:
    """Returns a text with a capital letter in front."""
    return text[:1].upper() + text[1:]
