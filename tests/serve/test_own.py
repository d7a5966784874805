"""A catalogue of one's own, served: in metadata and over V2 like the project's."""

from imagegraph.spec.catalogue import ROOT
from tests.serve.conftest import outputs, request

OWN = """
entries:
  shout: {component: shout:Shout, summary: Says a text loudly, bundles: {pocket: {}}}
  sum-of-own: {like: add, bundles: {pocket: {settings: {addend: 100}}}}
graphs:
  loud: {summary: Says a text loudly, root: {name: shout}}
"""
SHOUT = '''
from typing import TypedDict

from imagegraph.component import Component


class Loud(TypedDict):
    loud: str


class Shout(Component):
    """Says a text loudly."""

    def predict(self, text: str, times: int = 1) -> Loud:
        return {"loud": text.upper() + "!" * times}
'''


def test_what_somebody_has_added_is_served_as_a_component_and_in_a_graph(start, tmp_path) -> None:
    (tmp_path / "shout.py").write_text(SHOUT)
    (tmp_path / "own.yaml").write_text(OWN)
    added = f"--catalogue={tmp_path / 'own.yaml'}"
    for served in (["--component", "shout"], ["--graph", "loud"]):
        server = start(*served, added)
        name = served[1]
        metadata = server.http.get(f"/v2/models/{name}").raise_for_status().json()
        assert {one["name"] for one in metadata["inputs"]} == {"text", "times"}
        assert [one["name"] for one in metadata["outputs"]] == ["loud"]
        answer = server.http.post(f"/v2/models/{name}/infer", json=request(text="stop", times=2))
        assert outputs(answer)["loud"] == ["STOP!!"]


def test_the_environment_adds_to_what_is_served_too(start, tmp_path) -> None:
    (tmp_path / "own.yaml").write_text(OWN.replace("shout:Shout", "tests.tiny:Double"))
    paths = [tmp_path / "own.yaml"]
    (tmp_path / "tiny.yaml").write_text(
        "base: none\nentries:\n  add:\n    component: tests.tiny:Add\n    summary: Adds\n"
        "    bundles: {pocket: {settings: {addend: 1}}}\n"
    )
    listed = ":".join(map(str, [tmp_path / "tiny.yaml", *paths]))
    server = start("--component", "sum-of-own", IMAGEGRAPH_CATALOGUE=listed, PYTHONPATH=str(ROOT))
    answer = server.http.post("/v2/models/sum-of-own/infer", json=request(number=1))
    assert outputs(answer)["number"] == [101]
