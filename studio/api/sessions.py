"""A token kept by the browser, out of reach of scripts: pictures of a page cannot send a header."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field

from studio.api import shapes
from studio.api.access import COOKIE, recognise
from studio.api.context import Open

router = APIRouter(tags=["access"])

LASTS_S = 30 * 24 * 3600


class Login(shapes.Shape):
    """A token of STUDIO_TOKENS."""

    model_config = shapes.example(token="ann-secret")

    token: Annotated[shapes.Text, Field(min_length=1, max_length=1000, pattern=r"^[\x21-\x7e]+$")]


@router.post("/session", status_code=204)
def log_in(login: Login, request: Request, studio: Open) -> Response:
    """Keeps a token as a cookie that no script reads, and no page of another origin sends."""
    studio.rates.check(f"session {request.client.host if request.client else ''}")
    recognise(studio.settings, f"Bearer {login.token}")
    response = Response(status_code=204)
    secure = request.headers.get("origin", "").startswith("https:") or request.url.scheme == "https"
    about = {"httponly": True, "samesite": "strict", "path": "/api", "secure": secure, "max_age": LASTS_S}
    response.set_cookie(COOKIE, login.token, **about)  # type: ignore[arg-type]
    return response


@router.delete("/session", status_code=204)
def log_out() -> Response:
    """Forgets the token."""
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/api", httponly=True, samesite="strict")
    return response
