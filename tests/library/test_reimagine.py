"""The main job from Python: answers from a server are equal, and what was read is read no more."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import imagegraph
from imagegraph.answer import Answer
from imagegraph.client import AsyncClient, Client
from imagegraph.errors import InvalidInput, UnknownName
from imagegraph.library.graph import Graph
from imagegraph.library.stream import Event
from imagegraph.spec.catalogue import DEFAULT_PATH, ROOT, Catalogue
from tests.serve.conftest import Server

SCENE = ROOT / "pocket" / "examples" / "scene.png"
READERS = set(Catalogue.read().priors)
SHORT = {"prompt": "a red cone", "steps": 2, "priors": ["depth", "combined"]}


@pytest.fixture(scope="module")
def url(start: Callable[..., Server]) -> str:
    server = start("--graph", "reimagine", IMAGEGRAPH_CATALOGUE=str(DEFAULT_PATH))
    return f"http://127.0.0.1:{server.http_port}"


@pytest.fixture(scope="module")
def reimagine() -> Iterator[Graph]:
    with imagegraph.load("reimagine", device="cpu") as graph:
        yield graph


@pytest.fixture(scope="module")
def answer(reimagine: Graph) -> Answer:
    return reimagine(SCENE, **SHORT)


def test_an_answer_has_pictures_with_their_scores_and_priors(answer: Answer) -> None:
    assert {one.steered_by for one in answer.pictures} == {"depth", "combined"}
    for one in answer.pictures:
        assert isinstance(one.image, Pillow.Image)
        assert (one.seed, one.prompt) == (0, "a red cone")
        assert {"clip_prompt", "clip_image", "fidelity"} == one.scores.keys()
    scores = [one.scores["clip_prompt"] for one in answer.pictures]
    assert scores == sorted(scores, reverse=True)
    assert answer.best is answer.pictures[0]
    assert answer.priors.keys() >= READERS
    assert answer.priors["depth"].map().shape == (128, 128)
    assert isinstance(answer.caption, str)
    assert answer.timings.keys() > READERS


def test_it_is_equal_from_a_server_and_its_clients(answer: Answer, url: str) -> None:
    async def ask() -> Answer:
        async with AsyncClient(url) as client:
            return await client.infer("reimagine", image=Pillow.open(SCENE), **SHORT)

    with imagegraph.load(url) as served, Client(url) as client:
        same = [
            served(SCENE, **SHORT),
            asyncio.run(served.run(SCENE.read_bytes(), **SHORT)),
            list(served.stream(SCENE, **SHORT))[-1],
            client.infer("reimagine", image=SCENE, **SHORT),
            asyncio.run(ask()),
        ]
    for other in same:
        assert isinstance(other, Answer)
        assert other == answer
        assert [one.about for one in other.pictures] == [one.about for one in answer.pictures]
        assert other.priors == answer.priors
        assert other.timings.keys() == answer.timings.keys()


def test_what_a_graph_takes_and_answers_is_the_same_from_a_server(reimagine: Graph, url: str) -> None:
    with imagegraph.load(f"{url}/v2/models/reimagine") as served:
        assert served.name == "reimagine"
        assert (served.inputs, served.outputs) == (reimagine.inputs, reimagine.outputs)


def asked(events: list[Event | Answer]) -> set[str]:
    ended = [one for one in events if isinstance(one, Event) and one.kind == "finished"]
    return {one.node for one in ended if not one.cached}


@pytest.mark.parametrize("where", ["here", "served"])
def test_priors_are_reused_and_nothing_is_read_again(
    where: str, reimagine: Graph, answer: Answer, url: str
) -> None:
    with imagegraph.load(url) as served:
        graph = reimagine if where == "here" else served
        *events, again = graph.stream(answer.priors, **SHORT)
        assert isinstance(again, Answer)
        assert again == answer
        assert not asked(events) & READERS
        assert asked(events) == {"source", "priors", "generate", "upscale", "rank"}
        blue = graph(answer, **{**SHORT, "prompt": "a blue cone"})
        assert blue.best.prompt == "a blue cone"
        assert dict(blue.priors)["caption"] == answer.caption
        assert again.priors.sources == answer.priors.sources


def test_a_prior_drawn_by_hand_steers_instead_of_the_one_that_would_be_read(
    reimagine: Graph, answer: Answer
) -> None:
    flat = np.full((128, 128), 40_000, np.uint16)
    drawn = reimagine(SCENE, depth=flat, **SHORT)
    assert np.ptp(drawn.depth.map()) == 0
    assert drawn["pictures"][0] != answer["pictures"][0]
    with pytest.raises(InvalidInput, match="depth: expected a file with a picture, got 'no.png"):
        reimagine(SCENE, depth="no.png")


def test_refusals_are_the_same_from_a_server(reimagine: Graph, url: str) -> None:
    with imagegraph.load(url) as served:
        for graph in (reimagine, served):
            for values, kind, words in (
                ({"steps": 0}, InvalidInput, "steps: expected greater than or equal to 1"),
                ({"rank_by": "beauty"}, InvalidInput, "rank_by: expected 'prompt', 'image' or 'fidelity'"),
                ({"stepz": 1}, UnknownName, "'stepz'. Did you mean 'steps'"),
                ({"dpeth": 1}, UnknownName, "unknown input 'dpeth'. Did you mean 'depth'"),
                (
                    {"image": b"hello\n"},
                    InvalidInput,
                    "image: expected a JPEG, PNG or WebP picture, got",
                ),
                ({"image": "no.png"}, InvalidInput, "image: expected a file with a picture, got 'no.png"),
                ({"image": None}, InvalidInput, "image: expected a value"),
            ):
                with pytest.raises(kind, match=words):
                    graph(**{"image": SCENE, **SHORT, **values})
    for option, value in (("bundle", "pocket"), ("device", "cpu"), ("catalogue", "mine.yaml")):
        with pytest.raises(InvalidInput, match=f"{option}: expected none beside a URL.*'{value}'"):
            imagegraph.load(url, **{option: value})  # type: ignore[arg-type]
    with pytest.raises(imagegraph.errors.Unavailable, match="cannot reach"):
        imagegraph.load("http://127.0.0.1:1")


def test_previews_are_pictures_here_and_from_a_server(reimagine: Graph, url: str) -> None:
    with imagegraph.load(url) as served:
        for graph in (reimagine, served):
            told: list[Event] = []
            graph(SCENE, on_event=told.append, previews=True, **SHORT)
            drawn = [one.preview for one in told if one.preview]
            assert drawn
            assert drawn[0].size == (128, 128)


def test_words_are_drawn_by_the_priors_of_another_graphs_answer(answer: Answer) -> None:
    with imagegraph.load("draw", device="cpu") as draw:
        assert draw("a red cone", steps=1).best.prompt == "a red cone"
        steered = draw(answer.priors, **SHORT)
        assert {one.steered_by for one in steered.pictures} == {"depth", "combined"}


def test_graphs_that_share_models_answer_together_as_alone(reimagine: Graph, answer: Answer) -> None:
    with imagegraph.load("draw", device="cpu") as draw:
        alone = draw("a red cone", steps=3)

        async def both() -> list[Answer]:
            return await asyncio.gather(reimagine.run(SCENE, **SHORT), draw.run("a red cone", steps=3))

        for _ in range(3):
            assert asyncio.run(both()) == [answer, alone]


def test_a_served_answer_is_saved_too(url: str, tmp_path: Path) -> None:
    with imagegraph.load(url) as served:
        files = served(SCENE, **SHORT).save(tmp_path / "out")
    assert files[-1].name == "results.json"
    assert {"depth.png", "source-image.png"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_who_closes_nothing_leaves_no_complaint(url: str) -> None:
    code = f"import imagegraph; graph = imagegraph.load('{url}'); print(graph.name)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (run.returncode, run.stdout, run.stderr) == (0, "graph\n", "")
