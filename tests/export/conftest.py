"""Exported folders, started by their own `start.sh`, beside our own server."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.export.serving import START_S, Exported, programs, request
from tests.serve.conftest import start

__all__ = ["start"]

Serve = Callable[..., Exported]


@pytest.fixture(scope="session")
def expected(start: Callable[..., Any]) -> Callable[[str], list[Any]]:
    """Returns the outputs of our own server for what a component is asked."""
    known: dict[str, list[Any]] = {}

    def answer(component: str) -> list[Any]:
        if component not in known:
            server = start("--component", component, wait=False, IMAGEGRAPH_CATALOGUE="").wait(START_S)
            answer = server.http.post("/v2/models/any/infer", json=request(component), timeout=START_S)
            known[component] = answer.json()["outputs"]
            server.process.kill()
        return known[component]

    return answer


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Exports a component and starts its server once; all are gone after the module's tests."""
    servers: dict[tuple[str, ...], Exported] = {}

    def serve(
        format: str, component: str, command: Sequence[str | Path] = (), ready: str = "/v2/health/ready"
    ) -> Exported:
        """Starts `start.sh` in the format's environment, or a command in this one."""
        key = format, component, *map(str, command)
        if key not in servers:
            folder = tmp_path_factory.mktemp(f"{format}-{component}") / "served"
            search = "" if command else str(programs(format))
            servers[key] = Exported(format, component, folder, command or ["./start.sh"], search)
            servers[key].wait(ready)
        return servers[key]

    yield serve
    for server in servers.values():
        server.end()
