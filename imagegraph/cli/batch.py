"""`batch`: a graph over a folder of pictures or a table of inputs, which goes on where it was stopped."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from imagegraph.batch import grid, session, table
from imagegraph.batch.engines import EmbeddedPlatform, Platform
from imagegraph.batch.folder import Shard
from imagegraph.batch.job import Pods
from imagegraph.batch.machine import Memory
from imagegraph.batch.models import Choices, read_choices
from imagegraph.batch.plan import Plan
from imagegraph.batch.remote import folder as place_of
from imagegraph.batch.runner import Runner, Work
from imagegraph.batch.session import Found
from imagegraph.batch.sheets import Sheets
from imagegraph.batch.show import Told, show
from imagegraph.batch.table import Row
from imagegraph.cli.batch_job import run_on_cluster
from imagegraph.cli.batch_run import already, report, run_until_stopped
from imagegraph.cli.batch_words import WORDS, pod_words, read_entries, sort_words
from imagegraph.cli.command import given
from imagegraph.cli.inputs import Reader
from imagegraph.cli.options import (
    Added,
    Debug,
    Device,
    GraphName,
    complete_bundle,
    complete_input,
    progress,
)
from imagegraph.deploy.render import IMAGE
from imagegraph.errors import InvalidInput
from imagegraph.spec.catalogue import DEFAULT_BUNDLE, Catalogue

CACHE_BYTES = 512 * 2**20
PANEL = "On a cluster"


class Cluster(StrEnum):
    """What runs a batch that does not run here."""

    KUBERNETES = "kubernetes"


def batch(
    ctx: typer.Context,
    name: GraphName,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Folders, patterns such as 'x/**/*.png', pictures, tables (.csv, .jsonl) with a row a line, "
            "and other inputs as name=value, the same for all rows",
            autocompletion=complete_input,
        ),
    ] = None,
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            help="Folder for the results, or its URL (s3://…); one that is there is gone on with",
        ),
    ] = "out/batch",
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Take the pictures of folders in folders, too")
    ] = False,
    prompt_from_name: Annotated[
        bool, typer.Option("--prompt-from-name", help="a_red_cone.png is drawn by the prompt 'a red cone'")
    ] = False,
    bundle: Annotated[
        str | None,
        typer.Option(
            help="Weights to use, or @FILE: for each row one of its lines at random",
            autocompletion=complete_bundle,
        ),
    ] = None,
    entry: Annotated[
        list[str] | None,
        typer.Option(help="NODE=ENTRY runs another entry there; NODE=@FILE one of its lines at random"),
    ] = None,
    grid_of: Annotated[
        list[str] | None,
        typer.Option(
            "--grid",
            envvar="IMAGEGRAPH_BATCH_GRID",
            metavar="NAME=VALUE,VALUE…",
            help="Run every combination: steps=10,20 prompt=@prompts.txt (a value a line) or a JSON list",
        ),
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Ask the server at this address, such as http://localhost:8080")
    ] = None,
    timeout: Annotated[float | None, typer.Option(min=0.001, help="Seconds that a row may take")] = None,
    in_flight: Annotated[
        int, typer.Option(min=1, max=128, help="Rows under way at once; those that can share a loop")
    ] = 32,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try rows again that have failed before")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Run rows again that were done with other parameters or inputs"),
    ] = False,
    cache_folder: Annotated[
        Path | None, typer.Option(help="Hugging Face cache with the weights, instead of HF_HUB_CACHE")
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(
            "--shard",
            envvar="IMAGEGRAPH_BATCH_SHARD",
            metavar="INDEX/COUNT",
            help="Run one of COUNT equal parts, beside others",
        ),
    ] = None,
    on: Annotated[
        Cluster | None, typer.Option(help="Run it as a Job there, and follow it", rich_help_panel=PANEL)
    ] = None,
    claim: Annotated[
        str,
        typer.Option(
            help="Claim of the volume with all inputs, which gets --out; paths are within it",
            rich_help_panel=PANEL,
        ),
    ] = "",
    weights_claim: Annotated[
        str | None,
        typer.Option(help="Claim of a volume with weights; else each pod pulls them", rich_help_panel=PANEL),
    ] = None,
    pods: Annotated[
        int, typer.Option(min=1, help="Parts of the batch, a pod each", rich_help_panel=PANEL)
    ] = 4,
    parallelism: Annotated[int, typer.Option(min=1, help="Pods at once", rich_help_panel=PANEL)] = 4,
    pool: Annotated[
        list[str] | None,
        typer.Option(help="LABEL=VALUE of the nodes to run on", rich_help_panel=PANEL),
    ] = None,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of each pod", rich_help_panel=PANEL)] = 0,
    cpu: Annotated[
        float | None,
        typer.Option(min=0.01, help="Cores of each pod; else as the catalogue says", rich_help_panel=PANEL),
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option(
            help="Secret whose keys are the pods' environment, such as credentials of --out",
            rich_help_panel=PANEL,
        ),
    ] = None,
    backoff: Annotated[
        int, typer.Option(min=0, help="How often a part is tried again", rich_help_panel=PANEL)
    ] = 6,
    ttl: Annotated[
        int, typer.Option(min=0, help="Seconds that the Job stays after its end", rich_help_panel=PANEL)
    ] = 86_400,
    namespace: Annotated[
        str | None, typer.Option(help="Where; else as kubectl would", rich_help_panel=PANEL)
    ] = None,
    image: Annotated[str, typer.Option(help="Image of the pods", rich_help_panel=PANEL)] = IMAGE,
    catalogue: Added = None,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Run a graph or a component for every picture of folders, or every row of a table.

    Beside these options there is one for each input of the graph; see `batch NAME --help`. The same command
    goes on where it was stopped.

    Ends with 2 where you can do something about rows that failed, with 1 where not.
    """
    if cache_folder is not None:
        os.environ["HF_HUB_CACHE"] = str(cache_folder)
    if url is None:
        known = Catalogue.read(catalogue or [])
        bundles = read_choices(bundle or DEFAULT_BUNDLE, "bundle")
        choices = Choices(known.graph(name).root, bundles, read_entries(entry or []))
        if on is not None:
            asked = Pods(
                claim=claim,
                weights=weights_claim,
                count=pods,
                parallelism=parallelism,
                pool=_labels(pool or []),
                gpus=gpus,
                cpu=cpu,
                secret=secret,
                backoff=backoff,
                ttl_s=ttl,
                image=image,
            )
            run_on_cluster(name, pod_words(ctx.meta[WORDS]), choices.all(), known, asked, namespace)
            return
        cache_bytes = CACHE_BYTES if grid_of else 0  # priors of a photo are read once for all its cells
        platform: Platform = EmbeddedPlatform(name, choices, known, device, timeout, cache_bytes)
    elif bundle or entry:
        raise InvalidInput(
            "bundle" if bundle else "entry", "none beside --url: the server has chosen", bundle or entry
        )
    else:
        from imagegraph.batch.served import (
            ServedPlatform,
        )  # with its HTTP client, which no other command needs

        platform = ServedPlatform(url, name, timeout)
    reader = Reader(name, platform.interface)
    sources, values = sort_words(inputs or [], reader, given(ctx))
    rows = table.read(sources, reader.ports, recursive) or [Row(name, {})]
    if prompt_from_name:
        rows = table.with_prompts(rows, reader.ports)
    axes = grid.read_axes(grid_of or [], reader.ports)
    rows = grid.expand(rows, axes) if axes else rows
    models = [platform.choose(row) for row in rows]
    about = {model.label: platform.facts(model) for model in dict.fromkeys(models)}
    plan = Plan.make(name, rows, models, about, values)
    shard = None if part is None else _shard(part)
    with place_of(out, shard) as folder:
        found = Found.look(folder, plan, retry_failed=retry_failed, overwrite=overwrite, shard=shard)
        session.begin(folder, plan, found)
        sheets = Sheets(folder, plan.tasks, name)
        shown = Told(progress) if shard else show(progress)
        with shown, Memory() as memory:
            work = Work(plan, found.left, platform.open, values, in_flight, sheets.grow, found.done)
            runner = Runner(work, folder, shown, memory, dict(found.failures))
            if found.done or found.failures:
                failed = f", {len(found.failures)} failed, which --retry-failed tries again"
                failed = failed if found.failures and not retry_failed else ""
                rows_here = found.done + runner.count.total
                shown.say(already(found.done, rows_here) + failed)
            signalled = asyncio.run(run_until_stopped(runner, shown)) if found.left else 0
            shown.update(runner.count)
        whole = shard is None or session.ended(folder, plan)
        groups = session.finish(folder, plan, sheets) if whole else []
        scores = grid.finish(folder, plan.tasks, axes) if whole else None
    if shard is None or signalled:  # what has failed in a part is listed, and no reason to try it again
        report(runner, groups, scores, out, signalled)


def _labels(texts: Sequence[str]) -> dict[str, str]:
    for text in texts:
        if not text.partition("=")[2]:
            raise InvalidInput("pool", "LABEL=VALUE", text)
    return dict(text.split("=", 1) for text in texts)


def _shard(text: str) -> Shard:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise InvalidInput("shard", "INDEX/COUNT, counted from 0", text)
    return Shard(int(index), int(count))
