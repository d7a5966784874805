"""Every error as problem+json."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import IntegrityError, OperationalError, TimeoutError
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from imagegraph.errors import ImagegraphError, shorten
from studio.problems import Refused, about, fault, problem

log = logging.getLogger("studio.api")

LATER_S = 2  # until what is away may be back
MEDIA_TYPE = "application/problem+json"


def install(app: FastAPI) -> None:
    """Has the application answer errors so."""
    app.add_exception_handler(ImagegraphError, _ours)
    app.add_exception_handler(RequestValidationError, _wrong)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(OperationalError, _away)
    app.add_exception_handler(TimeoutError, _away)
    app.add_exception_handler(IntegrityError, _met)
    app.add_exception_handler(StaleDataError, _met)
    app.add_exception_handler(Exception, _unforeseen)


def _answer(
    told: dict[str, Any], retry_after_s: float | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    headers = dict(headers or {})
    if retry_after_s is not None:
        headers["Retry-After"] = str(int(retry_after_s))
    if told["status"] == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(orjson.dumps(told), told["status"], headers, MEDIA_TYPE)


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, ImagegraphError)
    after_s = error.retry_after_s if isinstance(error, Refused) else None
    if error.status in (429, 503) and after_s is None:
        after_s = LATER_S
    if error.status == 500:
        log.error("%s %s: %s", request.method, request.url.path, error)
    return _answer(problem(error), after_s)


async def _wrong(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = []
    for one in error.errors():
        place = [str(part) for part in one["loc"]]
        field = ".".join(place[1:] or place)
        received = "nothing" if one["type"] == "missing" else shorten(one.get("input"))
        expected = str(one["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
        faults.append(fault(field, expected, received, f"{field}: expected {expected}, got {received}"))
    told = about(422, "; ".join(one["message"] for one in faults))
    return _answer({**told, "errors": faults})


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    cause = error.__cause__
    if isinstance(cause, ImagegraphError):  # met while the body was read
        return await _ours(request, cause)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(methods_at(request.app, request.url.path)) or "GET"
    return _answer(about(error.status_code, str(error.detail)), headers=headers)


def methods_at(app: FastAPI, path: str) -> list[str]:
    """Returns what can be done at a path: by the route that is written so, or those that may be meant."""
    known = app.openapi()["paths"]
    fitting = [path] if path in known else [one for one in known if compile_path(one)[0].match(path)]
    return sorted({method.upper() for one in fitting for method in known[one]})


async def _away(request: Request, error: Exception) -> Response:
    log.error("%s %s: the database does not answer: %s", request.method, request.url.path, error)
    return _answer(about(503, "the database does not answer at the moment"), LATER_S)


async def _met(request: Request, error: Exception) -> Response:
    log.warning("%s %s: %s", request.method, request.url.path, error)
    return _answer(about(409, "somebody changed or deleted the same at this moment; ask again"))


async def _unforeseen(request: Request, error: Exception) -> Response:
    log.error("%s %s", request.method, request.url.path, exc_info=error)
    return _answer(problem(error))
