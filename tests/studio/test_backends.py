"""Graphs elsewhere, by the URL of their V2 server; and components that are nowhere in the project."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serve.conftest import Server
from tests.serve.test_manifest import SUM, manifest, predictor
from tests.studio.serving import Studio, catalogue, running, settings, wait_for

MINE = """
entries:
  stripes:
    component: stripes:Stripes
    summary: Stripes of two colours
    bundles: {pocket: {}}
"""
STRIPES = '''
from typing import Annotated, Literal, TypedDict

import numpy as np
from pydantic import Field

from imagegraph.component import Component
from imagegraph.image import Image


class Striped(TypedDict):
    striped: Image


class Stripes(Component):
    """Draws stripes."""

    def predict(
        self,
        colour: Literal["red", "blue"],
        width: Annotated[int, Field(ge=1, le=16, description="Of a stripe, px")] = 4,
        soft: bool = False,
    ) -> Striped:
        """Answers stripes."""
        pixels = np.zeros((32, 32, 3), np.uint8)
        pixels[:, np.arange(32) // width % 2 == 0, 0 if colour == "red" else 2] = 255
        return {"striped": Image.from_array(pixels)}
'''


def test_a_component_of_ones_own_appears_with_its_form(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "mine.yaml").write_text(MINE)
    (folder / "stripes.py").write_text(STRIPES)
    known = settings(tmp_path / "studio", catalogue=(catalogue(tmp_path), folder / "mine.yaml"))
    with running(known) as studio:
        assert "stripes" in [one["name"] for one in studio.get("/api/graphs").json()]
        graph = studio.get("/api/graphs/stripes").json()
        form = {
            one["name"]: (one["kind"], one["group"], one["required"], one["default"])
            for one in graph["inputs"]
        }
        assert form == {
            "colour": ("choice", "main", True, None),
            "width": ("integer", "advanced", False, 4),
            "soft": ("boolean", "advanced", False, False),
        }
        width = next(one for one in graph["inputs"] if one["name"] == "width")
        assert width["limits"] == {"minimum": 1, "maximum": 16}
        assert width["description"] == "Of a stripe, px"
        assert graph["tree"]["summary"] == "Stripes of two colours"
        assert graph["outputs"][0]["kind"] == "image"
        job = studio.run("stripes", {"colour": "red"})
        assert (job["state"], job["pictures"][0]["kind"]) == ("done", "generated")
        refused = studio.post("/api/graphs/stripes/jobs", json={"inputs": {"colour": "green"}})
        assert refused.json()["errors"][0]["field"] == "colour"


class Plain(ThreadingHTTPServer):
    """Stands before a server and tells no events, as Seldon's executor does."""

    def __init__(self, behind: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.pass_on("GET", None)

            def do_POST(self) -> None:
                self.pass_on("POST", self.rfile.read(int(self.headers["Content-Length"])))

            def pass_on(self, method: str, body: bytes | None) -> None:
                headers = {name: value for name, value in self.headers.items() if name.lower() != "accept"}
                answer = httpx.request(
                    method, f"{behind}{self.path}", content=body, headers=headers, timeout=60
                )
                self.send_response(answer.status_code)
                for name in ("content-type", "inference-header-content-length"):
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, *arguments: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture(params=["events", "without"])
def deployed(
    request: pytest.FixtureRequest,
    start: Callable[..., Server],
    tmp_path: Path,
) -> Iterator[Studio]:
    """A studio over a graph that another process serves, with events and without."""
    server = start("--component", "paint")
    url = f"http://127.0.0.1:{server.http_port}"
    wait_for(lambda: httpx.get(f"{url}/v2/health/ready").status_code == 200)
    plain = None
    if request.param == "without":
        plain = Plain(url)
        threading.Thread(target=plain.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{plain.server_address[1]}"
    with running(settings(tmp_path, graphs={"paint": url}, embedded=False)) as studio:
        yield studio
    if plain:
        plain.shutdown()
        plain.server_close()


def test_a_deployed_graph_is_as_one_of_this_process(deployed: Studio) -> None:
    (listed,) = deployed.get("/api/graphs").json()
    assert (listed["name"], listed["ready"]) == ("paint", True)
    form = {one["name"]: one["kind"] for one in deployed.get("/api/graphs/paint").json()["inputs"]}
    assert form["image"] == "image"
    assert form["seed"] == "integer"
    photo = {"picture": deployed.example()["id"]}
    job = deployed.run("paint", {"image": photo, "seed": 4, "prompt": "far away"})
    assert job["state"] == "done", job["error"]
    assert [one["prior"] for one in job["pictures"] if one["kind"] == "generated"] == ["combined", "depth"]
    picture = deployed.get(f"/api/pictures/{job['pictures'][0]['id']}").json()
    assert picture["provenance"]["parameters"]["seed"] == 4
    assert picture["recall"]["inputs"] == {"image": photo, "seed": 4, "prompt": "far away"}


def test_a_server_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    with running(settings(tmp_path, graphs={"paint": "http://127.0.0.1:9"}, embedded=False)) as studio:
        (listed,) = studio.get("/api/graphs").json()
        assert not listed["ready"]
        assert "127.0.0.1:9" in listed["error"]
        answer = studio.post("/api/graphs/paint/jobs", json={"inputs": {}})
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
        assert studio.get("/api/system").status_code == 200


def test_a_version_of_a_deployed_graph_is_asked_for_or_falls_to_one_as_its_traffic_says(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    versions = [
        predictor(SUM, {}, name="stable", traffic=0),
        predictor(SUM, {}, name="canary", traffic=100),
        predictor(SUM, {}, name="copy", shadow=True),
    ]
    engine = start("--manifest", str(manifest(tmp_path / "sum.yaml", *versions)))
    url = f"http://127.0.0.1:{engine.http_port}"
    with running(settings(tmp_path, graphs={"sum": url}, embedded=False)) as studio:
        assert studio.get("/api/graphs/sum").json()["bundles"] == ["canary", "stable"]
        unasked = studio.run("sum", {"number": 4})
        assert (unasked["state"], unasked["bundle"]) == ("done", "canary")
        for bundle, status in (("stable", 200), ("copy", 404), ("none", 404)):
            body = {"inputs": {"number": 5}, "bundle": bundle}
            answer = studio.post("/api/graphs/sum/jobs", params={"wait": 60}, json=body)
            assert answer.status_code == status, answer.text
        (graph,) = studio.get("/api/system").json()["graphs"]
        shown = [(one["name"], one["traffic"], one["shadow"], one["jobs"]) for one in graph["versions"]]
        assert shown[:2] == [("canary", 100, False, 1), ("stable", 0, False, 1)]
        assert shown[2][::2] == ("copy", True)
    lines = engine.http.get("/metrics").text.splitlines()
    for name in ("stable", "canary"):
        answered = [one for one in lines if "requests_total{" in one and f'predictor="{name}"' in one]
        assert sum(float(one.split()[-1]) for one in answered) == 1
