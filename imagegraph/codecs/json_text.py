"""JSON that came from outside, read within bounds.

What parses it holds all other threads meanwhile: a body of 30 MiB of empty lists would stop a process for
seconds, health checks too. So what would become too many objects is refused before that, by their marks.
"""

from __future__ import annotations

from typing import Any

import orjson

from imagegraph.errors import InputTooLarge, InvalidInput

MOST_LISTS = 2**21  # and objects; as nested lists [1024, 1024, 3] is half of it
VALUES_PER_LIST = 4


def parse(text: bytes | str, at: str, most_lists: int = MOST_LISTS) -> Any:
    """Parses JSON that stands at `at`.

    Args:
        most_lists: lists and objects that it may have; of values and names it may have four times as many.

    Raises:
        InvalidInput: it is not JSON.
        InputTooLarge: it has too many lists, objects, values or names; marks in its texts count, too.
    """
    _bound(text, b"[{", "lists and objects", most_lists, at)
    _bound(text, b",", "values", VALUES_PER_LIST * most_lists, at)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(at, f"JSON ({error})", text[:40] if isinstance(text, bytes) else text) from error


def _bound(text: bytes | str, marks: bytes, what: str, most: int, at: str) -> None:
    if len(text) <= most:
        return
    encoded = text.encode(errors="replace") if isinstance(text, str) else text
    count = sum(encoded.count(mark) for mark in marks)
    if count > most:
        raise InputTooLarge(at, f"JSON of at most {most} {what}", f"{count}")
