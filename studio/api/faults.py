"""Every error as problem+json."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import IntegrityError, OperationalError, TimeoutError
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from imagegraph.errors import ImagegraphError, InvalidInput, shorten
from studio.problems import Refused, about, expectation, fault, problem

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
        field, expected = _field(one, error.body), expectation(one)
        received = "nothing" if one["type"] == "missing" else shorten(_received(one))
        faults.append(fault(field, expected, received, f"{field}: expected {expected}, got {received}"))
    told = about(422, "; ".join(one["message"] for one in faults))
    return _answer({**told, "errors": faults})


def _field(detail: Mapping[str, Any], body: Any) -> str:
    """Returns where something is wrong, without pydantic's own steps, such as the arm of a union."""
    kind, *steps = detail["loc"]
    if detail["type"] == "json_invalid" or not steps:
        return str(kind)
    if kind == "body" and isinstance(body, dict | list):
        steps = list(_steps(steps, body, detail["type"] == "missing"))
    return ".".join(map(str, steps))


def _steps(steps: Sequence[str | int], value: Any, is_missing: bool) -> Iterator[str | int]:
    for step in steps:
        if isinstance(value, dict) and (step in value or is_missing):
            value = value.get(step)
            yield step
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step]
            yield step


def _received(detail: Mapping[str, Any]) -> Any:
    return detail["ctx"]["error"] if detail["type"] == "json_invalid" else detail.get("input")


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    cause = error.__cause__
    if isinstance(cause, ImagegraphError):  # met while the body was read
        return await _ours(request, cause)
    if isinstance(cause, ValueError | RecursionError):  # likewise
        return await _ours(request, InvalidInput("body", "JSON", str(cause)))
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
