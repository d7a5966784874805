"""Answers that are whole files before anybody reads them: who reads slowly holds no more than the file."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send


class Spooled(FileResponse):
    """A temporary file, which goes once it is read or nobody reads it any more."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            Path(self.path).unlink()


@contextlib.contextmanager
def spooled(name: str, media_type: str) -> Iterator[Spooled]:
    """Yields an answer whose file is to be written; by an error there is none.

    Args:
        name: under which it is kept.
    """
    with tempfile.NamedTemporaryFile(suffix=Path(name).suffix, delete=False) as file:
        path = Path(file.name)
    try:
        yield Spooled(path, media_type=media_type, headers=as_attachment(name))
    except BaseException:
        path.unlink()
        raise


def as_attachment(name: str) -> dict[str, str]:
    """Returns the headers of what is to be kept under a name."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}
