"""From sources to a data set: looks at every picture, drops broken ones and copies, writes the others."""

from __future__ import annotations

import importlib.util
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image as Pillow

from imagegraph.dataset import card
from imagegraph.dataset.looks import Dropped, Look, look_at, without_copies
from imagegraph.dataset.sources import Candidate, Source
from imagegraph.dataset.splits import Splits
from imagegraph.errors import ImagegraphError, InvalidInput
from imagegraph.image import Image

WORKERS = 4  # threads that decode and encode
AT_ONCE = 32  # pictures that are held
LONGEST_STEM = 80  # bytes of a name
QUALITY = 95  # of JPEG

# Told of what is done, how much of it, and of how many, where that is known.
Tell = Callable[[str, int, int | None], None]
# Says what pictures show, in their order.
Captions = Callable[[Sequence[Image]], Sequence[str]]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Wanted:
    """How a data set shall be.

    Attributes:
        size: of the shorter side in px, of pictures that are larger.
        from_names: whether the names of files are captions, with spaces for underscores.
    """

    size: int = 512
    splits: Splits = field(default_factory=Splits)
    from_names: bool = False


@dataclass(frozen=True)
class Collected:
    """What has come of it.

    Attributes:
        kept: by source and by name in it, the look of each picture.
        found: how many pictures the sources have.
    """

    kept: Mapping[int, Mapping[str, Look]]
    dropped: Sequence[Dropped]
    found: int


def look(sources: Sequence[Source], tell: Tell) -> Collected:
    """Looks at all pictures.

    Raises:
        InvalidInput: there are none, or none that can be read.
        ImagegraphError: a package that this needs is not here.
    """
    if importlib.util.find_spec("imagehash") is None:
        raise ImagegraphError("data sets need ImageHash and pyarrow: install imagegraph[report]")
    looks: list[tuple[int, Look]] = []
    dropped: list[Dropped] = []
    with ThreadPoolExecutor(WORKERS) as pool:
        for index, source in enumerate(sources):
            for some in _in_parts(source):
                for one in pool.map(look_at, some):
                    if isinstance(one, Look):
                        looks.append((index, one))
                    else:
                        dropped.append(one)
                tell("looking", len(looks) + len(dropped), None)
    names = ", ".join(source.name for source in sources)
    if not looks and not dropped:
        expected = "a folder with pictures (.jpg, .jpeg, .png, .webp, .parquet)"
        raise InvalidInput("source", expected, f"{names}, without any")
    if not looks:
        raise InvalidInput("source", "a picture that can be read", f"{dropped[0].name}: {dropped[0].why}")
    kept, copies = without_copies([one for _, one in looks])
    staying = set(map(id, kept))
    by_source: dict[int, dict[str, Look]] = {}
    for index, one in looks:
        if id(one) in staying:
            by_source.setdefault(index, {})[one.name] = one
    return Collected(by_source, [*dropped, *copies], len(looks) + len(dropped))


def write(
    folder: Path,
    sources: Sequence[Source],
    collected: Collected,
    wanted: Wanted,
    caption: Captions | None,
    tell: Tell,
) -> list[str]:
    """Writes the data set to an empty folder; returns the names of what is in it, the card last.

    All lines of metadata have the same keys, "" for what is not known: `datasets` loads no others.

    Raises:
        OSError: the disk is full, for one.
    """
    lines: dict[str, list[dict[str, Any]]] = {}
    total, done = sum(map(len, collected.kept.values())), 0
    with ThreadPoolExecutor(WORKERS) as pool:
        for index, source in enumerate(sources):
            looks = collected.kept.get(index, {})
            for some in _in_parts(one for one in source if one.name in looks):
                images = [Image(one.data) for one in some]
                texts = caption(images) if caption else [_text(one, wanted.from_names) for one in some]
                small = pool.map(_encode, images, [wanted.size] * len(images))
                for one, text, (data, size) in zip(some, texts, small, strict=True):
                    split, line = _keep(folder, source, looks[one.name], data, size, wanted.splits)
                    lines.setdefault(split, []).append({**line, "text": text})
                done += len(some)
                tell("writing", done, total)
    for split, said in lines.items():
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in said)
        (folder / split / "metadata.jsonl").write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(card.card(sources, collected, lines), encoding="utf-8")
    return [*lines, "README.md"]


def _keep(
    folder: Path, source: Source, look: Look, data: bytes, size: tuple[int, int], splits: Splits
) -> tuple[str, dict[str, Any]]:
    """Writes a picture; returns its split and what is said of it."""
    split = splits.of(look.share)
    (folder / split).mkdir(exist_ok=True)
    # Two files of one name in different folders are two pictures.
    suffix = ".png" if data.startswith(b"\x89PNG") else ".jpg"
    file = f"{_stem(look.name)}-{look.digest[:12]}{suffix}"
    (folder / split / file).write_bytes(data)
    line = {"file_name": file, "source": f"{source.name}/{look.name}", "sha256": look.digest}
    about = {"width": size[0], "height": size[1], "licence": source.licence, "copyright": look.copyright}
    return split, {**line, **about}


def _encode(image: Image, size: int) -> tuple[bytes, tuple[int, int]]:
    """Returns a picture, upright and opaque, with its shorter side no longer than `size` px, and its size.

    What else its file says, such as where it was taken, is left out. JPEG stays JPEG, all else is PNG.
    """
    picture = image.rgb()
    scale = size / min(picture.size)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in picture.size)
        picture = picture.resize((width, height), Pillow.Resampling.LANCZOS, reducing_gap=3.0)
    buffer = io.BytesIO()
    if image.data.startswith(b"\xff\xd8\xff"):
        picture.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    else:
        picture.save(buffer, "PNG")
    return buffer.getvalue(), picture.size


def _text(candidate: Candidate, from_names: bool) -> str:
    """Returns what the source says of a picture, or else its file's name in words if that is wanted."""
    if candidate.text or not from_names:
        return candidate.text
    return " ".join(Path(candidate.name).stem.replace("_", " ").split())


def _stem(name: str) -> str:
    """Returns the stem of a name as any file system takes it."""
    clean = re.sub(r"[^\w-]+", "-", Path(name).stem).strip("-") or "picture"
    return clean.encode()[:LONGEST_STEM].decode(errors="ignore")


def _in_parts(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while some := list(islice(rest, AT_ONCE)):
        yield some
