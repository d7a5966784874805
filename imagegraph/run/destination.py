"""Where results go: a place of their own, made before the work, in which nothing is there in part."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from imagegraph.errors import ImagegraphError, InvalidInput

PARENT = Path("out")
LONGEST_NAME = 200  # bytes; file systems take 255, and a number follows
_STAGED = ".imagegraph-"

# Names the files of a folder that new results may take the place of.
Replaced = Callable[[Path], Collection[str]]


def nothing(folder: Path) -> Collection[str]:
    """Names no file: whatever is in a folder stays."""
    return ()


@contextlib.contextmanager
def new_folder(asked: Path | None, stem: str, replaced: Replaced = nothing, hint: str = "") -> Iterator[Path]:
    """Makes the folder of a run before its work, and removes it if the work fails.

    Args:
        asked: a folder that is not there yet, or holds nothing but hidden files and what is to be replaced.
            None makes one in `out`, called by `stem` and the first number that is free.
        replaced: what `fill` will replace; nothing is touched before.
        hint: how to have something replaced, said where nothing is to be.

    Raises:
        InvalidInput: there is something else in it, or it cannot be written to.
    """
    made: list[Path] = []
    try:
        try:
            made = _make(asked or PARENT)
            place = asked or _claim(PARENT / (_fitting(stem) or "run"))
            made = [place, *made] if asked is None else made
            tempfile.TemporaryDirectory(prefix=_STAGED, dir=place).cleanup()
            if taken := _taken(place, replaced(place)):
                expected = "a folder that is new or empty"
                if replaced is not nothing:
                    expected += ", or holds nothing but an earlier run's results as it wrote them"
                elif hint:
                    expected += f" ({hint} replaces an earlier run's results)"
                raise InvalidInput("out", expected, f"{place} with {taken} in it")
        except OSError as error:
            got = f"{asked or PARENT} ({error.strerror})"
            raise InvalidInput("out", "a folder that can be written to", got) from error
        yield place
    except BaseException:
        for one in made:
            with contextlib.suppress(OSError):
                one.rmdir()
        raise


def new_file(asked: Path | None, default: Path) -> Path:
    """Makes sure before the work that a file can be written and that none is overwritten.

    Args:
        default: taken with a number where it is there already; `asked` must not be there.

    Raises:
        InvalidInput: it is, or its folder cannot be written to.
    """
    numbered = (default.with_stem(f"{default.stem}-{number}") for number in itertools.count(2))
    place = asked or next(one for one in itertools.chain([default], numbered) if not one.exists())
    if place.exists():
        raise InvalidInput("out", "a file that is not there yet", str(place))
    try:
        tempfile.TemporaryDirectory(prefix=_STAGED, dir=place.parent).cleanup()
    except OSError as error:
        raise InvalidInput(
            "out", "a file in a folder that can be written to", f"{place} ({error.strerror})"
        ) from error
    return place


def write(place: Path, data: bytes) -> None:
    """Writes a file that is there whole or not at all.

    Raises:
        ImagegraphError: it cannot be written any more.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=_STAGED, dir=place.parent) as staged:
            fresh = Path(staged, place.name)
            fresh.write_bytes(data)
            fresh.replace(place)
    except OSError as error:
        raise ImagegraphError(f"cannot write {place}: {error.strerror or error}") from error


def fill(folder: Path, write: Callable[[Path], Sequence[str]], replaced: Replaced = nothing) -> list[Path]:
    """Lets `write` write to a hidden folder, then moves its files to their place, the last one last.

    Where somebody else has put something into `folder` meanwhile, they go to one beside it.

    Args:
        write: returns the names of the files that are to be returned as paths.
        replaced: names the files of `folder` that go once all new ones are written.

    Raises:
        ImagegraphError: the folder cannot be written to any more.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)  # somebody may have removed it
        with tempfile.TemporaryDirectory(prefix=_STAGED, dir=folder) as staged:
            names = write(Path(staged))
            old = set(replaced(folder))
            if _taken(folder, old):
                folder, old = _claim(folder), set()
            for path in sorted(Path(staged).iterdir(), key=lambda path: path.name == names[-1]):
                place = folder / path.name
                if place.is_dir():
                    shutil.rmtree(place)
                shutil.move(path, place)
                old.discard(path.name)
            for place in (folder / name for name in old):
                shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    except OSError as error:
        raise ImagegraphError(f"cannot write results to {folder}: {error.strerror or error}") from error
    return [folder / name for name in names]


def _make(place: Path) -> list[Path]:
    """Makes a folder and those above it; returns those that were not there, the innermost first."""
    made = [one for one in (place, *place.parents) if not one.exists()]
    place.mkdir(parents=True, exist_ok=True)
    return made


def _fitting(stem: str) -> str:
    """Returns what of a name is text, as much as a file system takes."""
    return stem.encode(errors="surrogateescape")[:LONGEST_NAME].decode(errors="ignore")


def _claim(place: Path) -> Path:
    """Makes a folder beside `place`, called like it and by the first number that is free."""
    for number in itertools.count(1):
        numbered = place.with_name(f"{place.name}-{number}")
        with contextlib.suppress(FileExistsError):
            numbered.mkdir()
            return numbered
    raise AssertionError("numbers do not end")


def _taken(place: Path, replaced: Collection[str]) -> str | None:
    """Returns the name of something in a folder that stays; hidden files are nothing."""
    names = sorted(one.name for one in place.iterdir() if not one.name.startswith("."))
    return next((name for name in names if name not in replaced), None)
