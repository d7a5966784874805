"""The built page and its files."""

from __future__ import annotations

import mimetypes
import os
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.staticfiles import NotModifiedResponse
from starlette.types import Scope

from studio.api import faults
from studio.problems import Refused

MISSING = "The page is not built: `make page` builds it. The API is here: /api/openapi.json\n"
CODINGS = (("br", ".br"), ("gzip", ".gz"))  # as the page's build leaves them beside files, the smallest first
IMMUTABLE = "public, max-age=31536000, immutable"


def mount(app: FastAPI, folder: Path) -> None:
    """Serves the page from where it is built."""
    if (folder / "assets").is_dir():
        # Their names have a hash of what is in them.
        app.mount("/assets", _Files(folder / "assets", IMMUTABLE), name="assets")
    files = _Files(folder, "no-cache")

    @app.api_route("/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(path: str, request: Request) -> Response:
        """Answers the page and its files; its own addresses are behind the #."""
        if path == "api" or path.startswith("api/"):
            if faults.methods_at(app, f"/{path}"):
                raise HTTPException(405, f"nothing is to be had at /{path[:200]}")
            raise Refused(404, f"nothing is at /{path[:200]}")
        if not path and not (folder / "index.html").is_file():
            return Response(MISSING, 404, media_type="text/plain")
        try:
            return await files.get_response(path or "index.html", request.scope)
        except HTTPException as error:
            raise Refused(404, f"nothing is at /{path[:200]}") from error


class _Files(StaticFiles):
    """Files, compressed where they are there so and who asks can read it."""

    def __init__(self, folder: Path, caching: str) -> None:
        """Takes where they are, and for how long they are true."""
        super().__init__(directory=folder, check_dir=False)
        self._caching = caching

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Answers a file, or that it is still the same; each coding is a representation with its own ETag."""
        headers = Headers(scope=scope)
        accepted = _accepted(headers.get("accept-encoding", ""))
        media_type = mimetypes.guess_type(full_path)[0]
        said = {"Cache-Control": self._caching, "Vary": "Accept-Encoding"}
        for coding, ending in CODINGS:
            compressed = f"{os.fspath(full_path)}{ending}"
            if coding in accepted and os.path.isfile(compressed):
                full_path, stat_result = compressed, os.stat(compressed)
                said["Content-Encoding"] = coding
                break
        response = FileResponse(full_path, status_code, said, media_type, stat_result=stat_result)
        return (
            NotModifiedResponse(response.headers)
            if self.is_not_modified(response.headers, headers)
            else response
        )


def _accepted(header: str) -> set[str]:
    """Returns the codings that a browser can read: those that it does not give a weight of nothing."""
    found = set()
    for one in header.lower().split(","):
        coding, _, weight = one.partition(";")
        if weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            found.add(coding.strip())
    return found
