"""`batch --on kubernetes`: makes the Job, follows it, and says how it has ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import typer

from imagegraph.batch import job
from imagegraph.batch.follow import Follower, configure
from imagegraph.batch.job import Pods
from imagegraph.batch.models import Model
from imagegraph.batch.show import show
from imagegraph.cli.options import console, progress
from imagegraph.counted import counted
from imagegraph.errors import InvalidInput
from imagegraph.spec.catalogue import Catalogue


def run_on_cluster(
    graph: str,
    words: Sequence[str],
    models: Iterable[Model],
    catalogue: Catalogue,
    pods: Pods,
    namespace: str | None,
) -> None:
    """Runs a batch as a Job.

    Raises:
        InvalidInput: no volume is named.
        ImagegraphError: there is no cluster, or it refuses the Job.
    """
    if not pods.claim:
        raise InvalidInput(
            "claim", "--claim beside --on: the volume with the inputs and for the results", "none"
        )
    place = configure(namespace)
    with show(progress) as shown:
        follower = Follower(place, shown)
        name = follower.begin(job.manifest(graph, words, models, catalogue, pods))
        try:
            ended = follower.follow(name)
        except KeyboardInterrupt:
            shown.say(f"Job {name} goes on; the same command follows it, `kubectl delete job {name}` ends it")
            raise typer.Exit(130) from None
    done = f"{counted(ended.done, 'row')} {'is' if ended.done == 1 else 'are'} done"
    console.print(f"Job {name}: {done}, {ended.failed} failed", soft_wrap=True)
    if ended.why:
        typer.echo(
            f"error: Job {name} has ended early: {ended.why}; give the same command to go on", err=True
        )
        raise typer.Exit(1)
    if ended.failed:
        typer.echo("error: rows failed, listed in failures.jsonl; --retry-failed tries them again", err=True)
        raise typer.Exit(2)
