"""The API keeps to its own OpenAPI document, as schemathesis sees it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from studio import app
from studio.settings import Settings, Token
from tests.studio import serving
from tests.studio.serving import Studio

# Whether two values go together no schema says: that one of them is refused is no fault.
EXAMPLES = 12  # for each operation
DOCUMENT = app.make(Settings()).openapi()
# A stream that ends with its job, and answers that wait for models.
LEFT_OUT = "/events$|/load$|^/api/(generate|adv/generate|analyze)$"

TOKEN = Token(name="ann", role="admin", token="ann-secret")
HEADERS = {"Authorization": "Bearer ann-secret"}

schema = schemathesis.openapi.from_dict(DOCUMENT)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio with little room, so that what is made up does not pile up."""
    known = serving.settings(tmp_path_factory.mktemp("schema"), queue=3, tokens=(TOKEN,))
    with serving.running(known) as client:
        client.headers.update(HEADERS)
        client.run("painter", {"prompt": "there is something", "variants": 2})
        yield client


@schema.exclude(path_regex=LEFT_OUT).parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_are_what_the_document_says(case: schemathesis.Case, busy: Studio) -> None:
    case.call_and_validate(
        base_url=str(busy.base_url), headers=HEADERS, timeout=60, excluded_checks=[positive_data_acceptance]
    )


def test_the_document_is_printed_without_a_store(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "imagegraph.cli", "studio", "--openapi"]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == json.loads(json.dumps(DOCUMENT))
    assert not list(tmp_path.iterdir())


def test_every_operation_has_words_and_errors_of_one_shape() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    for path, operations in DOCUMENT["paths"].items():
        for method, one in operations.items():
            assert one["description"], f"{method} {path}"
            assert "application/problem+json" in one["responses"]["422"]["content"], f"{method} {path}"


def test_every_body_has_an_example_and_every_operation_says_how_to_be_let_in(busy: Studio) -> None:
    document = busy.get("/api/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, one in operations.items():
            for kind, body in one.get("requestBody", {"content": {}})["content"].items():
                shape = document["components"]["schemas"].get(body["schema"].get("$ref", "").split("/")[-1])
                shape = shape or body["schema"]
                shown = shape.get("examples") or [
                    field.get("examples") for field in shape["properties"].values()
                ]
                assert any(shown), f"{method} {path} {kind}"
            if path.startswith("/api/"):
                assert "421" in one["responses"], f"{method} {path}"
    schemes = document["components"]["securitySchemes"]
    ways = [scheme for way in document["paths"]["/api/pictures"]["get"]["security"] for scheme in way]
    assert [schemes[one]["type"] for one in ways] == ["http", "apiKey"]
    assert "304" in document["paths"]["/api/pictures/{id}/file"]["get"]["responses"]
