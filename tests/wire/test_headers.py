import time

import pytest

from imagegraph.engine.context import Context
from imagegraph.errors import DeadlineExceeded, InvalidInput
from imagegraph.wire import headers

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"x-request-id": "a"}, "a"),
        ({"seldon-puid": "b"}, "b"),
        ({"x-request-id": "a", "seldon-puid": "b"}, "a"),
        ({"x-request-id": "line\nbreak", "seldon-puid": "b"}, "b"),
    ],
)
def test_the_id_is_the_callers(given, expected):
    assert headers.read(given).id == expected


@pytest.mark.parametrize("given", [{}, {"x-request-id": ""}, {"x-request-id": "x" * 129}])
def test_who_brings_no_id_gets_one(given):
    assert len(headers.read(given).id) == 32


def test_the_trace_goes_on_with_its_state():
    context = headers.read({"traceparent": TRACE, "tracestate": "a=1", "x-request-id": "r"})
    assert headers.trace_id(context) == "0af7651916cd43dd8448eb211c80319c"
    assert headers.write(context, 1.5) == {
        "x-request-id": "r",
        "seldon-puid": "r",
        "traceparent": TRACE,
        "tracestate": "a=1",
        "x-request-timeout": "1.500",
    }
    assert headers.echo({}, context) == {"x-request-id": "r", "traceparent": TRACE}


@pytest.mark.parametrize(
    ("given", "goes_on"),
    [
        ("a=1", "a=1"),
        ("a=1\t,\tb=2 , c=3", "a=1,b=2,c=3"),
        (",a=1,,", "a=1"),
        ("a=1 2;3", "a=1 2;3"),
        ("fw529a3039@dt=FfYAAA, 0tenant/x@b_*=~!", "fw529a3039@dt=FfYAAA,0tenant/x@b_*=~!"),
        (",".join(f"k{n}={n}" for n in range(32)), ",".join(f"k{n}={n}" for n in range(32))),
        (",".join(f"k{n}={n}" for n in range(33)), None),
        ("a=\u00e9", None),
        ("\u00e9=1", None),
        ("a=1\x01", None),
        ("a=x\ty", None),
        ("a=1,A=2", None),
        ("a", None),
        ("a=", None),
        ("=1", None),
        ("a=1=2", None),
        ("a@B=1", None),
        ("a=" + "x" * 257, None),
        ("a" * 257 + "=1", None),
        (" \t, ", None),
        ("", None),
    ],
)
def test_of_a_state_goes_on_what_w3c_allows(given, goes_on):
    written = headers.write(headers.read({"traceparent": TRACE, "tracestate": given}), None)
    assert written["traceparent"] == TRACE
    assert written.get("tracestate") == goes_on


@pytest.mark.parametrize(
    "trace",
    [
        "01" + TRACE[2:] + "-\u00e9",
        "01" + TRACE[2:] + "-\t",
        "01" + TRACE[2:] + "- x",
        "",
        "00",
        TRACE.upper(),
        TRACE.replace("0af7", "0000", 1) + " ",
        "ff" + TRACE[2:],
        "00-" + "0" * 32,
    ],
)
def test_what_is_no_trace_is_left_out(trace):
    context = headers.read({"traceparent": trace, "tracestate": "a=1"})
    assert context.trace == {}
    assert headers.trace_id(context) is None


def test_the_deadline_is_asked_for_within_limits():
    now = time.monotonic()
    assert headers.deadline({}, 9) == pytest.approx(now + 9, abs=1)
    assert headers.deadline({"x-request-timeout": "2.5"}, 9) == pytest.approx(now + 2.5, abs=1)
    assert headers.deadline({"x-request-timeout": "inf"}, 9) == pytest.approx(now + 9, abs=1)
    for wrong in ("soon", "", "0", "-1", "nan"):
        with pytest.raises(InvalidInput, match="X-Request-Timeout: expected a number of seconds"):
            headers.deadline({"x-request-timeout": wrong}, 9)


def test_a_node_gets_what_is_left_or_its_own_limit():
    assert headers.seconds_left(Context(), None) is None
    assert headers.seconds_left(Context(), 2.0) == 2.0
    context = Context(deadline=time.monotonic() + 1)
    assert headers.seconds_left(context, 0.5) == 0.5
    assert headers.seconds_left(context, 5) == pytest.approx(1, abs=0.5)
    with pytest.raises(DeadlineExceeded, match="out of time"):
        headers.seconds_left(Context(deadline=time.monotonic() - 1), 5)
