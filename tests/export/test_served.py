"""What exported folders import answers as our own server does, from any thread and any loop."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imagegraph.errors import InvalidInput, MissingWeights, UnknownName
from imagegraph.export.served import Served
from imagegraph.message import Message
from tests import tiny
from tests.export.serving import tensor


@pytest.fixture(autouse=True)
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.catalogue(tmp_path)
    monkeypatch.setenv("IMAGEGRAPH_CATALOGUE", str(tmp_path / "catalogue.yaml"))


@pytest.fixture
def double(catalogue: None) -> Iterator[Served]:
    with Served("double", "pocket", "cpu") as served:
        served.wait()
        yield served


def test_a_v2_request_is_answered(double: Served) -> None:
    assert double.ready
    answer = double.infer({"id": "one", "inputs": [tensor("number", 4)]})
    assert (answer["id"], answer["model_name"]) == ("one", "double")
    assert answer["outputs"] == [tensor("doubled", 8)]


def test_a_refusal_is_the_error_that_it_was(double: Served) -> None:
    with pytest.raises(InvalidInput, match="number: expected") as refused:
        double.infer({"inputs": [tensor("number", "four")]})
    assert (refused.value.status, refused.value.node) == (400, "double")
    with pytest.raises(UnknownName, match="unknown input 'numbr'"):
        double.infer({"inputs": [tensor("numbr", 4)]})


def test_whoever_has_a_loop_awaits(double: Served) -> None:
    async def ask() -> list[int]:
        asked = [double.inferred({"inputs": [tensor("number", one)]}) for one in range(3)]
        return [answer["outputs"][0]["data"][0] for answer in await asyncio.gather(*asked)]

    assert asyncio.run(ask()) == [0, 2, 4]


def test_http_requests_are_answered_as_our_server_does(double: Served) -> None:
    body = json.dumps({"instances": [{"number": 1}, {"number": 2}]}).encode()
    answer = double.ask("POST", "/v1/models/double:predict", body, {"X-Request-Id": "r-1"})
    assert json.loads(answer.body) == {"predictions": [{"doubled": 2}, {"doubled": 4}]}
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert answer.headers["x-request-id"] == "r-1"
    assert double.ask("GET", "/v2/health/ready").status == 200
    assert double.ask("GET", "/nowhere").status == 404
    assert double.ask("POST", "/v2/models/double/infer", bytes(double.most_bytes + 1)).status == 413


def test_values_are_answered_with_values(double: Served) -> None:
    assert double.run(Message({"number": 21})).values == {"doubled": 42}
    with pytest.raises(InvalidInput, match="number"):
        double.run(Message({"number": "many"}))


def test_what_threads_ask_at_once_is_computed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tiny.Together] = []
    init = tiny.Together.__init__
    monkeypatch.setattr(tiny.Together, "__init__", lambda self: (init(self), made.append(self))[0])
    with Served("together", "pocket", "cpu") as served, ThreadPoolExecutor(8) as threads:
        served.wait()
        answers = threads.map(lambda _: served.infer({"inputs": [tensor("number", 2)]}), range(8))
        assert all(answer["outputs"] == [tensor("doubled", 4)] for answer in answers)
    assert max(map(len, made[0].batches)) > 1


def test_what_does_not_load_says_why() -> None:
    with Served("broken", "pocket", "cpu") as served:
        with pytest.raises(MissingWeights, match="no weights; pull them"):
            served.wait()
        assert not served.ready
        with pytest.raises(Exception, match="no weights; pull them"):
            served.infer({"inputs": [tensor("number", 4)]})


def test_what_is_not_in_the_catalogue_is_refused_at_once() -> None:
    with pytest.raises(UnknownName, match="unknown entry 'triple'"):
        Served("triple", "pocket")
