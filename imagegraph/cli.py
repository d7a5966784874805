"""Runs and serves graphs of image models (see `list`)."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from imagegraph import canary, destination, documents, generated, graph, logs, provenance, results
from imagegraph.catalogue import ROOT, Catalogue
from imagegraph.embedded import Embedded
from imagegraph.engine import Context
from imagegraph.errors import ImagegraphError, InvalidInput, UnknownName
from imagegraph.graph import Input, NodeType
from imagegraph.image import Image
from imagegraph.logs import LogFormat, LogLevel
from imagegraph.manifest import SeldonDeployment
from imagegraph.message import Message
from imagegraph.screen import run_shown, screen

# Every option can be given by the environment, too: `IMAGEGRAPH_SERVE_GRACE=60` is `serve --grace 60`.
app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help=__doc__,
    context_settings={"auto_envvar_prefix": "IMAGEGRAPH"},
)
app.add_typer(canary.commands, name="canary")
console = Console(markup=False)  # what users and components say is no markup

DEFAULT_BUNDLE = generated.DEFAULT_BUNDLE
INTERRUPTED = 130  # what shells expect of whom SIGINT ended

Result = TypeVar("Result")
GraphName = Annotated[str, typer.Argument(help="A graph or a component of the catalogue")]
Device = Annotated[str, typer.Option(help="cpu, cuda or auto")]


def _show_log(debug: bool) -> bool:
    if debug:
        logs.configure(LogLevel.DEBUG, LogFormat.TEXT)
    return debug


Debug = Annotated[
    bool, typer.Option("--debug", callback=_show_log, help="Show where something failed, line by line")
]


@app.command()
def run(
    name: GraphName,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(help="A photo, and other inputs as name=value (see `imagegraph show NAME`)"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="New folder for the results; by default one in out/ for each run"),
    ] = None,
    bundle: Annotated[str | None, typer.Option(help="Weights to use: pocket, sd15, …")] = None,
    manifest: Annotated[Path | None, typer.Option(help="A SeldonDeployment to run instead")] = None,
    device: Device = "auto",
    timeout: Annotated[float | None, typer.Option(min=0.001, help="Seconds to finish in")] = None,
    debug: Debug = False,
) -> None:
    """Run a graph or a component, and write what it answers to a folder."""
    catalogue = Catalogue.read()
    predictor = _deployment(name, bundle, manifest, catalogue).choose(Context().id)
    with (
        destination.new_folder(out, _photo_name(inputs or []) or name) as folder,
        screen(console) as shown,
        Embedded.of(predictor, catalogue, device) as embedded,
    ):
        values = _values(inputs or [], embedded.inputs)
        embedded.parameters(values)  # a wrong value shall not wait for the weights
        deadline = None if timeout is None else time.monotonic() + timeout
        answer, context, seconds = run_shown(embedded, values, deadline, shown)
        files = results.save(folder, name, embedded, values, answer, context.timings)
    _report(answer, files, context, embedded, seconds)


@app.command()
def serve(
    component: Annotated[str | None, typer.Option(help="Serve one component")] = None,
    graph_name: Annotated[
        str | None, typer.Option("--graph", envvar="IMAGEGRAPH_SERVE_GRAPH", help="Serve a whole graph")
    ] = None,
    manifest: Annotated[Path | None, typer.Option(help="Serve the graphs of a SeldonDeployment")] = None,
    bundle: Annotated[str | None, typer.Option(help="Weights to use")] = None,
    name: Annotated[str | None, typer.Option(help="By default the component's or the graph's")] = None,
    type_: Annotated[
        NodeType,
        typer.Option("--type", envvar="IMAGEGRAPH_SERVE_TYPE", help="Type of the node in its graph"),
    ] = NodeType.MODEL,
    host: Annotated[str | None, typer.Option(help="Listen there alone, not at all addresses")] = None,
    predictor: Annotated[str, typer.Option(help="Version that a component is of")] = "default",
    release: Annotated[str, typer.Option(help="Label of all metrics")] = "",
    namespace: Annotated[str, typer.Option(help="Label of all metrics")] = "",
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

    from imagegraph.artifacts import bring
    from imagegraph.assembly import Assembly, Settings
    from imagegraph.grpc_call import GrpcCall
    from imagegraph.journal import Journal
    from imagegraph.metrics import Metrics
    from imagegraph.remote import HttpCall
    from imagegraph.rest import Limits, Vertex
    from imagegraph.serve import Options, serve
    from imagegraph.tracing import Tracing

    logs.configure(log_level, log_format)
    if sum(one is not None for one in (component, graph_name, manifest)) != 1:
        given = {"component": component, "graph": graph_name, "manifest": manifest}
        raise InvalidInput("component", "one of --component, --graph and --manifest", given)
    if artifacts := os.environ.get("AIP_STORAGE_URI"):
        bring(artifacts)
    catalogue = Catalogue.read()
    cache = (cache_mib * 2**20, cache_redis, cache_lifetime)
    settings = Settings(device, max_queue, watchdog, *cache, wait)
    deployment = _deployment(str(graph_name), bundle, manifest, catalogue) if component is None else None
    served_name = name or (deployment.metadata.name if deployment else str(component))
    role: Literal["engine", "node"] = "engine" if deployment else "node"
    metrics = Metrics(served_name, REGISTRY, role=role, release=release, namespace=namespace)
    journal = Journal(metrics, Tracing.from_environment(f"imagegraph-{served_name}"))
    assembly = Assembly(catalogue, settings, journal)
    if deployment:
        served = assembly.graph(deployment, {"REST": HttpCall, "GRPC": GrpcCall})
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


@app.command(name="list")
def list_() -> None:
    """List graphs and components."""
    catalogue = Catalogue.read()
    table = Table("graph", "bundles", "summary", box=None)
    for name, item in sorted(catalogue.graphs.items()):
        table.add_row(name, " ".join(catalogue.bundles(item.root)), item.summary)
    console.print(table, "")
    table = Table("component", "bundles", "summary", box=None)
    for name, entry in sorted(catalogue.entries.items()):
        table.add_row(name, " ".join(entry.bundles), entry.summary)
    console.print(table)


@app.command()
def show(name: GraphName, bundle: Annotated[str, typer.Option()] = DEFAULT_BUNDLE) -> None:
    """Show a graph: its tree, what goes in and out, and a Mermaid flowchart."""
    catalogue = Catalogue.read()
    item = catalogue.graph(name)
    signatures = catalogue.signatures(item.root, bundle)
    console.print(Text(name, "bold"), f" {item.summary}\n")
    console.print(graph.tree(item.root), highlight=False)
    table = Table("input", "type", "default", "meaning", box=None)
    for port_name, one in graph.inputs(item.root, signatures).items():
        defaults = catalogue.entry(one.entry).variant(bundle).defaults
        default = _default_text(one, defaults.get(port_name, one.port.default))
        table.add_row(port_name, f"{one.port.datatype}{list(one.port.shape)}", default, one.port.description)
    console.print("", table, "")
    console.print("answers:", ", ".join(sorted(graph.outputs(item.root, signatures))), "\n")
    console.print(graph.mermaid(item.root), highlight=False)


def _default_text(one: Input, default: Any) -> str:
    if one.required:
        return "required"
    return "" if default in (None, "", {}) else str(default)


@app.command()
def generate(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail where files differ")] = False,
) -> None:
    """Write what the catalogue and the chart give: manifests, the chart's names, its table of values."""
    catalogue = Catalogue.read()
    _update(generated.files(ROOT, catalogue), [generated.graphs(ROOT)], check)
    helm = generated.find_helm(ROOT)
    if helm is None:
        console.print("without helm (`make cluster-tools`) the chart's manifests stay as they are")
        return
    folders = [ROOT / "manifests" / platform for platform in generated.PLATFORMS]
    _update(generated.rendered(ROOT, catalogue, helm), folders, check)


def _update(wanted: dict[Path, str], folders: list[Path], check: bool) -> None:
    """Writes what differs and removes what nothing asks for; or only says so."""
    different, stale = generated.differing(wanted, folders)
    if check and (different or stale):
        names = ", ".join(str(path.relative_to(ROOT)) for path in [*stale, *different])
        raise ImagegraphError(f"differ from what makes them: {names}; run `imagegraph generate`")
    for path in stale:
        path.unlink()
    for path in different:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path])
        console.print(path.relative_to(ROOT))


@app.command()
def replay(
    picture: Annotated[
        Path, typer.Argument(help="A picture that `run` has written", exists=True, dir_okay=False)
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="New file to write it to")] = None,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Draw a picture again from its own provenance, and compare."""
    record = provenance.read(picture)
    catalogue = Catalogue.read()
    provenance.check(record, catalogue)
    inputs = graph.inputs(record.graph, catalogue.signatures(record.graph, record.bundle))
    sources: dict[str, Any] = {}
    for port, files in record.sources.items():
        if port not in inputs:
            raise UnknownName("input", port, inputs)
        images = [provenance.find_source(file, picture.parent, port) for file in files]
        sources[port] = images if inputs[port].port.is_list else images[0]
    given = {port: value for port, value in record.parameters.items() if value is not None}
    path = destination.new_file(out, picture.with_name(f"{picture.stem}-replayed.png"))
    with screen(console) as shown, Embedded(record.graph, record.bundle, catalogue, device) as embedded:
        answer, _, _ = run_shown(embedded, {**given, **sources}, None, shown)
    before, again = Image(picture.read_bytes()), provenance.find_picture(answer, record)
    if before.size != again.size:
        raise InvalidInput(str(picture), "{}x{} px again".format(*before.size), "{}x{}".format(*again.size))
    destination.write(path, provenance.stamp(again, record))
    pixels, others = (np.asarray(one.rgb(), np.int16) for one in (before, again))
    difference = int(np.abs(pixels - others).max())
    said = "bit-equal" if difference == 0 else f"differs by up to {difference} of 255"
    console.print(f"{path}: {said}", highlight=False, soft_wrap=True)


def _deployment(
    name: str, bundle: str | None, manifest: Path | None, catalogue: Catalogue
) -> SeldonDeployment:
    """The graph to run: of a manifest file, or of the catalogue as it is now, rendered as `generate` does.

    Files that `generate` has written are never run by name: the catalogue may say otherwise by now.
    """
    if manifest is None:
        text = generated.manifest(name, bundle or DEFAULT_BUNDLE, catalogue)
        return documents.parse(text, SeldonDeployment, name)
    if bundle is not None:
        raise InvalidInput("bundle", "no --bundle beside --manifest, which names its own", bundle)
    return SeldonDeployment.read(manifest)


def _values(arguments: list[str], inputs: dict[str, Input]) -> dict[str, Any]:
    """Reads the arguments of `run`: a path is the photo, the rest is name=value."""
    values: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals:
            name, text = "image", argument
        if name not in inputs:
            raise UnknownName("input", name, inputs)
        if name in values:
            raise InvalidInput(name, "one value", f"a second one, {text!r}")
        port = inputs[name].port
        items = text.split(",") if port.is_list else [text]
        read = [_picture(item, name) if port.holds_images else item for item in items]
        values[name] = read if port.is_list else read[0]
    return values


def _photo_name(arguments: list[str]) -> str | None:
    """Returns the name of the photo among the arguments of `run`, without its ending."""
    photos = (one.removeprefix("image=") for one in arguments)
    return next((Path(one).stem for one in photos if "=" not in one), None)


def _picture(path: str, name: str) -> Image:
    """Reads a picture, and looks at all of it: what no node could read shall not wait for the weights."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(name, "a file with a picture", f"{path} ({error.strerror})") from error
    looked_at = Image(data)
    looked_at.check(name)
    looked_at.own()
    return Image(data)  # without the pixels, which nobody needs while models load


def _report(answer: Message, files: list[Path], context: Context, embedded: Embedded, seconds: float) -> None:
    table = Table("node", "seconds", "loading", box=None)
    entries = {node.name: node.entry for node in embedded.root.walk()}
    for node, spent in context.timings.items():
        table.add_row(node, f"{spent:.2f}", f"{embedded.load_seconds.get(entries[node], 0):.2f}")
    console.print(table)
    for name in ("caption", "prompt"):
        if name in answer.values:
            console.print(f"{name}: {answer.values[name]}", highlight=False, soft_wrap=True)
    console.print(f"{seconds:.1f} s in all, loading included; results:")
    for path in files:
        console.print(f"  {path}", highlight=False, soft_wrap=True)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _leave(code: Any) -> None:
    """Ends at once: Python would wait for threads of components, however long they still load or compute."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def command_line() -> None:
    """Runs the command that `sys.argv` names.

    Raises:
        SystemExit: with 2 where who asked can do something about it, with 1 where not.
    """
    try:
        app()
    except ImagegraphError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if 400 <= error.status < 499 else 1)


def main() -> None:
    """Runs the command line as a process of its own."""
    # As the first process of a container, one without a handler would ignore the signal.
    signal.signal(signal.SIGTERM, _end)
    # Libraries warn of their own old habits; the user of a command can do nothing about it.
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=UserWarning)
    os.environ.setdefault("TQDM_DISABLE", "1")  # their bars would tear ours apart
    try:
        command_line()
    except SystemExit as end:
        if end.code == INTERRUPTED or isinstance(end.__context__, ImagegraphError):
            _leave(end.code)
        raise


if __name__ == "__main__":
    main()
