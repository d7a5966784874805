"""How many of something there are, in words of one and of many."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Returns "1 row", "2 rows"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
