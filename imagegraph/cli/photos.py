"""Photos that arguments name: files, folders, patterns of names, and what is piped in."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from imagegraph.codecs.anything import picture
from imagegraph.errors import InvalidInput
from imagegraph.image import Image

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
PIPED = "-"


@dataclass(frozen=True)
class Photo:
    """A picture that is read when its turn comes; of many, no more than one is held.

    Attributes:
        path: "-" is what is piped in.
    """

    path: str
    piped: bytes = b""

    @property
    def stem(self) -> str:
        """What its results are called by; nothing where it has no name."""
        return "" if self.path == PIPED else Path(self.path).stem

    @property
    def is_there(self) -> bool:
        """Whether there is a file of that name, or something was piped in."""
        return self.path == PIPED or is_there(Path(self.path))

    def read(self, port: str) -> Image:
        """Reads it, and looks at all of it: what no node could read shall not wait for the weights.

        Raises:
            InvalidInput: there is no such file, or no picture in it.
        """
        found = self.piped if self.path == PIPED else Path(self.path)
        looked_at = picture(found, port, whole=True)
        return Image(looked_at.data)  # without the pixels, which nobody needs while models load


def find(text: str, port: str) -> list[Photo]:
    """Returns the photos that an argument names: a file, or all of a folder or of a pattern of names.

    Raises:
        InvalidInput: a folder or pattern without pictures.
    """
    if not text:
        raise InvalidInput(port, "a file with a picture", "no name")
    path = Path(text).expanduser()
    if not names_many(text):
        return [Photo(str(path))]
    files = map(str, path.iterdir()) if path.is_dir() else glob.glob(str(path), recursive=True)
    named = [one for one in files if one.lower().endswith(ENDINGS) and not Path(one).name.startswith(".")]
    found = [Photo(one) for one in sorted(named) if Path(one).is_file()]
    if not found:
        is_folder = path.is_dir()
        what = "folder with" if is_folder else "pattern that fits"
        got = f"{text}, {'a folder without any' if is_folder else 'which fits none'}"
        raise InvalidInput(port, f"a {what} pictures ({' '.join(ENDINGS)})", got)
    return found


def names_many(text: str) -> bool:
    """Whether an argument is a folder or a pattern of names, however many photos that may be now."""
    path = Path(text).expanduser()
    return path.is_dir() or (glob.has_magic(text) and not is_there(path))


def looks_like_one(text: str) -> bool:
    """Whether an argument names photos rather than says something: it is there, or is written like it."""
    if (text and is_there(Path(text).expanduser())) or text.lower().endswith(ENDINGS):
        return True
    return "/" in text and not any(map(str.isspace, text))


def read_pipe() -> bytes:
    """Returns all that is piped in."""
    return sys.stdin.buffer.read()


def names(photos: Iterable[Photo], default: str) -> list[str]:
    """Returns a folder's name for each photo, no two alike."""
    stems = [photo.stem or default for photo in photos]
    taken = set(stems)  # a-2.png keeps its name, however many others are called a
    seen: set[str] = set()
    found = []
    for stem in stems:
        name, number = stem, 1
        while name in (seen if number == 1 else taken):
            number += 1
            name = f"{stem}-{number}"
        seen.add(stem)
        taken.add(name)
        found.append(name)
    return found


def is_there(path: Path) -> bool:
    """Whether a path leads to something; a text that cannot be one does not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
