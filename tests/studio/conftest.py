"""Studios that the tests of a module share, over each kind of database."""

import secrets
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import create_engine, text

from tests.left_out import left_out_if_missing
from tests.serve.conftest import start
from tests.studio import postgres
from tests.studio.serving import Studio, running, settings

__all__ = ["start"]

# Makes the URL of a database that is new.
NewDatabase = Callable[[], str]


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL of this machine."""
    with left_out_if_missing("PostgreSQL"), postgres.running() as url:
        yield url


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest) -> NewDatabase:
    """Makes databases of one kind, then of the other; "" is SQLite in the studio's own folder."""
    if request.param == "sqlite":
        return lambda: ""
    url = request.getfixturevalue("postgres_url")
    return lambda: _make(url)


@pytest.fixture
def postgres_database(postgres_url: str) -> str:
    """A new database of PostgreSQL, for what only several servers meet."""
    return _make(postgres_url)


def _make(url: str) -> str:
    name = f"studio_{secrets.token_hex(6)}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return f"{url.rpartition('/')[0]}/{name}"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[Studio]:
    """A studio over tiny components, whose store is new."""
    folder = tmp_path_factory.mktemp("studio")
    with running(settings(folder, database=new_database())) as client:
        yield client
