"""Components that are exported to other frameworks, started there by the `start.sh` of their folders."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import environments
import orjson
import pybase64
from free_ports import free_ports
from generator import ask
from servers import HERE, Server
from ways import Way, binary_request, check, grpc_request, grpc_way, http_way

from imagegraph.export import folder, formats
from imagegraph.spec.catalogue import Catalogue

ADDED = HERE / "frameworks.yaml"
BUNDLE = "pocket"
PORTS = 5  # TorchServe listens at five
GRPC = frozenset({"triton"})  # formats that speak V2 over gRPC


@dataclass(frozen=True)
class Started:
    """A server of an exported folder, and the ways to ask it."""

    server: Server
    ways: list[Way]


def start(stack: ExitStack, format: str, name: str, title: str, expected: bytes) -> Started:
    """Exports a component or graph, starts its server and waits until it answers what is expected.

    It is asked what `request.json` asks, and also by V2's binary extension where it understands that.
    """
    exported, recipe = formats.recipe_of(format, name, BUNDLE, "cpu", Catalogue.read([ADDED]))
    where = Path(stack.enter_context(tempfile.TemporaryDirectory()), "served")
    where.mkdir()
    folder.write(where, format, exported, recipe)
    port = free_ports(PORTS)
    programs = environments.of_framework(format)
    variables = {
        "PATH": f"{programs.parent}{os.pathsep}{os.environ['PATH']}",
        "PORT": str(port),
        "IMAGEGRAPH_CATALOGUE": str(ADDED),
    }
    server = stack.enter_context(Server([where / folder.START], variables))
    path, headers = _asked(recipe.ask)
    ways = [http_way(f"{title}, JSON", server, port, recipe.request, headers, path)]
    check(ways[0], expected)
    picture, shape = _tensor(recipe.request)
    if picture:
        body, more = binary_request(picture, shape)
        binary = http_way(f"{title}, binary", server, port, body, more, path)
        with suppress(OSError):  # who does not understand it
            if expected in ask(binary.load(1, 1)):
                ways.append(binary)
        if format in GRPC:
            message = grpc_request(picture, name, shape)
            ways.append(grpc_way(f"{title}, gRPC", server, port + 1, message, expected))
    return Started(server, ways)


def _asked(command: str) -> tuple[str, Mapping[str, str]]:
    """Returns where the README's `curl` sends the request, and with which headers."""
    (path,) = re.findall(r"localhost:8080(/\S*)", command)
    headers = dict(re.findall(r"-H '([^:']+): ([^']+)'", command))
    return path, {"Content-Type": "application/json", **headers}


def _tensor(request: bytes) -> tuple[bytes, list[int]]:
    """Returns the picture of a V2 request with one input, and its shape; nothing of another protocol's."""
    document = orjson.loads(request)
    if not isinstance(document, dict) or "inputs" not in document or "datatype" not in str(request):
        return b"", []
    (tensor,) = document["inputs"]
    return pybase64.b64decode(tensor["data"][0]), tensor["shape"]
