"""The process that serves a studio."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pydantic
import uvicorn
import uvloop

from imagegraph.errors import InvalidInput
from studio import app
from studio.opening import alone
from studio.problems import expectation
from studio.settings import Settings
from studio.store import archive
from studio.store.contents import Contents
from studio.store.database import Database

GRACE_S = 5


def settings(given: Mapping[str, Any]) -> Settings:
    """Returns the settings of the environment, with what is given in place of them.

    Raises:
        InvalidInput: names the setting.
    """
    try:
        return Settings(**given)
    except pydantic.ValidationError as error:
        detail = error.errors(include_url=False)[0]
        name, *rest = map(str, detail["loc"])
        got = detail["input"] if Settings.model_fields[name].repr else "a value that may be secret"
        raise InvalidInput(".".join((f"STUDIO_{name.upper()}", *rest)), expectation(detail), got) from None


def openapi() -> str:
    """Returns the OpenAPI document; no store is opened and no model loaded."""
    return json.dumps(app.make(settings({})).openapi(), indent=2) + "\n"


def backup(given: Mapping[str, Any], path: Path) -> int:
    """Writes all that a studio remembers to a file, also while it runs; returns how many pictures.

    Raises:
        InvalidInput: there is no store, or no file can be made at the path.
    """
    with _store(settings(given), make=False) as (database, contents):
        return archive.write(database, contents, path)


def restore(given: Mapping[str, Any], path: Path) -> int:
    """Puts a backup into an empty store; returns how many pictures.

    Raises:
        InvalidInput: the store is not empty, or open, or the file is no backup.
    """
    known = settings(given)
    with _store(known) as (database, contents), contextlib.ExitStack() as stack:
        if database.is_sqlite:
            stack.enter_context(alone(Path(str(database.url.database))))
        try:
            file = stack.enter_context(path.open("rb"))
        except OSError as error:
            raise InvalidInput("file", "a backup", f"{path} ({error.strerror})") from error
        return archive.restore(database, contents, file)


@contextlib.contextmanager
def _store(known: Settings, make: bool = True) -> Iterator[tuple[Database, Contents]]:
    database = Database(known.database_url, make=make)
    try:
        yield database, Contents(database, known.storage_url)
    finally:
        database.close()


def serve(given: Mapping[str, Any]) -> None:
    """Serves until the process is told to end."""
    known = settings(given)
    known.check()
    logging.basicConfig(
        format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING, stream=sys.stderr
    )
    listening = _listen(known)
    application = app.make(known)
    server = _Announcing(configured(application), known, listening)
    try:
        uvloop.run(server.serve([listening]))
    except SystemExit:
        if failure := getattr(application.state, "failure", None):
            raise failure from None
        raise


def configured(application: Any) -> uvicorn.Config:
    """Returns how the application is served."""
    return uvicorn.Config(
        application,
        log_level="critical",  # whatever fails is told by the studio itself
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        proxy_headers=False,  # who is behind a proxy only its own header says, see `access`
    )


class _Announcing(uvicorn.Server):
    """Says in a line when it is there."""

    def __init__(self, config: uvicorn.Config, known: Settings, listening: socket.socket) -> None:
        super().__init__(config)
        self._known = known
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            host = f"[{self._known.host}]" if ":" in self._known.host else self._known.host
            port = self._listening.getsockname()[1]
            print(f"studio: http://{host}:{port} (store: {self._known.data})", flush=True)


def _listen(known: Settings) -> socket.socket:
    """Binds before anything is loaded.

    Raises:
        InvalidInput: the address is taken, or none of this machine.
    """
    try:
        family = socket.AF_INET6 if ":" in known.host else socket.AF_INET
        return socket.create_server((known.host.strip("[]"), known.port), family=family, backlog=2048)
    except OSError as error:
        got = f"{known.host}:{known.port} ({error.strerror})"
        raise InvalidInput("STUDIO_PORT", "an address that is free", got) from error
