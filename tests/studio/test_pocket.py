"""With the trained pocket bundle: search by likeness, and the three shapes of older clients."""

import base64
import io
import secrets
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from PIL import Image as Pillow

from studio.settings import Settings
from tests.studio.serving import SCENE, Studio, running, wait_for

TEXTS = ["a red sphere", "a blue cube", "a person in green"]
BASE64 = {"type": "string", "pattern": "^[A-Za-z0-9+/]+={0,2}$", "minLength": 99}
CONCEPT, ID = {"enum": TEXTS}, {"type": "string", "minLength": 1}
SCORES = {
    "type": "array",
    "items": {"type": "number", "minimum": 0, "maximum": 1},
    "minItems": 3,
    "maxItems": 3,
}
POINT = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
POLYGON = {"type": "array", "items": {"type": "array", "items": {"type": "array", "items": POINT}}}


def exactly(**fields: Any) -> dict[str, Any]:
    """Returns the schema of an object with these fields and no others."""
    return {"type": "object", "properties": fields, "required": [*fields], "additionalProperties": False}


def listed(schema: Any) -> dict[str, Any]:
    return {"type": "array", "items": schema}


SEGMENTATION = {
    "masks": listed(BASE64),
    "iou_scores": listed({"type": "number"}),
    "polygons": listed(POLYGON),
}
GENERATED = exactly(request_id=ID, generated_image={"anyOf": [BASE64, listed(BASE64)]})
ADVANCED = exactly(
    request_id=ID,
    generated_image=BASE64,
    clip_analysis=exactly(
        all_concepts=listed(CONCEPT), all_confidence_scores=SCORES, global_confident_concept=CONCEPT
    ),
    segmentation=exactly(
        **SEGMENTATION,
        segmented_regions=listed(
            exactly(
                request_id=ID,
                clip_analysis=exactly(
                    concepts=listed(CONCEPT), confidence_scores=SCORES, max_confident_concept=CONCEPT
                ),
                polygon=POLYGON,
            )
        ),
    ),
)
ANALYZED = exactly(
    request_id=ID,
    image=BASE64,
    clip_analysis=exactly(concepts=listed(CONCEPT), confidence_scores=SCORES, max_confidence_concept=CONCEPT),
    basic_segmentation=exactly(**SEGMENTATION),
)


@pytest.fixture(scope="module")
def pocket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio over the project's catalogue and the pocket bundle."""
    known = Settings(data=tmp_path_factory.mktemp("pocket"), preload="", device="cpu")
    with running(known) as client:
        yield client


def test_pictures_are_found_by_words_and_by_each_other(pocket: Studio) -> None:
    drawn: dict[str, dict[str, Any]] = {}
    for prompt in ("a red sphere", "a blue cube", "a green cone"):
        job = pocket.run("generate", {"prompt": prompt, "seed": 3, "steps": 8}, wait=200)
        assert job["state"] == "done", job["error"]
        drawn[prompt] = job["pictures"][0]
    for prompt, picture in drawn.items():
        answer = wait_for(
            lambda prompt=prompt: (
                page := pocket.get("/api/pictures", params={"about": prompt}, timeout=120).json()
            )["total"] == 3 and page
        )  # fmt: skip
        assert answer["items"][0]["id"] == picture["id"]
        likenesses = [one["similarity"] for one in answer["items"]]
        assert likenesses == sorted(likenesses, reverse=True)
    (scene,) = pocket.post("/api/pictures", files={"files": ("scene.png", SCENE.read_bytes())}).json()
    near = pocket.get("/api/pictures", params={"like": scene["id"]}).json()
    assert scene["id"] not in [one["id"] for one in near["items"]]
    assert near["total"] == 3
    for search, total in (({"like": scene["id"]}, 3), ({"about": "a red sphere"}, 4)):
        pages = [
            pocket.get("/api/pictures", params={**search, "limit": 1, "offset": place}).json()
            for place in range(total)
        ]
        assert [one["next"] for one in pages] == [*map(str, range(1, total)), None]
        assert {one["total"] for one in pages} == {total}
        assert len({one["items"][0]["id"] for one in pages}) == total
        assert pocket.get("/api/pictures", params={**search, "cursor": 1}).status_code == 400
    blue = {"about": "a red sphere", "q": "blue"}
    assert [one["id"] for one in pocket.get("/api/pictures", params=blue).json()["items"]] == [
        drawn["a blue cube"]["id"]
    ]


def asked(studio: Studio, path: str, body: dict[str, Any], schema: dict[str, Any]) -> Any:
    """Asks, and asks again with the same key: what was done is answered again, and not done again."""
    headers = {"Idempotency-Key": secrets.token_hex()}
    answer = studio.post(path, json=body, headers=headers, timeout=300)
    assert answer.status_code == 200, answer.text
    jsonschema.validate(answer.json(), schema)
    jobs = studio.get("/api/jobs").json()["total"]
    assert studio.post(path, json=body, headers=headers).json() == answer.json()
    assert studio.get("/api/jobs").json()["total"] == jobs
    return answer.json()


def test_older_clients_generate_one_picture_or_several(pocket: Studio) -> None:
    one = asked(pocket, "/api/generate", {"prompt": "a red sphere"}, GENERATED)["generated_image"]
    with Pillow.open(io.BytesIO(base64.b64decode(one))) as picture:
        assert picture.size == (256, 256)
    prompts = {"prompt": ["a red sphere", "a blue cube"]}
    several = asked(pocket, "/api/generate", prompts, GENERATED)["generated_image"]
    assert len(set(several)) == 2


def test_older_clients_generate_and_analyze(pocket: Studio) -> None:
    body = {"prompt": "a red sphere", "texts": TEXTS, "roi": [[20, 20, 200, 200], [0, 0, 60, 60]]}
    answer = asked(pocket, "/api/adv/generate", body, ADVANCED)
    assert answer["clip_analysis"]["global_confident_concept"] == "a red sphere"
    assert len(answer["segmentation"]["segmented_regions"]) == len(answer["segmentation"]["masks"]) == 2


def test_older_clients_analyze_a_photo(pocket: Studio) -> None:
    photo = base64.b64encode(SCENE.read_bytes()).decode()
    whole = asked(pocket, "/api/analyze", {"image": photo, "texts": TEXTS}, ANALYZED)
    assert whole["image"] == photo
    assert len(whole["basic_segmentation"]["masks"]) > 1
    boxed = {"image": photo, "texts": TEXTS, "roi": [[10, 10, 110, 100]]}
    assert len(asked(pocket, "/api/analyze", boxed, ANALYZED)["basic_segmentation"]["polygons"]) == 1


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/generate", {"prompt": ""}, "prompt"),
        ("/api/generate", {}, "prompt"),
        ("/api/analyze", {"image": "no base64!", "texts": TEXTS}, "image"),
        ("/api/analyze", {"image": "https://example.org/x.png", "texts": TEXTS}, "image"),
        ("/api/adv/generate", {"prompt": "a", "texts": []}, "texts"),
        ("/api/adv/generate", {"prompt": "a", "texts": TEXTS, "roi": [[1, 2, 3]]}, "roi.0"),
    ],
)
def test_older_clients_are_told_what_is_wrong(
    pocket: Studio, path: str, body: dict[str, Any], field: str
) -> None:
    answer = pocket.post(path, json=body)
    assert answer.status_code in (400, 422)
    assert any(one["field"].startswith(field) for one in answer.json()["errors"])
