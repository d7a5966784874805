"""What blind comparisons say: wins, ties, a Wilson interval and the exact sign test."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

Z = 1.959963984540054  # of a normal distribution, for an interval of 95 %
CHOICES = ("a", "b", "tie", "both-bad")


@dataclass(frozen=True)
class Tally:
    """Counts of choices between two arms."""

    a: int = 0
    b: int = 0
    ties: int = 0
    both_bad: int = 0

    @classmethod
    def of(cls, choices: Iterable[str]) -> Tally:
        """Counts choices."""
        listed = list(choices)
        return cls(*(listed.count(one) for one in CHOICES))

    @property
    def interval(self) -> tuple[float, float]:
        """Between which shares of a's wins the true one is, with 95 % confidence; ties say nothing.

        Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
        """
        n = self.a + self.b
        if n == 0:
            return 0.0, 1.0
        share = self.a / n
        middle = share + Z**2 / (2 * n)
        spread = Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
        lowest, highest = ((middle + sign * spread) / (1 + Z**2 / n) for sign in (-1, 1))
        return max(0.0, lowest), min(1.0, highest)

    @property
    def p_value(self) -> float:
        """How probable a count at least as uneven is if neither is better: the sign test, two-sided."""
        n, most = self.a + self.b, max(self.a, self.b)
        if 2 * most == n:
            return 1.0
        ways = sum(math.comb(n, wins) for wins in range(most, n + 1))
        return min(1.0, float(2 * ways / 2**n))
