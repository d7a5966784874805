"""One file with all that a studio remembers: made while it runs, put back into an empty store of any kind."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from tarfile import TarError
from typing import IO, Annotated, Any

from alembic.util import CommandError
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from sqlalchemy import Column, Connection, String, Table, func, insert, inspect, select, text
from sqlalchemy.exc import DataError, IntegrityError
from typing_extensions import TypedDict

from imagegraph.errors import InvalidInput
from studio.problems import words_of
from studio.store import search
from studio.store.contents import Contents
from studio.store.database import Database, take_turns
from studio.store.models import Content, Hex, Picture
from studio.store.models import Table as Model

FORMAT = 1
ROWS = 1000  # put back at once
LAST = 253_402_300_800.0  # the end of the year 9999: behind it are no times
# What readers raise of a file that no studio wrote, or that was cut.
_WRONG = (TarError, CommandError, DataError, IntegrityError, KeyError, ValueError)
_TABLES = Model.metadata.sorted_tables  # what others refer to comes first


def backup(database: Database, contents: Contents, file: IO[bytes]) -> int:
    """Writes all rows as they are at this moment, and the bytes that they mention; returns how many pictures.

    Thumbnails are made anew, and leases end with their servers.

    Raises:
        InvalidInput: there is no store.
    """
    with tarfile.open(fileobj=file, mode="w|") as archive, database.snapshot() as connection:
        if (revision := database.revision(connection)) is None:
            raise InvalidInput("STUDIO_DATABASE", "one with a store in it", "one without tables")
        about = {"format": FORMAT, "revision": revision}
        _add(archive, "studio.json", json.dumps(about).encode())
        for table in _TABLES:
            rows = b"".join(_line(row) for row in connection.execute(select(table)).mappings())
            _add(archive, f"rows/{table.name}.jsonl", rows)
        hashes = list(connection.scalars(select(Content.hash)))
        for hash in hashes:
            try:
                _add(archive, f"contents/{hash}", contents.read(hash))
            except FileNotFoundError:
                continue  # nothing has had it any more
        count = connection.scalar(select(func.count()).select_from(Picture.__table__))
    return count or 0


def restore(database: Database, contents: Contents, file: IO[bytes]) -> int:
    """Puts all of an archive into an empty store; returns how many pictures.

    Raises:
        InvalidInput: there is something in the store, or it is no archive, or one that no studio wrote.
    """
    with _told():
        return _restore(database, contents, file)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Has one error tell of whatever is wrong with a file, where its rows do not fit together, too."""
    try:
        yield
    except _WRONG as error:
        expected = "an archive of `imagegraph studio backup`, whole and as it was written"
        raise InvalidInput("file", expected, words_of(error)) from error


def _restore(database: Database, contents: Contents, file: IO[bytes]) -> int:
    archive = tarfile.open(fileobj=file, mode="r|")  # noqa: SIM115
    first = archive.next()
    about = json.loads(_read(archive, first)) if first and first.name == "studio.json" else None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise InvalidInput("file", f"an archive of `imagegraph studio backup`, format {FORMAT}", about)
    database.migrate(str(about["revision"]))
    with database.write() as session:
        take_turns(session, "restore")
        connection = session.connection()
        if connection.scalar(select(func.count()).select_from(Picture.__table__)):
            raise InvalidInput("data", "an empty store", "one with pictures in it")
        tables = {table.name: table for table in _TABLES}
        for member in archive:
            kind, _, name = member.name.partition("/")
            if kind == "rows" and name.removesuffix(".jsonl") in tables:
                _put(connection, tables[name.removesuffix(".jsonl")], _read(archive, member))
            elif kind == "contents":
                contents.put(name, _read(archive, member))
        # Two empty blocks end it, of which one was read: without them it was cut between two members.
        if not archive.fileobj or not archive.fileobj.read(1):
            raise TarError("unexpected end of data")
        _count_on(connection, database)
        pictures = list(session.scalars(select(Picture)))
        for one in pictures:
            search.index(session, one.number, search.words_of(one.prompt, one.note, one.graph, one.prior))
    database.migrate()
    return len(pictures)


def _line(row: Any) -> bytes:
    def plain(value: Any) -> Any:
        return {"base64": base64.b64encode(value).decode()}

    return json.dumps(dict(row), default=plain, ensure_ascii=False).encode() + b"\n"


def _put(connection: Connection, table: Table, data: bytes) -> None:
    """Puts the rows of a table back, if each is what a studio could have written.

    Raises:
        InvalidInput: says which is not.
    """
    shape = _shape(table)
    rows = []
    for number, line in enumerate(data.splitlines(), 1):
        try:
            row = shape.validate_json(line)
        except ValidationError as error:
            detail = error.errors(include_url=False)[0]
            place = ".".join(map(str, (table.name, number, *detail["loc"])))
            expected = f"rows of a studio, {place}: {detail['msg']}"
            raise InvalidInput("file", expected, detail["input"]) from None
        if "leased_until" in row:
            row |= {"server": None, "leased_until": 0.0 if row["state"] == "running" else None}
        rows.append(row)
    for start in range(0, len(rows), ROWS):
        connection.execute(insert(table), rows[start : start + ROWS])


def _shape(table: Table) -> TypeAdapter[Any]:
    """Returns what reads a row of a table, by the types of its columns."""
    row = TypedDict(table.name, {one.name: _type(one) for one in table.columns})  # type: ignore[misc]
    row.__pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)  # type: ignore[attr-defined]
    return TypeAdapter(row)


def _type(column: Column[Any]) -> Any:
    """Returns the type of a column's values, for pydantic."""
    kind: Any = column.type.python_type
    if isinstance(column.type, Hex):
        kind = Annotated[str, Field(pattern=f"^[0-9a-f]{{{column.type.length}}}$")]
    elif isinstance(column.type, String) and column.type.length:
        kind = Annotated[str, Field(max_length=column.type.length)]
    elif kind is str:
        kind = Annotated[str, Field(pattern="^[^\\x00]*$")]  # PostgreSQL takes no zero characters
    elif kind is int:
        kind = Annotated[int, Field(ge=-(2**63), lt=2**63)]
    elif kind is float:
        kind = Annotated[float, Field(ge=0, lt=LAST)]
    elif kind is bytes:
        kind = Annotated[bytes, BeforeValidator(_from_base64)]
    kind = column.info.get("is", kind)
    return kind | None if column.nullable else kind


def _from_base64(value: Any) -> bytes:
    """Reads bytes as `_line` writes them.

    Raises:
        ValueError: they are none.
    """
    if not isinstance(value, dict) or not isinstance(text := value.get("base64"), str):
        raise ValueError("expected base64")
    return base64.b64decode(text, validate=True)


def _count_on(connection: Connection, database: Database) -> None:
    """Has PostgreSQL number new rows behind those that came with their numbers."""
    if database.is_sqlite:
        return
    for table in _TABLES:
        for column in inspect(table).primary_key:
            if column.autoincrement is True:
                last = connection.scalar(select(func.max(column)))
                sequence = text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)")
                if last:
                    connection.execute(sequence, {"table": table.name, "column": column.name, "last": last})


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    about = tarfile.TarInfo(name)
    about.size = len(data)
    archive.addfile(about, io.BytesIO(data))


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo | None) -> bytes:
    file = archive.extractfile(member) if member else None
    return file.read() if file else b""


def write(database: Database, contents: Contents, path: Path) -> int:
    """Makes an archive at a path where nothing is; it is there whole or not at all.

    Raises:
        InvalidInput: something is there, no file can be made there, or there is no store.
    """
    if path.exists():
        raise InvalidInput("file", "a path where nothing is", str(path))
    part = path.with_name(f".{path.name}.part")
    try:
        file = part.open("wb")
    except OSError as error:
        expected = "a path at which a file can be made"
        raise InvalidInput("file", expected, f"{path} ({error.strerror})") from error
    try:
        with file:
            count = backup(database, contents, file)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return count
