"""From a ramp: how much a release bears, what limits it, and how much of it a rate needs."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from imagegraph.errors import InvalidInput, UnknownName

# What is read of every step.
READ = ("rate", "requests", "errors", "refused", "lost", "unsent", "per_s", "p95_s", "use")
# Of what there is: nothing runs steadily with more.
FULL = 0.85
# Of what a pod may use: a limit is kept on average, and seconds are not cut where it counts.
SLACK = 1.1
PERHAPS, NOTHING = "perhaps a model", "nothing"
# Of the queue: the queue of a server that bears its load is all but empty.
QUEUED = 0.5


@dataclass(frozen=True)
class Wanted:
    """What is to be borne.

    Attributes:
        rate: requests a second.
        within_s: longest that 95 of 100 answers may take.
        errors: most that may fail or be refused, as a part of 1.
        headroom: part of the capacity that stays free.
        cores: CPUs that each process may use.
        memory: bytes that each process may use; 0: nobody knows.
        replicas: pods that each server had, where its page is one for all; else those that were seen.
        gpus: of each pod that holds memory of one.
    """

    rate: float
    within_s: float
    errors: float = 0.01
    headroom: float = 0.3
    cores: float = 1.0
    memory: float = 0.0
    replicas: Mapping[str, int] | None = None
    gpus: int = 1


class Server(NamedTuple):
    """What a server of the release did at the knee, and how many pods of it the rate needs.

    Attributes:
        busy: the part of its CPUs, or of the time of its model, that was used at the knee: the larger one.
        per_pod: requests a second that one of its pods bears.
        limit: what was full where the rate was no longer borne: CPU, GPU, its model (which computes one
            batch at a time), memory, queue, perhaps one of its models, or nothing.
    """

    name: str
    pods: int
    busy: float
    limit: str
    needed: int
    gpus: int
    per_pod: float


class Plan(NamedTuple):
    """The result.

    Attributes:
        knee: most requests a second that were answered within the objective.
        beyond: the first rate that was not; None where the ramp never came so far.
        broke: why that was not.
        limits: the server that had least left, or nothing where no metrics were read.
        whole: how often the whole release is needed, if nobody knows more.
        lost: why the steps say nothing of what limits: requests were lost, and no server was full.
    """

    knee: float
    beyond: float | None
    broke: str
    servers: Sequence[Server]
    limits: Server | None
    whole: int
    lost: str = ""


def read(path: Path) -> list[dict[str, Any]]:
    """Reads the steps of a ramp out of its result.json.

    Raises:
        InvalidInput: it is no result of a ramp.
    """
    try:
        said = json.loads(path.read_text())
        steps = [{name: one[name] for name in READ} for one in said["steps"] if one["counts"]]
        rising = all(one["rate"] < other["rate"] for one, other in itertools.pairwise(steps))
    except OSError as error:
        raise InvalidInput("RESULT", "the result.json of a run", f"{path} ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput("RESULT", "the result.json of a run", str(path)) from error
    if len(steps) < 3 or not rising:
        rates = ", ".join(f"{one['rate']:g}" for one in steps)
        raise InvalidInput("RESULT", "a ramp: at least three rates, each above the one before", rates)
    return steps


def plan(steps: Sequence[Mapping[str, Any]], wanted: Wanted) -> Plan:
    """Finds the knee and what a rate needs.

    Raises:
        InvalidInput: not even the lowest rate was borne; or a server used more CPUs than it is said to have.
        UnknownName: there is no server whose replicas are given.
    """
    known = {_server(one) for step in steps for one in step["use"]}
    if unknown := (wanted.replicas or {}).keys() - known:
        raise UnknownName("server", min(unknown), known)
    kept, broke = [], ""
    for step in steps:
        if broke := _broken(step, wanted):
            break
        kept.append(step)
    if not kept:
        raise InvalidInput("--within", f"what the release can do: at {steps[0]['rate']:g}/s {broke}",
                           wanted.within_s)  # fmt: skip
    knee = kept[-1]
    # What limits is seen best where it is no longer borne.
    seen = steps[len(kept)] if broke else knee
    servers = _servers(knee["use"], seen["use"], wanted, knee["per_s"])
    limits = max(servers, key=lambda one: one.busy, default=None)
    whole = _needed(knee["per_s"], wanted)
    lost = ""
    if broke and seen["lost"] and (limits is None or limits.limit in (PERHAPS, NOTHING)):
        gone = sorted(knee["use"].keys() - steps[-1]["use"].keys())
        lost = (
            f"{' and '.join(gone)} showed no metrics any more" if gone else "no server shows that it was full"
        )
    return Plan(knee["per_s"], seen["rate"] if broke else None, broke, servers, limits, whole, lost)


def _broken(step: Mapping[str, Any], wanted: Wanted) -> str:
    """Returns in what a step fails, or nothing."""
    failed = (step["errors"] + step["refused"]) / max(1, step["requests"])
    if failed > wanted.errors:
        kinds = (("lost", "lost"), ("not sent, since too many waited", "unsent"))
        parts = [f"{step[of]} of {step['requests']} were {said}" for said, of in kinds if step[of]]
        return "; ".join([f"{failed:.1%} failed or were refused", *parts])
    if step["p95_s"] is None:
        return "95 of 100 were not answered"
    if step["p95_s"] > wanted.within_s:
        return f"95 of 100 answers took up to {step['p95_s']:.2f} s"
    return ""


def _servers(
    knee: Mapping[str, Mapping[str, float]], seen: Mapping[str, Mapping[str, float]], wanted: Wanted,
    knee_per_s: float,
) -> list[Server]:  # fmt: skip
    """Returns every server, its pods taken together."""
    by_server: dict[str, list[str]] = {}
    for process in knee:
        by_server.setdefault(_server(process), []).append(process)
    for process, use in knee.items():
        if use["cores"] > wanted.cores * SLACK:
            expected = f"at least {use['cores']:.1f}, which {process} used at the knee"
            raise InvalidInput("--cores", expected, wanted.cores)
    busy = {name: max(max(_rates(knee[one], wanted).values()) for one in pods)
            for name, pods in by_server.items()}  # fmt: skip
    found = []
    for name, pods in by_server.items():
        count = max(len(pods), (wanted.replicas or {}).get(name, 1))
        # Whoever is busiest bears no more than at the knee, wherever that came from; the others do.
        used = 1.0 if busy[name] == max(busy.values()) else min(1.0, busy[name] / FULL)
        bears = knee_per_s / (count * used) if used else math.inf
        needed = _needed(bears, wanted)
        gpus = wanted.gpus if any(knee[one]["device"] for one in pods) else 0
        limit = _limit([seen.get(one, knee[one]) for one in pods], wanted)
        found.append(Server(name, count, busy[name], limit, needed, needed * gpus, bears))
    return found


def _needed(bears: float, wanted: Wanted) -> int:
    """Returns how many of what bears so many requests a second the rate needs, with headroom."""
    return max(1, math.ceil(wanted.rate / (bears * (1 - wanted.headroom)) - 1e-9))


def _rates(use: Mapping[str, float], wanted: Wanted) -> dict[str, float]:
    """Returns the parts that were used of what is used up by the second.

    A model that computes all the time keeps its GPU busy; without one it keeps its one thread busy, be it
    that this waits. Models that share a process have a thread each, and nobody can say which was busy: they
    share its CPUs, and at most one GPU, which each waits for.
    """
    parts = {"CPU": use["cores"] / wanted.cores}
    if use["device"]:
        parts["GPU"] = min(1.0, use["computing"])
    elif use["nodes"] < 2:
        parts["its model"] = use["computing"]
    return parts


def _server(process: str) -> str:
    """Returns whose pod a process is."""
    return process.partition("/")[0]


def _limit(pods: Sequence[Mapping[str, float]], wanted: Wanted) -> str:
    """Returns what a server has least left of; a queue fills for want of something, so it is asked last."""
    for use in pods:
        parts = _rates(use, wanted)
        name = max(parts, key=lambda one: parts[one])
        if parts[name] >= FULL:
            return name
    for use in pods:
        if use["device_total"] and use["device"] / use["device_total"] >= FULL:
            return "memory of the GPU"
        if wanted.memory and use["memory"] / wanted.memory >= FULL:
            return "memory"
        if use["queue"] >= QUEUED:
            return "queue"
    # None of several can have computed for longer than all of them together.
    if any(use["nodes"] > 1 and use["computing"] >= FULL for use in pods):
        return PERHAPS
    return NOTHING
