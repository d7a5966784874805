"""The table of a batch: a row for each picture of folders and patterns, or for each line of a table."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imagegraph import table_lines
from imagegraph.errors import InvalidInput, UnknownName
from imagegraph.image import Image
from imagegraph.ports import Port

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
TABLES = (".csv", ".jsonl")
LONGEST_NAME = 150  # bytes; file systems take 255, and a grid adds to it
NAME, BUNDLE = "name", "bundle"  # columns that are no inputs


@dataclass(frozen=True)
class Row:
    """What is asked of the graph once.

    Attributes:
        name: of its results, no two alike.
        values: by input; a picture is the path of its file until its turn comes.
        bundle: of the weights, where the table says so.
        cell: of a grid, which values the row has by parameter, as its sheet says them.
        photo: of a grid, the name of the row that it was made of.
    """

    name: str
    values: Mapping[str, Any]
    bundle: str | None = None
    cell: Mapping[str, str] = field(default_factory=dict)
    photo: str = ""


class Wordless(str):
    """The name of a picture's file that says nothing to draw: no value, as its row will say."""


def read(sources: Sequence[str], ports: Mapping[str, Port], recursive: bool = False) -> list[Row]:
    """Returns the rows that files, folders, patterns of names and tables make, in the order given.

    Args:
        ports: of all that the graph takes.
        recursive: whether folders within folders count.

    Raises:
        InvalidInput: there is nothing, or two rows would get one name, or a table cannot be read.
        UnknownName: a column of a table is no input.
    """
    rows: list[Row] = []
    for source in sources:
        if source.lower().endswith(TABLES):
            rows += _of_table(Path(source), ports)
        else:
            port = picture_port(ports)
            rows += [Row(name, {port: path}) for name, path in _pictures(source, port, recursive)]
    taken: dict[str, Row] = {}
    for row in rows:
        # Some file systems know no capital letters.
        other = taken.setdefault(row.name.casefold(), row)
        if other is not row:
            both = " and ".join(_said(one) for one in (other, row))
            expected = "rows whose results have names of their own (a table has a column 'name' for that)"
            raise InvalidInput("inputs", expected, f"{both}, both '{row.name}'")
    return rows


def load(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of a row with its pictures read and looked at.

    Raises:
        InvalidInput: there is no such file, or no picture in it, or nothing to draw in its name.
    """

    def item(port: str, value: Any) -> Any:
        if isinstance(value, Wordless):
            raise InvalidInput(port, "a file whose name says in words what to draw", str(value))
        return _picture(port, value) if isinstance(value, Path) else value

    return {
        port: [item(port, one) for one in value] if isinstance(value, list) else item(port, value)
        for port, value in values.items()
    }


def with_prompts(rows: Iterable[Row], ports: Mapping[str, Port]) -> list[Row]:
    """Returns the rows with the names of their pictures' files for prompts, where the table says none.

    Underscores become spaces.

    Raises:
        UnknownName: the graph takes no prompt.
    """
    if "prompt" not in ports:
        raise UnknownName("input", "prompt", ports)

    def prompt(row: Row) -> str:
        path = next((one for one in row.values.values() if isinstance(one, Path)), Path(row.name))
        return " ".join(path.stem.replace("_", " ").split()) or Wordless(path.name)

    return [replace(row, values={"prompt": prompt(row), **row.values}) for row in rows]


def picture_port(ports: Mapping[str, Port]) -> str:
    """Returns the input that the pictures of a folder are for: the required one, else the first.

    Raises:
        InvalidInput: the graph takes none, or needs several.
    """
    single = {name: port for name, port in ports.items() if port.kind is Image}
    needed = [name for name, port in single.items() if port.required]
    if not single or len(needed) > 1:
        got = f"a graph that takes {', '.join(needed or ports)}"
        raise InvalidInput("inputs", "a table (.csv or .jsonl) with a column for each input", got)
    return needed[0] if needed else "image" if "image" in single else next(iter(single))


def value_of(port: Port, text: Any, folder: Path) -> Any:
    """Returns a value as a table or a list has it, as the graph takes it; what is wrong stays as it is.

    Args:
        folder: that paths of pictures are relative to.
    """
    items = text
    if port.is_list and isinstance(text, str):
        items = [one.strip() for one in text.split(",")]
    if port.holds_images:
        return [folder / one for one in items] if port.is_list else folder / str(items)
    try:
        return port.plain(port.read(items))
    except InvalidInput:
        return items  # said when its turn comes, and listed


def _said(row: Row) -> str:
    return str(next((one for one in row.values.values() if isinstance(one, Path)), f"row '{row.name}'"))


def _picture(port: str, path: Path) -> Image:
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InvalidInput(port, "a file with a picture", f"{path} ({why})") from error
    looked_at = Image(data)
    try:
        looked_at.check(port)
        looked_at.own()
    except InvalidInput as error:
        raise type(error)(f"{port}, {path}", error.expected, error.got) from error
    return Image(data)


def _pictures(source: str, port: str, recursive: bool) -> Iterator[tuple[str, Path]]:
    """Yields name and path of each picture that a source means.

    Raises:
        InvalidInput: there is none.
    """
    place = Path(source).expanduser()
    if place.is_dir():
        base, found = place, [str(one) for one in (place.rglob("*") if recursive else place.iterdir())]
    elif glob.has_magic(source) and not place.exists():
        base = place
        while glob.has_magic(str(base)):
            base = base.parent
        found = glob.glob(str(place), recursive=True)
    elif place.is_file():
        yield _fitting(place.stem), place
        return
    else:
        expected = "a folder, a pattern of names, a picture, or a table (.csv or .jsonl)"
        raise InvalidInput("inputs", expected, f"{source}, which is not there")
    paths = [Path(one) for one in found if one.lower().endswith(ENDINGS)]
    shown = [one for one in paths if not any(part.startswith(".") for part in one.relative_to(base).parts)]
    files = sorted(one for one in shown if one.is_file())
    if not files:
        is_folder = place.is_dir()
        what = "a folder with" if is_folder else "a pattern that fits"
        hint = "; --recursive looks into its folders, too" if is_folder and not recursive else ""
        got = f"{source}, {'a folder without any' if is_folder else 'which fits none'}"
        raise InvalidInput(port, f"{what} pictures ({' '.join(ENDINGS)}){hint}", got)
    for path in files:
        yield _fitting("--".join(path.relative_to(base).with_suffix("").parts)), path


def _of_table(path: Path, ports: Mapping[str, Port]) -> Iterator[Row]:
    """Yields the rows of a CSV with a head, or of a JSONL; a row without a name has its number.

    Raises:
        InvalidInput: the file cannot be read, or a line of it; or there is no row.
        UnknownName: a column is no input.
    """
    known = {*ports, NAME, BUNDLE}
    number = 0
    for number, (_, given) in enumerate(table_lines.read(path, "inputs"), 1):
        for column in given:
            if column not in known:
                raise UnknownName("column", column, known)
        values = {
            name: value_of(ports[name], value, path.parent)
            for name, value in given.items()
            if name in ports and name != NAME and value not in ("", None)
        }
        picture = next((one for one in values.values() if isinstance(one, Path)), None)
        name = str(given.get(NAME) or "-".join([f"{number:04}", *([picture.stem] if picture else [])]))
        yield Row(_fitting(name.replace("/", "--")), values, given.get(BUNDLE) or None)
    if not number:
        raise InvalidInput("inputs", "a table with rows", f"{path} without any")


def _fitting(name: str) -> str:
    """Returns a name that a file can have: of one that is too long its beginning and a hash."""
    data = name.encode(errors="surrogateescape")
    cut = data[: LONGEST_NAME - 9] if len(data) > LONGEST_NAME else data
    text = cut.decode(errors="ignore").lstrip(".") or "row"
    return f"{text}-{hashlib.sha256(data).hexdigest()[:8]}" if len(data) > LONGEST_NAME else text
