"""Whether a canary may be promoted, by what both sides did."""

from __future__ import annotations

import math
from dataclasses import dataclass

from imagegraph.deploy.figures import Figures


@dataclass(frozen=True)
class Limits:
    """What a canary may do and still be promoted.

    Attributes:
        requests: fewest on each side; less says nothing.
        chance: below it, more errors than on the other side are no accident.
        slowdown: longest times as a multiple of the default's.
    """

    requests: int = 200
    chance: float = 0.05
    slowdown: float = 1.2


def objections(default: Figures, canary: Figures, limits: Limits) -> list[str]:
    """Returns why the canary must not be promoted; nothing if it may."""
    found = [
        f"too little data: {side} answered {figures.requests} requests, expected {limits.requests} or more"
        for side, figures in (("the default", default), ("the canary", canary))
        if figures.requests < limits.requests
    ]
    if found:
        return found
    chance = chance_of(canary.errors, canary.requests, default.errors, default.requests)
    if canary.error_rate > default.error_rate and chance < limits.chance:
        found.append(
            f"the canary fails more often: {canary.error_rate:.2%} against {default.error_rate:.2%}, "
            f"an accident in {chance:.2%} of cases"
        )
    for what, old, new in (("mean", default.mean_s, canary.mean_s), ("p95", default.p95_s, canary.p95_s)):
        if old is not None and new is not None and new > old * limits.slowdown:
            found.append(
                f"the canary is slower: {what} {new:.3f} s against {old:.3f} s, "
                f"more than {limits.slowdown:g} times"
            )
    return found


def chance_of(errors: int, requests: int, other_errors: int, other_requests: int) -> float:
    """Returns how likely so many errors or more are if both sides fail equally often.

    Source: Fisher's exact test, one-sided.
    """

    def ways(n: int, k: int) -> float:
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    total, failed = requests + other_requests, errors + other_errors
    most = min(failed, requests)
    fewest = max(errors, failed - other_requests)
    all_ways = ways(total, failed)
    return sum(
        math.exp(ways(requests, k) + ways(other_requests, failed - k) - all_ways)
        for k in range(fewest, most + 1)
    )
