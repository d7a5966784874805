"""Requests that are watched: server-sent events, gRPC streams, and what they refer to."""

import asyncio
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagegraph.client import Answer, AsyncClient, Client, Step
from imagegraph.errors import DeadlineExceeded, ImagegraphError
from imagegraph.image import Image
from tests.serve.conftest import Server, outputs, request

INFER = "/v2/models/m/infer"
EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def painting(start: Callable[..., Server]) -> Server:
    return start("--component", "painting")


@pytest.fixture(scope="module")
def summing(start: Callable[..., Server]) -> Server:
    return start("--graph", "sum", "--cache-mib", "1")


def watch(server: Server, body: dict[str, Any], **headers: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of one request: kind and facts."""
    with server.http.stream("POST", INFER, json=body, headers={**EVENTS, **headers}) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["x-request-id"]
        blocks = "".join(answer.iter_text()).strip().split("\n\n")
    lines = [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]
    return [(one["event"], json.loads(one["data"])) for one in lines]


def test_a_graph_tells_of_each_node_and_answers_last(summing: Server) -> None:
    happened = watch(summing, request(number=4))
    seen = [(kind, facts.get("node")) for kind, facts in happened]
    assert seen[-1] == ("answer", None)
    nodes = ("source", "double", "unite", "add")
    assert sorted(seen[:-1]) == sorted((kind, node) for node in nodes for kind in ("started", "finished"))
    assert (
        seen.index(("finished", "double")) < seen.index(("started", "unite")) < seen.index(("started", "add"))
    )
    plain = summing.infer(INFER, number=4).json()
    assert happened[-1][1]["outputs"] == plain["outputs"]
    finished = {facts["node"]: facts for kind, facts in happened if kind == "finished"}
    assert [one["name"] for one in finished["double"]["outputs"]] == ["doubled"]
    assert [one["name"] for one in finished["add"]["outputs"]] == ["number"]
    assert finished["source"]["outputs"] == finished["unite"]["outputs"] == [], "they only pass values on"
    again = watch(summing, request(number=4))
    cached = {facts["node"]: facts["cached"] for kind, facts in again if kind == "finished"}
    assert cached["double"] is True


def test_values_are_referred_to_by_their_hash_and_can_be_fetched(painting: Server) -> None:
    happened = watch(painting, {**request(grey=7, steps=1), "parameters": {"previews": True}})
    kinds = [kind for kind, _ in happened]
    assert kinds == ["started", "progress", "finished", "answer"]
    tensor = happened[2][1]["outputs"][0]
    assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("image", "BYTES", [1])
    (reference,) = tensor["references"]
    assert reference == happened[1][1]["preview"]["references"][0], "the same content has one place"
    assert reference["href"] == f"/v2/results/{reference['sha256']}"
    answer = painting.http.get(reference["href"])
    assert answer.headers["content-type"] == reference["content_type"] == "image/png"
    assert answer.headers["etag"] == f'"{reference["sha256"]}"'
    assert len(answer.content) == reference["bytes"]
    assert hashlib.sha256(answer.content).hexdigest() == reference["sha256"]
    assert Image(answer.content).rgb().getpixel((0, 0)) == (7, 7, 7)
    assert painting.http.head(reference["href"]).status_code == 200


def test_what_is_not_kept_is_told(painting: Server) -> None:
    gone = painting.http.get(f"/v2/results/{'0' * 64}")
    assert (gone.status_code, "no result 000" in gone.json()["error"]) == (404, True)


def test_a_request_that_nobody_can_begin_has_a_status(painting: Server) -> None:
    for body, status in ((b"no json", 400), (json.dumps(request(grey="dark")).encode(), 200)):
        answer = painting.http.post(INFER, content=body, headers=EVENTS)
        assert answer.status_code == status
    pinned = painting.http.post(INFER, json=request(), headers={**EVENTS, "X-Predictor": "x"})
    assert pinned.status_code == 404


def test_an_error_is_the_last_event(painting: Server) -> None:
    kind, facts = watch(painting, request(grey="dark"))[-1]
    assert (kind, facts["status"]) == ("error", 400)
    assert facts["error"].startswith("node 'painting': grey: expected a valid integer")
    kind, facts = watch(painting, request(steps=1000), **{"X-Request-Timeout": "0.3"})[-1]
    assert (kind, facts["status"]) == ("error", 504)


def test_a_watcher_that_leaves_stops_the_work(painting: Server) -> None:
    body = request(steps=1000, seconds=0.05)
    with painting.http.stream("POST", INFER, json=body, headers=EVENTS) as answer:
        for text in answer.iter_text():
            if "progress" in text:
                break
    start = time.monotonic()
    assert outputs(painting.infer(INFER, steps=1))
    assert time.monotonic() - start < 10


def test_the_client_streams(painting: Server) -> None:
    url = f"http://127.0.0.1:{painting.http_port}"
    with Client(url) as client:
        *steps, answer = client.stream("m", grey=9, previews=True)
        assert isinstance(answer, Answer)
        assert [step.kind for step in steps if isinstance(step, Step)][:2] == ["started", "progress"]
        finished = steps[-1]
        assert isinstance(finished, Step)
        (reference,) = finished.outputs["image"]
        assert client.fetch(reference) == answer["image"].data
        drawn = [step.preview for step in steps if isinstance(step, Step) and step.preview]
        assert drawn[0] == reference
        with pytest.raises(ImagegraphError, match="grey: expected a valid integer") as caught:
            list(client.stream("m", grey="dark"))
        assert caught.value.status == 400
        with pytest.raises(DeadlineExceeded):
            list(client.stream("m", steps=1000, timeout_s=0.5))
        for _ in client.stream("m", steps=1000):
            break  # and the work stops
        assert client.infer("m", steps=1)["image"]


def test_the_async_client_streams_several_at_once(painting: Server) -> None:
    async def last(client: AsyncClient, grey: int) -> Any:
        return [one async for one in client.stream("m", grey=grey)][-1]

    async def main() -> list[Any]:
        async with AsyncClient(f"http://127.0.0.1:{painting.http_port}") as client:
            return await asyncio.gather(*(last(client, grey) for grey in (10, 20, 30)))

    pixels = [answer["image"].rgb().getpixel((0, 0))[0] for answer in asyncio.run(main())]
    assert pixels == [10, 20, 30]


def test_tritons_client_streams_over_grpc(painting: Server) -> None:
    script = Path(__file__).with_name("triton_stream.py")
    run = subprocess.run([sys.executable, script, str(painting.grpc_port)], capture_output=True, timeout=120)
    assert run.returncode == 0, run.stderr[-3000:]
    first, second = json.loads(run.stdout)
    assert [one["event"] for one in first if "event" in one][:2] == ["started", "progress"]
    assert first[-1] == {"id": "one", "outputs": ["image"], "png": True}
    assert "grey: expected a valid integer" in second[-1]["error"]


def test_the_openapi_document_tells_of_streams(painting: Server) -> None:
    document = painting.http.get("/openapi.json").json()
    content = document["paths"]["/v2/models/{model}/infer"]["post"]["responses"]["200"]["content"]
    assert set(content) == {"application/json", "text/event-stream"}


def test_ids_and_traces_come_back(double: Server) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"Seldon-Puid": "p1", "traceparent": trace}
    answer: httpx.Response = double.http.post(INFER, json=request(number=1), headers=headers)
    assert {name: answer.headers[name] for name in ("x-request-id", "seldon-puid", "traceparent")} == {
        "x-request-id": "p1",
        "seldon-puid": "p1",
        "traceparent": trace,
    }
    wrong = double.http.post(INFER, json=request(number=1), headers={"traceparent": "00-0-0-01"})
    assert "traceparent" not in wrong.headers
