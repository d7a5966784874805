"""What is written of a request: in the log, and in the metrics."""

import json
import logging
import sys
import types

import pytest
from prometheus_client import CollectorRegistry

from imagegraph.engine.context import Event, Turn
from imagegraph.errors import ImagegraphError, InvalidInput, Unavailable, UnknownName
from imagegraph.observe import logs
from imagegraph.observe.logs import LogFormat, LogLevel
from imagegraph.observe.metrics import Metrics
from imagegraph.observe.request_log import Journal
from imagegraph.spec.graph import Node

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NODE = Node(name="a")


@pytest.fixture
def stderr(capsys):
    """Returns what is logged; the handlers of whoever runs the tests are put back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda: capsys.readouterr().err
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def journal():
    return Journal(Metrics("m", CollectorRegistry()))


def page(journal):
    return journal.metrics.page("")[0].decode()


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_request_is_one_line_with_all_facts(journal, stderr):
    logs.configure(LogLevel.INFO, LogFormat.AUTO)
    entry = journal.open("rest", "POST /x/{model}", {"x-request-id": "r", "traceparent": TRACE})
    entry.predictor = "canary"
    entry.context.turns |= {"a": Turn(0.5, 2), "b": Turn(0.25, 1)}
    entry.context.cache_hits.append("c")
    journal.close(entry)
    (line,) = lines(stderr())
    assert line.pop("time").endswith("Z")
    assert line.pop("seconds") >= 0
    assert line == {
        "level": "info",
        "logger": "imagegraph.request",
        "message": "POST /x/{model} 200",
        "request_id": "r",
        "protocol": "rest",
        "route": "POST /x/{model}",
        "status": 200,
        "queue_s": 0.75,
        "predictor": "canary",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "cache_hits": ["c"],
    }


@pytest.mark.parametrize(
    ("error", "node", "words"),
    [
        (InvalidInput("prompt", "a text", "my secret"), "a", "node 'a': prompt: expected a text"),
        (UnknownName("input", "my secret", ["x"]), None, "NOT_FOUND"),
        (ImagegraphError("the device is lost"), "a", "node 'a': the device is lost"),
    ],
)
def test_an_error_is_told_but_not_what_the_client_sent(journal, stderr, error, node, words):
    logs.configure(LogLevel.INFO, LogFormat.JSON)
    entry = journal.open("rest", "POST /x", {})
    error.node = node
    entry.fail(error)
    journal.close(entry)
    text = stderr()
    (line,) = lines(text)
    assert line["error"] == words
    assert line["level"] == ("error" if error.status == 500 else "info")
    assert "secret" not in text


def test_people_get_short_lines_and_levels_hold(journal, stderr):
    logs.configure(LogLevel.WARNING, LogFormat.TEXT)
    journal.close(journal.open("rest", "POST /x", {"x-request-id": "r"}))
    logging.getLogger("library").warning("careful")
    logging.getLogger("library").info("chatter")
    entry = journal.open("rest", "POST /x", {"x-request-id": "r"})
    entry.fail(ImagegraphError("lost"))
    journal.close(entry)
    first, second = stderr().splitlines()
    assert first.endswith("WARNING library: careful")
    assert "ERROR   imagegraph.request: POST /x 500 request_id=r protocol=rest seconds=0.000" in second


def test_an_exception_stays_on_its_line(stderr):
    logs.configure(LogLevel.INFO, LogFormat.JSON)
    try:
        raise ValueError("boo")
    except ValueError:
        logging.getLogger("imagegraph.x").exception("failed")
    (line,) = lines(stderr())
    assert "ValueError: boo" in line["exception"]


def test_nodes_and_the_cache_are_counted_by_predictor(journal):
    entry = journal.open("grpc", "ModelInfer", {})
    entry.predictor = "canary"
    for kind, seconds in (("started", 0), ("finished", 0.3), ("failed", 0.2)):
        entry.context.tell(Event(NODE, "infer", kind, seconds))
    entry.context.cache_hits.append("a")
    entry.context.cache_misses += ["a", "a"]
    entry.fail(Unavailable("no"))
    journal.close(entry)
    text = page(journal)
    for name, labels, value in (
        ("requests_total", 'code="503",{m},predictor="canary",protocol="grpc",{r}', "1.0"),
        ("node_seconds_sum", '{m},node="a",outcome="finished",predictor="canary",{r}', "0.3"),
        ("node_seconds_count", '{m},node="a",outcome="failed",predictor="canary",{r}', "1.0"),
        ("cache_hits_total", '{m},node="a",{r}', "1.0"),
        ("cache_misses_total", '{m},node="a",{r}', "2.0"),
    ):
        filled = labels.format(m='model_name="m"', r='role="engine"')
        assert f"imagegraph_{name}{{{filled}}} {value}" in text


def test_a_copy_for_a_shadow_is_counted_as_one(journal):
    entry = journal.open("rest", "POST /x", {"x-request-id": "r", "traceparent": TRACE})
    copy = journal.copy(entry, "try")
    assert (copy.context.id, copy.context.trace) == ("r", entry.context.trace)
    copy.fail(ImagegraphError("lost"))
    journal.close(copy)
    labels = 'code="500",model_name="m",predictor="try",protocol="shadow",role="engine"'
    assert f"imagegraph_requests_total{{{labels}}} 1.0" in page(journal)


def test_device_memory_is_told_where_there_is_a_device(journal, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "imagegraph_device_memory_bytes{" not in page(journal)
    whose = 'model_name="m",role="engine"'
    cuda = types.SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: 1,
        mem_get_info=lambda index: (3, 10),
        memory_allocated=lambda index: 4,
        memory_reserved=lambda index: 5,
    )
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))
    for kind, number in {"allocated": 4, "reserved": 5, "free": 3, "total": 10}.items():
        line = f'imagegraph_device_memory_bytes{{device="cuda:0",kind="{kind}",{whose}}} {number}.0'
        assert line in page(journal)


def test_an_answer_waits_for_the_slowest_of_nodes_side_by_side(journal):
    quick, slow, empty = Node(name="quick"), Node(name="slow", children=(Node(name="below"),)), Node(name="e")
    entry = journal.open("rest", "POST /x/{model}", {})
    entry.predictor = "default"
    entry.context.graph = root = Node(name="root", children=(quick, slow, empty))
    for node, seconds in ((quick, 3.0), (slow.children[0], 2.0), (slow, 2.0), (root, 1.0)):
        entry.context.tell(Event(node, "infer", "finished", seconds))
    journal.close(entry)
    waited = {
        node: f'critical_path_seconds_total{{model_name="m",node="{node}",predictor="default",role="engine"}}'
        for node in ("root", "slow", "below", "quick", "e")
    }
    assert [
        f"{line} {seconds}" in page(journal)
        for line, seconds in zip(waited.values(), (1.0, 2.0, 2.0), strict=False)
    ] == [True] * 3
    assert waited["quick"] not in page(journal)
    assert waited["e"] not in page(journal)
