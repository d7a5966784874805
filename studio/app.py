"""The FastAPI application: routers, page, lifespan."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware

from imagegraph import __version__
from studio.api import (
    boards,
    comparisons,
    exports,
    faults,
    files,
    graphs,
    jobs,
    metrics,
    page,
    photo_api,
    pictures,
    ratings,
    sessions,
    shapes,
    system,
)
from studio.api.guard import Guard
from studio.metrics import Metrics
from studio.opening import opened
from studio.settings import Settings

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": words,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, words in {
        400: "The request is wrong", 401: "Say who you are", 403: "Not allowed", 404: "Not found",
        409: "Conflict", 413: "Too large", 415: "Not understood", 421: "Asked by a name that is not ours",
        422: "The request is wrong", 429: "Too many requests; Retry-After says when",
        503: "Not now; Retry-After says when", 504: "Out of time",
    }.items()
}  # fmt: skip


def make(settings: Settings | None = None) -> FastAPI:
    """Makes the application; the store opens when it starts."""
    settings = settings or Settings()
    counted = Metrics()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with opened(settings, counted) as studio:
                app.state.studio = studio
                yield
        except Exception as error:
            app.state.failure = error  # for who started the server, which tells of it by itself
            raise

    app = FastAPI(
        title="imagegraph studio",
        summary="Runs graphs of image models, and remembers every result and every judgement.",
        version=__version__,
        lifespan=lifespan,
        openapi_url="/api/openapi.json",
        docs_url=None,  # it would load a script of strangers
        redoc_url=None,
    )
    faults.install(app)
    api = APIRouter(prefix="/api", responses=_PROBLEMS)
    about_pictures = pictures, files, ratings, boards
    for one in (graphs, jobs, *about_pictures, comparisons, exports, sessions, system, photo_api):
        api.include_router(one.router)
    app.include_router(api)
    app.include_router(metrics.router)
    page.mount(app, settings.page)
    app.add_middleware(Guard, settings=settings, metrics=counted)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["*"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
            expose_headers=["Retry-After", "Location"],
        )
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        document["components"]["schemas"].setdefault(
            "Problem",
            shapes.Problem.model_json_schema(ref_template="#/components/schemas/{model}"),
        )
        document["components"]["schemas"]["Problem"].pop("$defs", None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    return app
