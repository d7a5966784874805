"""Errors as RFC 9457 has them: problem+json, with the field, what was expected and what came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagegraph.errors import ImagegraphError, InputTooLarge, InvalidInput, describe, shorten

TITLES = {
    400: "The request is wrong",
    401: "Say who you are",
    403: "Not allowed",
    404: "Not found",
    405: "Not possible here",
    409: "It conflicts with what is there",
    413: "Too large",
    415: "Not a type that is understood",
    421: "Not a name of this server",
    422: "The request is wrong",
    429: "Too many requests",
    499: "Cancelled",
    500: "A fault of ours",
    501: "Not supported",
    503: "Not now",
    504: "Out of time",
}

NOT_BLANK = r"\S"
# Behind "expected", by pydantic's types of errors; for others its own words do.
_EXPECTATIONS = {
    "missing": "a value",
    "extra_forbidden": "no such field",
    "json_invalid": "JSON",
    "string_type": "text",
    "string_unicode": "text",
    **dict.fromkeys(("too_short", "string_too_short"), "a length of at least {min_length}"),
    **dict.fromkeys(("too_long", "string_too_long"), "a length of at most {max_length}"),
    "string_pattern_mismatch": "text that matches {pattern}",
    "dict_type": "an object",
    "model_attributes_type": "an object",
    "model_type": "an object",
    "list_type": "a list",
    "tuple_type": "a list",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}


class Refused(ImagegraphError):
    """A request that is refused with a status of its own."""

    def __init__(self, status: int, words: str, retry_after_s: float | None = None) -> None:
        """Takes the status, and after how long the same may be asked again."""
        super().__init__(words)
        self.status = status
        self.retry_after_s = retry_after_s


class NoRoom(InputTooLarge):
    """Somebody has as many bytes of pictures as they may have."""

    def __init__(self, field: str, used: int, more: int, allowed: int) -> None:
        """Takes how many bytes they have, are to get and may have."""
        expected = f"at most {allowed / 2**20:g} MiB of pictures for each user"
        got = f"{used / 2**20:.3g} MiB" + (f" and {more / 2**20:.3g} MiB more" if more else "")
        super().__init__(field, expected, got)
        self.used_bytes = used
        self.allowed_bytes = allowed


class Conflict(ImagegraphError):
    """What is asked for conflicts with what is there."""

    status = 409
    code = "ABORTED"


def problem(error: BaseException) -> dict[str, Any]:
    """Returns what is told of an error."""
    if not isinstance(error, ImagegraphError):
        # Words of a fault that nobody foresaw may hold anything.
        return about(500, describe(error) if isinstance(error, TimeoutError) else type(error).__name__)
    told = about(error.status, str(error))
    if error.node:
        told["node"] = error.node
    if isinstance(error, NoRoom):
        told |= {"used_bytes": error.used_bytes, "allowed_bytes": error.allowed_bytes}
    if isinstance(error, InvalidInput):
        field = str(error.field)
        got = error.got if isinstance(error.got, str) and error.node else shorten(error.got)
        told["errors"] = [fault(field, error.expected, got, str(error))]
    return told


def about(status: int, detail: str) -> dict[str, Any]:
    """Returns a problem of a status."""
    title = TITLES.get(status, TITLES[500 if status >= 500 else 400])
    return {"type": "about:blank", "title": title, "status": status, "detail": detail, "errors": []}


def expectation(detail: Mapping[str, Any]) -> str:
    """Returns what was expected, by an error of pydantic."""
    context = detail.get("ctx", {})
    if context.get("pattern") == NOT_BLANK:
        return "text that is not blank"
    if words := _EXPECTATIONS.get(detail["type"]):
        return words.format(**context)
    message = str(detail["msg"])
    if message.endswith("Expected UploadFile, received: <class 'str'>"):  # FastAPI's own
        return "a file"
    return message.removeprefix("Input should be ").removeprefix("Value error, ")


def words_of(error: Exception) -> str:
    """Returns the first line of an error of a library, unless a part of a URL's password may be in it."""
    line = str(error).partition("\n")[0]
    return type(error).__name__ if "@" in line else line


def fault(field: str, expected: str, received: str, message: str) -> dict[str, str]:
    """Returns what is wrong with one field."""
    return {"field": field, "expected": expected, "received": received, "message": message}
