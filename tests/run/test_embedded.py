import asyncio
import time

import pytest

from imagegraph.engine.context import Context
from imagegraph.errors import DeadlineExceeded, InvalidInput, UnknownName
from imagegraph.run.embedded import Embedded
from imagegraph.spec import strict_yaml
from imagegraph.spec.seldon import SeldonDeployment, seldon_deployment
from tests import tiny


@pytest.fixture
def catalogue(tmp_path):
    return tiny.catalogue(tmp_path)


def test_the_predictor_of_a_manifest_runs(catalogue):
    text = strict_yaml.dump(seldon_deployment("sum", catalogue.graph("sum").root, "pocket", "image"))
    predictor = strict_yaml.parse(text, SeldonDeployment, "m").choose("7")
    with Embedded.of(predictor, catalogue, "cpu") as embedded:
        answer = asyncio.run(embedded.run({"number": "1"}, Context(id="7")))
        assert answer.values == {"number": 13, "doubled": 2}
        assert answer.id == "7"
        assert embedded.load_seconds.keys() == {"source", "double", "unite", "add"}


def test_parameters_are_what_the_request_brings_or_the_entry_or_the_signature(catalogue):
    with Embedded(catalogue.graph("ways").root, "pocket", catalogue, "cpu") as embedded:
        assert embedded.parameters({"number": 3}) == {"number": 3, "doubled": 0}
        assert embedded.parameters({"number": 3, "doubled": "4"}) == {"number": 3, "doubled": 4}
    with Embedded(catalogue.graph("add").root, "pocket", catalogue, "cpu") as embedded:
        assert embedded.parameters({}) == {"number": 5, "doubled": 0}


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ({"numbr": 1}, UnknownName, "unknown input 'numbr'. .*'number'.* Available: doubled, number$"),
        ({"number": "x"}, InvalidInput, "number: expected a valid integer"),
        ({}, InvalidInput, "number: expected a value, got 'nothing'"),
    ],
)
def test_a_wrong_request_asks_no_node(catalogue, values, kind, message):
    context = Context()
    with (
        Embedded(catalogue.graph("sum").root, "pocket", catalogue, "cpu") as embedded,
        pytest.raises(kind, match=message),
    ):
        asyncio.run(embedded.run(values, context))
    assert context.events == []


def test_the_deadline_of_the_request_holds(catalogue):
    start = time.monotonic()
    with (
        Embedded(catalogue.graph("slow").root, "pocket", catalogue, "cpu") as embedded,
        pytest.raises(DeadlineExceeded, match="slow"),
    ):
        asyncio.run(embedded.run({}, Context(deadline=start + 0.1)))
    assert time.monotonic() - start < 5


def test_requests_run_beside_each_other(catalogue):
    async def main() -> list[int]:
        with Embedded(catalogue.graph("sum").root, "pocket", catalogue, "cpu") as embedded:
            answers = await asyncio.gather(*(embedded.run({"number": n}) for n in range(20)))
            return [answer.values["number"] for answer in answers]

    assert asyncio.run(main()) == [3 * n + 10 for n in range(20)]
