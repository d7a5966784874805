"""When requests are due: written down before the first is sent, so that no answer can put one off."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from release.scenario import Scenario, Way


class Arrival(NamedTuple):
    """One request that is due.

    Attributes:
        at_s: since the start.
        step: which of the while with equal rates it falls into.
    """

    number: int
    at_s: float
    way: Way
    step: int


class Step(NamedTuple):
    """A while with one rate.

    Attributes:
        begin_s, end_s: since the start.
    """

    rate: float
    begin_s: float
    end_s: float
    counts: bool


def steps(scenario: Scenario) -> list[Step]:
    """Returns the whiles with equal rates, one after the other."""
    found: list[Step] = []
    begin_s = 0.0
    for phase in scenario.phases:
        rates = phase.rates()
        for rate in rates:
            end_s = begin_s + phase.seconds / len(rates)
            found.append(Step(rate, begin_s, end_s, phase.counts))
            begin_s = end_s
    return found


def arrivals(scenario: Scenario, seed: int) -> Iterator[Arrival]:
    """Yields what is due, in its order; the same seed gives the same times and ways.

    Source: for Poisson, exponential gaps; where a step begins the gap begins anew, which an exponential one
    does not feel.
    """
    draw = random.Random(seed)
    ways = [one.way for one in scenario.requests]
    shares = [one.share for one in scenario.requests]
    number = 0
    for place, step in enumerate(steps(scenario)):
        at_s = step.begin_s
        while True:
            if scenario.arrivals == "poisson":
                at_s += draw.expovariate(step.rate)
                due_s = at_s
            else:
                due_s, at_s = at_s, at_s + 1 / step.rate
            if due_s >= step.end_s - 1e-9:  # the sum of many gaps is off by as much
                break
            yield Arrival(number, due_s, draw.choices(ways, shares)[0], place)
            number += 1
