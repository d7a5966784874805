"""Every error of imagegraph, named by what the caller should do about it.

    ImagegraphError            500  INTERNAL            a fault of ours: report it
    ├── InvalidInput           400  INVALID_ARGUMENT    change the named field of the request
    │   └── InputTooLarge      413  RESOURCE_EXHAUSTED  send less
    ├── UnknownName            404  NOT_FOUND           use one of the names that the message lists
    ├── Expired                404  NOT_FOUND           ask for the answer again: it was kept for a while only
    ├── Unsupported            501  UNIMPLEMENTED       ask for what this node can do
    ├── InvalidDocument        500  INTERNAL            correct the named line of a catalogue or manifest
    ├── MissingWeights         503  UNAVAILABLE         run the command that the message names
    ├── Unavailable            503  UNAVAILABLE         try again later (retryable)
    │   ├── Overloaded         503  RESOURCE_EXHAUSTED  send fewer at once, then again (retryable)
    │   └── OutOfMemory        503  UNAVAILABLE         ask for less at once, or later (retryable)
    ├── DeadlineExceeded       504  DEADLINE_EXCEEDED   allow more time or ask for less work
    └── Cancelled              499  CANCELLED           nothing: the caller asked for it

`status` is the HTTP status, `code` gRPC's, `retryable` says whether the very same request may succeed
later, and `retry_after_s` how soon, if a server has said so; `node` is the graph node in which the error
arose, once the engine has seen it, and `file` the caller's file that it is about.
"""

from __future__ import annotations

import copyreg
import difflib
import re
import reprlib
from collections.abc import Iterable
from typing import Any


class ImagegraphError(Exception):
    """Root of the tree; also raised for faults that nobody foresaw, with the cause attached."""

    status = 500
    code = "INTERNAL"
    retryable = False
    retry_after_s: float | None = None
    node: str | None = None
    file: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies and pickles keep the state; the constructors of subclasses take other arguments.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]

    def __str__(self) -> str:
        message = super().__str__()
        if self.node:
            message = f"node '{self.node}': {message}"
        return f"{self.file}: {message}" if self.file else message


class InvalidInput(ImagegraphError):
    """A field of the request is wrong."""

    status = 400
    code = "INVALID_ARGUMENT"

    def __init__(self, field: str, expected: str, got: object) -> None:
        """Names the field, what was expected and what came (shortened when it is long)."""
        super().__init__(f"{field}: expected {expected}, got {shorten(got)}")
        self.field = field
        self.expected = expected
        self.got = got


class InputTooLarge(InvalidInput):
    """A field of the request exceeds a size limit."""

    status = 413
    code = "RESOURCE_EXHAUSTED"


class UnknownName(ImagegraphError):
    """A graph, entry, bundle or port of that name does not exist."""

    status = 404
    code = "NOT_FOUND"

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Lists the names that exist, unless they are too many to be given, and the one probably meant."""
        names = sorted(set(known))
        close = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        said = name if len(name) <= 80 else f"{name[:80]}…"  # a client may send megabytes of it
        listed = f".{hint} Available: {', '.join(names)}" if names else ""
        super().__init__(f"unknown {kind} '{said}'{listed}")


class Expired(ImagegraphError):
    """A result is not kept any more, or never was."""

    status = 404
    code = "NOT_FOUND"


class Unsupported(ImagegraphError):
    """A node is asked for what it cannot do."""

    status = 501
    code = "UNIMPLEMENTED"


class InvalidDocument(ImagegraphError):
    """A catalogue or manifest is wrong at a file and line."""


class MissingWeights(ImagegraphError):
    """Weights are not on this machine."""

    status = 503
    code = "UNAVAILABLE"


class Unavailable(ImagegraphError):
    """A node cannot be reached or cannot take the request now."""

    status = 503
    code = "UNAVAILABLE"
    retryable = True


class Overloaded(Unavailable):
    """Too many requests wait already."""

    code = "RESOURCE_EXHAUSTED"


class OutOfMemory(Unavailable):
    """A request by itself is more than the device can hold now."""


class DeadlineExceeded(ImagegraphError):
    """The request's time is over."""

    status = 504
    code = "DEADLINE_EXCEEDED"


class Cancelled(ImagegraphError):
    """The caller went away or cancelled the request."""

    status = 499
    code = "CANCELLED"


def as_raised(error: ImagegraphError) -> ImagegraphError:
    """Returns a server's refusal, known by status and words alone, as it was raised there.

    So who calls a graph catches the same errors wherever it runs.
    """
    words = str(error)
    said = _NODE.fullmatch(words)
    node, words = (said["node"], said["words"]) if said else (None, words)
    parts = _EXPECTATION.fullmatch(words)
    kind: type[ImagegraphError]
    if error.status in (400, 413) and parts:
        kind = InvalidInput if error.status == 400 else InputTooLarge
    elif error.status == 404:
        kind = UnknownName if words.startswith("unknown ") else Expired
    else:
        return error
    made = kind.__new__(kind, words)  # its words are made already
    made.__dict__.update(parts.groupdict() if parts else {}, node=node)
    return made


_NODE = re.compile(r"node '(?P<node>[^']+)': (?P<words>.*)", re.DOTALL)
_EXPECTATION = re.compile(r"(?P<field>.+?): expected (?P<expected>.*), got (?P<got>.*)", re.DOTALL)


def describe(error: BaseException) -> str:
    """Returns type and words of an error that is not ours, whatever its own `__str__` does."""
    try:
        words = str(error)
    except Exception:
        words = ""
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def forget_frames(error: BaseException) -> None:
    """Takes the tracebacks off an error and off those behind it.

    Their frames hold whatever was at work, bodies of requests and pictures, for as long as the error
    lives; and it may live until the garbage collector comes by, where one of its frames holds it in turn.
    """
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            waiting += (one.__cause__, one.__context__)


def shorten(value: object, limit: int = 80) -> str:
    """Returns a one-line `repr` of at most about `limit` characters, fit for an error message."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{len(value)} bytes"
    # Not `repr`: hostile values are deeper than it can go, and longer than anybody wants to read.
    brief = reprlib.Repr()
    brief.maxlevel, brief.maxstring, brief.maxother = 3, limit, limit
    text = " ".join(brief.repr(value).split())
    text = text if len(text) <= limit else f"{text[:limit]}…"
    return f"{text} ({len(value)} characters)" if isinstance(value, str) and len(value) > limit else text
