"""The database: SQLite by default, PostgreSQL by URL; sessions that read and sessions that write."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Session

from imagegraph.errors import InvalidInput
from studio.problems import words_of

CONNECTIONS = 24
BUSY_S = 10.0
MIGRATIONS = Path(__file__).parent / "migrations"
_IMMEDIATE = "studio_immediate"
_MIGRATING = 7_860_001  # the advisory lock of PostgreSQL
Changes = Literal["pictures", "stars", ""]
Timed = Callable[[str], contextlib.AbstractContextManager[None]]


class Database:
    """Where rows are. One at a time writes to SQLite, so that nobody waits for a lock in vain."""

    def __init__(
        self, url: str, timed: Timed = lambda _: contextlib.nullcontext(), make: bool = True
    ) -> None:
        """Takes the URL of SQLAlchemy; the folder of an SQLite file is made.

        Args:
            timed: goes around every session, told whether it is to "read" or to "write".
            make: whether an SQLite file may be made, and its folder.

        Raises:
            InvalidInput: nothing answers there, or nothing is there and none may be made.
        """
        self._timed = timed
        self.changes: Counter[str] = Counter()  # that this process has made
        try:
            self.url = make_url(url)
            self.is_sqlite = self.url.get_backend_name() == "sqlite"
            if self.is_sqlite and self.url.database:
                file = Path(self.url.database)
                if not make and not file.exists():
                    raise InvalidInput("STUDIO_DATA", "a folder with a store in it", str(file.parent))
                file.parent.mkdir(parents=True, exist_ok=True)
            self.engine = create_engine(self.url, pool_size=CONNECTIONS, max_overflow=0, pool_pre_ping=True)
            if self.is_sqlite:
                _prepare_sqlite(self.engine)
            self.engine.connect().close()
        except (SQLAlchemyError, sqlite3.Error, ImportError, ValueError, OSError) as error:
            expected = "the URL of a database that answers"
            raise InvalidInput("STUDIO_DATABASE", expected, words_of(error)) from error
        self._writer = self.engine.execution_options(**{_IMMEDIATE: True})
        self._writing = threading.Lock() if self.is_sqlite else contextlib.nullcontext()

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """Opens a session that reads."""
        with self._timed("read"), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextlib.contextmanager
    def write(self, changes: Changes = "pictures") -> Iterator[Session]:
        """Opens a session that writes; once it is left all of it is there, or by an error nothing.

        Args:
            changes: what of pictures that are there already: anything, their stars alone, or nothing.
        """
        with (
            self._timed("write"),
            self._writing,
            Session(self._writer, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session
        if changes:
            self.changes[changes] += 1

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Opens a connection that sees everything as it is now, whatever is written meanwhile."""
        options = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    def revision(self, connection: Connection) -> str | None:
        """Returns the revision of the tables."""
        return MigrationContext.configure(connection).get_current_revision()

    def migrate(self, revision: str = "head") -> None:
        """Brings the tables to a revision, the newest by default; servers that start at once take turns."""
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with self._writer.begin() as connection:
            if not self.is_sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
            config.attributes["connection"] = connection
            command.upgrade(config, revision)

    def close(self) -> None:
        """Closes the connections."""
        self.engine.dispose()


def take_turns(session: Session, what: str) -> None:
    """Waits until nobody else changes the same, and has others wait until this transaction ends.

    Of SQLite, to which one at a time writes, nobody has to wait.
    """
    if session.get_bind().dialect.name != "sqlite":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(what, 0))))


def inserting(session: Session, table: type[DeclarativeBase]) -> Any:
    """Returns an INSERT that may say what happens where a row is there already."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    return sqlite.insert(table) if is_sqlite else postgresql.insert(table)


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we say ourselves when a transaction begins
        for line in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            f"busy_timeout={int(BUSY_S * 1000)}",
            "foreign_keys=ON",
            "mmap_size=268435456",
        ):
            connection.execute(f"PRAGMA {line}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get(_IMMEDIATE)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
