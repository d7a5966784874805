"""`serve`: a component, a graph or a manifest as a process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from imagegraph.cli.options import (
    Added,
    Bundle,
    Device,
    complete_component,
    complete_graph,
    deployment,
)
from imagegraph.errors import InvalidInput
from imagegraph.observe import logs
from imagegraph.observe.logs import LogFormat, LogLevel
from imagegraph.spec.catalogue import DEFAULT_BUNDLE, Catalogue
from imagegraph.spec.graph import NodeType


def serve(
    component: Annotated[
        str | None, typer.Option(help="Serve one component", autocompletion=complete_component)
    ] = None,
    graph_name: Annotated[
        str | None,
        typer.Option(
            "--graph",
            envvar="IMAGEGRAPH_SERVE_GRAPH",
            help="Serve a whole graph",
            autocompletion=complete_graph,
        ),
    ] = None,
    manifest: Annotated[Path | None, typer.Option(help="Serve the graphs of a SeldonDeployment")] = None,
    bundle: Bundle = None,
    catalogue: Added = None,
    name: Annotated[str | None, typer.Option(help="By default the component's or the graph's")] = None,
    type_: Annotated[
        NodeType,
        typer.Option("--type", envvar="IMAGEGRAPH_SERVE_TYPE", help="Type of the node in its graph"),
    ] = NodeType.MODEL,
    host: Annotated[str | None, typer.Option(help="Listen there alone, not at all addresses")] = None,
    predictor: Annotated[str, typer.Option(help="Version that a component is of")] = "default",
    release: Annotated[str, typer.Option(help="Label of all metrics")] = "",
    namespace: Annotated[str, typer.Option(help="Label of all metrics")] = "",
    metrics_file: Annotated[
        Path | None, typer.Option(help="Show the metrics of this Prometheus text file, too")
    ] = None,
    device: Device = "auto",
    http_port: Annotated[int, typer.Option(envvar=["IMAGEGRAPH_SERVE_HTTP_PORT", "AIP_HTTP_PORT"])] = 8080,
    grpc_port: Annotated[int, typer.Option(help="0 serves no gRPC")] = 8081,
    max_queue: Annotated[int, typer.Option(min=1, help="Most requests that wait")] = 128,
    max_body_mib: Annotated[
        int | None,
        typer.Option(min=1, help="Largest request, MiB; else 64, of an OUTPUT_TRANSFORMER 1024"),
    ] = None,
    watchdog: Annotated[
        float | None,
        typer.Option(min=0.1, help="Longest without a sign of life of a component, s; else the catalogue's"),
    ] = None,
    cache_mib: Annotated[int, typer.Option(min=0, help="Memory for results; 0 keeps none")] = 0,
    cache_redis: Annotated[
        str | None, typer.Option(help="URL of a Redis that keeps them for all pods")
    ] = None,
    cache_lifetime: Annotated[float, typer.Option(min=1, help="Longest they are kept there, s")] = 3600.0,
    wait: Annotated[float, typer.Option(min=0, help="Wait so long for the pods of a manifest, s")] = 0.0,
    timeout: Annotated[float, typer.Option(min=0.001, help="Longest a request may take, s")] = 600.0,
    cors_origin: Annotated[
        list[str] | None, typer.Option(help="Let pages of this origin ask; can be given several times")
    ] = None,
    drain_delay: Annotated[float, typer.Option(min=0, help="Go on so long after SIGTERM, s")] = 0.0,
    grace: Annotated[float, typer.Option(min=0, help="Then finish within, s")] = 20.0,
    log_level: LogLevel = LogLevel.INFO,
    log_format: Annotated[
        LogFormat, typer.Option(help="auto: text on a terminal, else JSON")
    ] = LogFormat.AUTO,
) -> None:
    """Serve a component, a graph, or the predictors of a manifest over V2 REST and gRPC."""
    # gRPC reads this when it is imported. Its newer listener hands every message from thread to thread,
    # which takes a fifth of the time of a small request.
    os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")

    from prometheus_client import REGISTRY

    from imagegraph.calls.over_grpc import GrpcCall
    from imagegraph.calls.over_http import HttpCall
    from imagegraph.observe.metrics import Metrics
    from imagegraph.observe.request_log import Journal
    from imagegraph.observe.tracing import Tracing
    from imagegraph.serve.build import Assembly, Settings
    from imagegraph.serve.http_v2 import Limits, Vertex
    from imagegraph.serve.process import Options, serve
    from imagegraph.spec.bucket import bring

    logs.configure(log_level, log_format)
    if sum(one is not None for one in (component, graph_name, manifest)) != 1:
        given = {"component": component, "graph": graph_name, "manifest": manifest}
        raise InvalidInput("component", "one of --component, --graph and --manifest", given)
    if artifacts := os.environ.get("AIP_STORAGE_URI"):
        bring(artifacts)
    known = Catalogue.read(catalogue or [])
    cache = (cache_mib * 2**20, cache_redis, cache_lifetime)
    settings = Settings(device, max_queue, watchdog, *cache, wait)
    rendered = deployment(str(graph_name), bundle, manifest, known) if component is None else None
    served_name = name or (rendered.metadata.name if rendered else str(component))
    role: Literal["engine", "node"] = "engine" if rendered else "node"
    metrics = Metrics(served_name, REGISTRY, role=role, release=release, namespace=namespace)
    if metrics_file:
        metrics.show(metrics_file)
    journal = Journal(metrics, Tracing.from_environment(f"imagegraph-{served_name}"))
    assembly = Assembly(known, settings, journal)
    if rendered:
        served = assembly.graph(rendered, {"REST": HttpCall, "GRPC": GrpcCall})
    else:
        served = assembly.node(str(component), bundle or DEFAULT_BUNDLE, served_name, type_, predictor)
    vertex = None
    if "AIP_PREDICT_ROUTE" in os.environ:
        vertex = Vertex(os.environ["AIP_HEALTH_ROUTE"], os.environ["AIP_PREDICT_ROUTE"])
    # What other nodes have drawn is larger than any photo, and would be refused after all the work.
    body_mib = max_body_mib or (1024 if type_ is NodeType.OUTPUT_TRANSFORMER else 64)
    options = Options(
        host=host,
        http_port=http_port,
        grpc_port=grpc_port or None,
        drain_delay_s=drain_delay,
        grace_s=grace,
        limits=Limits(body_bytes=body_mib * 2**20, timeout_s=timeout, instances=max_queue),
        cors_origins=tuple(cors_origin or ()),
        vertex=vertex,
    )
    serve(served, options)
