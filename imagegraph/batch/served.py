"""A server that answers the rows of a batch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import aiohttp
import numpy as np
import orjson

from imagegraph.batch.engines import Engine, Outcome, Platform
from imagegraph.batch.models import Model
from imagegraph.batch.table import Row
from imagegraph.client import AsyncClient
from imagegraph.engine.background import background
from imagegraph.errors import InvalidInput, UnknownName
from imagegraph.image import Image
from imagegraph.message import DATATYPES
from imagegraph.ports import Array, Port
from imagegraph.run.provenance import ServedRecord, SourceFile
from imagegraph.run.save import Results
from imagegraph.spec.interface import Interface

_KINDS: dict[tuple[str, str | None], Any] = {
    ("BYTES", "image/*"): Image,
    ("BYTES", "application/json"): dict[str, Any],
    ("BYTES", None): str,
    ("INT64", None): int,
    ("FP64", None): float,
    ("BOOL", None): bool,
}


class ServedPlatform(Platform):
    """A server; what it computes with is its own choice."""

    def __init__(self, url: str, graph: str, timeout_s: float | None = None) -> None:
        """Asks what the graph takes; limits are the server's to check.

        Raises:
            InvalidInput: it is no URL.
            ImagegraphError: nothing answers there, or it has no such graph.
        """
        if not url.startswith(("http://", "https://")):
            raise InvalidInput("url", "http://… or https://…", url)
        told = background.run(_metadata(url, graph))
        self._url = url
        self._graph = graph
        self._timeout_s = timeout_s
        self._version = str(told.get("versions", [""])[0])
        brought = [one for one in told["outputs"] if one["parameters"].get("prior")]
        priors = {port.name: replace(port, required=False) for port in map(_port, brought) if port}
        inputs = {port.name: port for port in map(_port, told["inputs"]) if port}
        self.interface = Interface(
            {**inputs, **{name: priors[name] for name in priors if name not in inputs}}, {}
        )

    def choose(self, row: Row) -> Model:
        """Returns the server's graph, whatever it runs.

        Raises:
            InvalidInput: the table asks for a bundle.
        """
        if row.bundle is not None:
            raise InvalidInput("bundle", "none beside a URL: the server has chosen", row.bundle)
        return Model(self._graph)

    def facts(self, model: Model) -> dict[str, Any]:
        """Returns the version that the server names."""
        return {"served": self._version}

    def open(self, model: Model) -> Engine:
        """Makes connections."""
        return Served(self._url, self._graph, self._version, self._timeout_s, self.interface)


class Served(Engine):
    """A server, asked over pooled connections."""

    def __init__(
        self, url: str, graph: str, version: str, timeout_s: float | None, interface: Interface
    ) -> None:
        """Takes the server's URL, the name of its graph, and what it said of its version and inputs."""
        self._client = AsyncClient(url)
        self._graph = graph
        self._version = version
        self._timeout_s = timeout_s
        self._ports = interface.inputs

    async def ready(self) -> None:
        """Opens the connections."""
        await self._client.__aenter__()

    async def answer(self, values: Mapping[str, Any]) -> Outcome:
        """Asks the server."""
        began = time.monotonic()
        pictures = {name for name, value in values.items() if _holds_pictures(value)}
        parameters = {name: value for name, value in values.items() if name not in pictures}
        arrays = {
            name: port.read(values[name])
            for name, port in self._ports.items()
            if name in values and _is_array(port)
        }
        values = {**values, **arrays}
        answer = await self._client.infer(self._graph, timeout_s=self._timeout_s, **values)

        def record(sources: Mapping[str, tuple[SourceFile, ...]]) -> ServedRecord:
            return ServedRecord(
                name=self._graph, served=self._version, parameters=parameters, sources=sources, picture=0
            )

        columns = answer.facts.columns
        results = Results(self._graph, values, parameters, answer, columns, None, record=record, sheet=False)
        cached = [one for one in str(answer.parameters.get("cache_hits", "")).split(",") if one]
        seconds = answer.timings or {self._graph: time.monotonic() - began}
        return Outcome(results, seconds, cached=cached, here=False)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.__aexit__(None, None, None)


async def _metadata(url: str, graph: str) -> dict[str, Any]:
    async with AsyncClient(url) as client:
        told = await client.metadata(graph)
    served = await _names(url)
    if served and graph not in served:  # ours answer by any name, with the one graph that they have
        raise UnknownName(f"graph of {url}", graph, served)
    return told


async def _names(url: str) -> list[str]:
    """Returns the names of all that a server has; none where it does not tell, as behind Seldon or KServe."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url.rstrip('/')}/v2/models") as answer:
            told = orjson.loads(await answer.read()) if answer.status == 200 else {}
    except (aiohttp.ClientError, ValueError):
        return []
    names = told.get("models") if isinstance(told, dict) else None
    return [one for one in names if isinstance(one, str)] if isinstance(names, list) else []


def _port(tensor: Mapping[str, Any]) -> Port | None:
    """Returns the port that a tensor of V2 metadata is; none of what no table holds."""
    facts, shape = tensor["parameters"], tuple(tensor["shape"])
    kind = _KINDS.get((tensor["datatype"], facts.get("content_type")))
    if tensor["datatype"] in DATATYPES and (
        kind is None or len(shape) > 1 or "dtype" in facts.get("schema", {})
    ):
        kind = Annotated[np.ndarray, Array(DATATYPES[tensor["datatype"]].name, shape)]
    elif kind is None or len(shape) > 1:
        return None
    elif shape != (1,) and kind is not dict[str, Any]:
        kind = list[kind]  # type: ignore[valid-type]
    return Port(tensor["name"], kind, bool(facts.get("required")), facts.get("default"))


def _is_array(port: Port) -> bool:
    return port.kind is np.ndarray


def _holds_pictures(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return bool(items) and all(isinstance(one, Image) for one in items)
