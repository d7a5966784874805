"""Three older shapes, for clients of the service before this one: draw, draw and analyze, analyze."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Discriminator, Field, Tag

from imagegraph.errors import DeadlineExceeded, Expired, InvalidInput
from studio.api import jobs, requests, shapes
from studio.api.access import Maker, Person
from studio.api.context import Key, Open, Studio
from studio.problems import NOT_BLANK, Refused

router = APIRouter(tags=["older clients"])

LONGEST_S = 600.0
TEXTS = ["a cone", "a cube"]  # as an example
GONE = "its picture is not kept any more"
Prompt = Annotated[shapes.Text, Field(min_length=1, max_length=2000, pattern=NOT_BLANK)]
Prompts = Annotated[list[Prompt], Field(min_length=1, max_length=16)]
Texts = Annotated[list[Prompt], Field(min_length=1, max_length=256, description="What it may show")]
Box = Annotated[list[float], Field(min_length=4, max_length=4)]
Roi = Annotated[list[Box], Field(max_length=256, description="x1, y1, x2, y2 in px; none is everything")]
Polygon = list[list[list[float]]]  # the outline, then its holes


class Generate(shapes.Shape):
    """A prompt, or several."""

    model_config = shapes.example(prompt=["a red cone", "a blue cube"])

    # Told apart before either is looked at, so that errors are of the one that is meant.
    prompt: Annotated[
        Annotated[Prompt, Tag("text")] | Annotated[Prompts, Tag("texts")],
        Discriminator(lambda said: "texts" if isinstance(said, list) else "text"),
    ]


class Generated(shapes.Shape):
    """The best picture as base64, or a list of them where a list of prompts was asked for."""

    request_id: str
    generated_image: str | list[str]


class AdvancedGenerate(shapes.Shape):
    """A prompt, and texts that the picture and its parts may show."""

    model_config = shapes.example(prompt="a red cone", texts=TEXTS, roi=[[0, 0, 32, 32]])

    prompt: Prompt
    texts: Texts
    roi: Roi = Field(default_factory=list)


class AllConcepts(shapes.Shape):
    """Which of the texts the picture shows."""

    all_concepts: list[str]
    all_confidence_scores: list[float]
    global_confident_concept: str


class RegionConcepts(shapes.Shape):
    """Which of the texts a part shows."""

    concepts: list[str]
    confidence_scores: list[float]
    max_confident_concept: str


class Region(shapes.Shape):
    """A part of a picture."""

    request_id: str
    clip_analysis: RegionConcepts
    polygon: list[Polygon]


class Segmentation(shapes.Shape):
    """The parts of a picture: masks as base64 of PNG."""

    masks: list[str]
    iou_scores: list[float]
    polygons: list[list[Polygon]]


class DetailedSegmentation(Segmentation):
    """The same, with what each part shows."""

    segmented_regions: list[Region]


class AdvancedGenerated(shapes.Shape):
    """The best picture, and what it and its parts show."""

    request_id: str
    generated_image: str
    clip_analysis: AllConcepts
    segmentation: DetailedSegmentation


class Analyze(shapes.Shape):
    """A photo as base64."""

    model_config = shapes.example(image="iVBORw0KGgo…", texts=TEXTS, roi=[])

    image: Annotated[shapes.Text, Field(min_length=1)]
    texts: Texts
    roi: Roi = Field(default_factory=list)


class Concepts(shapes.Shape):
    """Which of the texts a photo shows."""

    concepts: list[str]
    confidence_scores: list[float]
    max_confidence_concept: str


class Analyzed(shapes.Shape):
    """A photo, and what it and its parts show."""

    request_id: str
    image: str
    clip_analysis: Concepts
    basic_segmentation: Segmentation


@router.post("/generate")
async def generate(asked: Generate, studio: Open, person: Maker, key: Key = None) -> Generated:
    """Draws the best picture of each prompt, by the graph `draw`."""
    several = isinstance(asked.prompt, list)
    job = await _run(studio, person, "draw", {"prompts" if several else "prompt": asked.prompt}, key)
    prompts = asked.prompt if isinstance(asked.prompt, list) else [asked.prompt]
    drawn = [_best(job, prompt) for prompt in prompts]
    images = [await asyncio.to_thread(_base64, studio, one["hash"]) for one in drawn]
    return Generated(request_id=job["id"], generated_image=images if several else images[0])


@router.post("/adv/generate")
async def generate_and_analyze(
    asked: AdvancedGenerate, studio: Open, person: Maker, key: Key = None
) -> AdvancedGenerated:
    """Draws a picture and says what it and its parts show, by the graph `draw-analyze`."""
    inputs = {"prompt": asked.prompt, "texts": asked.texts, **_boxes(asked.roi)}
    job = await _run(studio, person, "draw-analyze", inputs, key)
    outputs, scores = job["outputs"], job["outputs"]["confidence_scores"]
    parts = await asyncio.to_thread(_segmentation, studio, outputs)
    regions = [
        Region(
            request_id=f"{job['id']}-{place}",
            clip_analysis=RegionConcepts(
                concepts=asked.texts,
                confidence_scores=row,
                max_confident_concept=_likeliest(asked.texts, row),
            ),
            polygon=polygon,
        )
        for place, (row, polygon) in enumerate(zip(scores[1:], parts["polygons"], strict=True))
    ]
    return AdvancedGenerated(
        request_id=job["id"],
        generated_image=await asyncio.to_thread(_base64, studio, outputs["image"]["hash"]),
        clip_analysis=AllConcepts(
            all_concepts=asked.texts,
            all_confidence_scores=scores[0],
            global_confident_concept=_likeliest(asked.texts, scores[0]),
        ),
        segmentation=DetailedSegmentation(**parts, segmented_regions=regions),
    )


@router.post("/analyze")
async def analyze(asked: Analyze, studio: Open, person: Maker, key: Key = None) -> Analyzed:
    """Says what a photo and its parts show, by the graph `analyze`."""
    inputs = {"image": asked.image, "texts": asked.texts, **_boxes(asked.roi)}
    job = await _run(studio, person, "analyze", inputs, key)
    outputs, row = job["outputs"], job["outputs"]["confidence_scores"][0]
    return Analyzed(
        request_id=job["id"],
        image=base64.b64encode(requests.from_base64(asked.image, "image")).decode(),
        clip_analysis=Concepts(
            concepts=asked.texts, confidence_scores=row, max_confidence_concept=_likeliest(asked.texts, row)
        ),
        basic_segmentation=Segmentation(**await asyncio.to_thread(_segmentation, studio, outputs)),
    )


async def _run(
    studio: Studio, person: Person, graph: str, inputs: dict[str, Any], key: str | None
) -> dict[str, Any]:
    """Runs a graph to its end, as a job like any other.

    Raises:
        InvalidInput, Refused: its own words.
    """
    begun = await asyncio.to_thread(jobs.begin, studio, person, graph, inputs, None, key)
    job = await jobs.until_ended(studio, begun["id"], LONGEST_S)
    if job["state"] == "failed":
        error = job["error"]
        for fault in error["errors"][:1]:
            raise InvalidInput(fault["field"], fault["expected"], fault["received"])
        raise Refused(error["status"], error["detail"])
    if job["state"] != "done":
        raise DeadlineExceeded(f"job {job['id']} is {job['state']} after {LONGEST_S:g} s")
    return job


def _boxes(roi: Sequence[Box]) -> dict[str, Any]:
    return {"boxes": [list(one) for one in roi]} if roi else {}


def _best(job: Mapping[str, Any], prompt: str) -> Mapping[str, Any]:
    drawn = [one for one in job["pictures"] if one["kind"] == "generated"]
    if not drawn:  # it was asked for before, and deleted meanwhile
        raise Expired(GONE)
    found: Mapping[str, Any] = next((one for one in drawn if one["prompt"] == prompt), drawn[0])
    return found


def _base64(studio: Studio, hash: str) -> str:
    try:
        return base64.b64encode(studio.contents.read(hash)).decode()
    except FileNotFoundError as error:
        raise Expired(GONE) from error


def _segmentation(studio: Studio, outputs: Mapping[str, Any]) -> dict[str, Any]:
    masks = [_base64(studio, one["hash"]) for one in outputs["masks"]]
    return {"masks": masks, "iou_scores": outputs["iou_scores"], "polygons": outputs["polygons"]["masks"]}


def _likeliest(texts: Sequence[str], scores: Sequence[float]) -> str:
    return max(zip(scores, texts, strict=True), key=lambda pair: pair[0])[1]
