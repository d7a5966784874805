"""OpenTelemetry: spans of requests and nodes, over processes, at a receiver of OTLP over HTTP."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from imagegraph.spec.graph import Node
from tests.serve.conftest import Server, outputs, request
from tests.serve.test_manifest import manifest, predictor

Start = Callable[..., Server]
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Receiver:
    """Collects spans by the service that sent them."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    about = {one.key: one.value.string_value for one in resource.resource.attributes}
                    for scope in resource.scope_spans:
                        spans.extend((about["service.name"], span) for span in scope.spans)
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, count: int, seconds: float = 60) -> list[tuple[str, Any]]:
        end = time.monotonic() + seconds
        while len(self.spans) < count:
            assert time.monotonic() < end, self.spans
            time.sleep(0.05)
        return self.spans


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in span.attributes}


def test_one_trace_goes_through_engine_and_pod(start: Start, receiver: Receiver, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{receiver.server.server_address[1]}"
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    pod = start("--component", "double", **environment)
    path = manifest(tmp_path / "m.yaml", predictor(Node(name="double"), {"double": pod}))
    engine = start("--manifest", str(path), OTEL_SERVICE_NAME="engine", **environment)
    headers = {"traceparent": CALLER, "X-Request-Id": "r1"}
    answer = engine.http.post("/v2/models/m/infer", json=request(number=4), headers=headers)
    assert outputs(answer) == {"doubled": [8]}

    sent = receiver.wait(4)
    spans = {(service, span.name): span for service, span in sent}
    infer = "POST /v2/models/{model}/infer"
    way = [("engine", infer), ("engine", "double infer"), ("imagegraph-double", infer)]
    way.append(("imagegraph-double", "double infer"))
    parent = bytes.fromhex("b7ad6b7169203331")
    for step in way:
        assert spans[step].trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
        assert spans[step].parent_span_id == parent, step
        parent = spans[step].span_id
    request_span = attributes(spans[way[0]])
    assert request_span["imagegraph.request_id"] == "r1"
    assert request_span["http.response.status_code"] == 200
    assert request_span["imagegraph.predictor"] == "default"
    computed = attributes(spans[way[3]])
    assert computed["imagegraph.batch_size"] == 1
    assert computed["imagegraph.queue_s"] >= 0
    kinds = [spans[step].kind for step in way]
    assert kinds == [2, 3, 2, 1], "server, client, server, internal"

    failed = engine.infer(number=-1, numbr=2)
    assert failed.status_code == 404
    pod.process.kill()
    pod.process.wait()
    assert engine.infer(number=4).status_code == 503
    errors = [span for _, span in receiver.wait(7)[4:] if span.status.code == 2]
    assert [span.name for span in errors] == ["double infer", infer]


def test_a_receiver_that_is_not_there_harms_nobody(start: Start) -> None:
    server = start("--component", "double", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    assert outputs(server.infer(number=4)) == {"doubled": [8]}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "expected otlp, console or none, got 'zipkin'"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: expected http/protobuf, got 'grpc'",
        ),
    ],
)
def test_what_is_not_there_is_told_at_once(start: Start, environment: dict[str, str], message: str) -> None:
    server = start("--component", "double", wait=False, **environment)
    assert server.process.wait(60) == 2
    assert message in server.log.read_text()
