"""What travels beside a message from one process to the next: its id, its trace, its time.

The names are those of HTTP headers; gRPC's metadata carry the same in small letters.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from imagegraph.engine.context import Context
from imagegraph.errors import DeadlineExceeded, InvalidInput

REQUEST_ID = "x-request-id"
SELDON_ID = "seldon-puid"
TIMEOUT = "x-request-timeout"
PREDICTOR = "x-predictor"
TRACEPARENT = "traceparent"
PROGRESS = "x-progress"  # asks a pod for its steps before its answer
STATUS = "x-status"  # the HTTP status beside that of gRPC, which has fewer

_ID = re.compile(r"[\x21-\x7e]{1,128}")
# Source: W3C Trace Context, version 00, and what later versions promise to keep.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[\x21-\x7e]*)?"
)
TRACESTATE = "tracestate"
_SIMPLE_KEY, _TENANT_KEY = (
    r"[a-z0-9][a-z0-9_*/-]{0,255}",
    r"[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}",
)
_MEMBER = re.compile(
    rf"(?:{_SIMPLE_KEY}|{_TENANT_KEY})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
MAX_MEMBERS = 32


def read(headers: Mapping[str, str]) -> Context:
    """Makes the context of a request; an id or a trace that cannot be one is left out."""
    known = next(
        (headers[name] for name in (REQUEST_ID, SELDON_ID) if _ID.fullmatch(headers.get(name, ""))), None
    )
    context = Context() if known is None else Context(id=known)
    context.predictor = headers.get(PREDICTOR)
    if TRACEPARENT in headers and _TRACEPARENT.fullmatch(headers[TRACEPARENT]):
        state = _trace_state(headers.get(TRACESTATE, ""))
        context.trace = {TRACEPARENT: headers[TRACEPARENT], **({TRACESTATE: state} if state else {})}
    return context


def _trace_state(text: str) -> str:
    """Returns the members of a tracestate without the blanks around them; nothing if one is none.

    Source: W3C Trace Context, "Tracestate Header Field Values".
    """
    members = [member for member in (one.strip(" \t") for one in text.split(",")) if member]
    whole = len(members) <= MAX_MEMBERS and all(map(_MEMBER.fullmatch, members))
    return ",".join(members) if whole else ""


def deadline(headers: Mapping[str, str], longest_s: float) -> float:
    """Returns the `time.monotonic()` at which a request must be answered.

    Raises:
        InvalidInput: the client asks for no number of seconds.
    """
    text = headers.get(TIMEOUT)
    try:
        seconds = longest_s if text is None else float(text)
    except ValueError:
        seconds = -1.0
    if not seconds > 0:
        raise InvalidInput("X-Request-Timeout", "a number of seconds", text)
    return time.monotonic() + min(seconds, longest_s)


def echo(headers: Mapping[str, str], context: Context) -> dict[str, str]:
    """Returns what the answer to a request says of it."""
    known = {REQUEST_ID: context.id}
    if SELDON_ID in headers:
        known[SELDON_ID] = context.id
    if TRACEPARENT in context.trace:
        known[TRACEPARENT] = context.trace[TRACEPARENT]
    return known


def write(context: Context, seconds: float | None) -> dict[str, str]:
    """Returns what goes to a node with its request, which is to be answered within `seconds`."""
    known = {REQUEST_ID: context.id, SELDON_ID: context.id, **context.trace}
    if context.listener:
        known[PROGRESS] = "true"
    if seconds is not None:
        known[TIMEOUT] = f"{seconds:.3f}"
    return known


def seconds_left(context: Context, longest_s: float | None) -> float | None:
    """Returns how long a node may take for its part, at most `longest_s`.

    Raises:
        DeadlineExceeded: no time is left.
    """
    if context.deadline is None:
        return longest_s
    seconds = context.deadline - time.monotonic()
    if seconds <= 0:
        raise DeadlineExceeded("out of time before the call")
    return seconds if longest_s is None else min(seconds, longest_s)


def trace_id(context: Context) -> str | None:
    """Returns the id of the trace that the request belongs to."""
    found = _TRACEPARENT.fullmatch(context.trace.get(TRACEPARENT, ""))
    return found[1] if found else None
