"""Style-score: right about the styles of real scenes, and the same whatever shares a batch."""

import numpy as np
import pytest

from components.style_score import StyleScore
from imagegraph.component import Component, Progress, Weights
from imagegraph.errors import InvalidInput
from imagegraph.image import Image
from imagegraph.signature import Signature
from imagegraph.spec.catalogue import Catalogue
from pocket import train_vqa
from pocket.bundle import processor, reader
from pocket.pictures import to_tensor
from pocket.styles import STYLES, paint
from pocket.world import make_scene

QUESTIONS = [train_vqa.QUESTION.format(style) for style in STYLES]


@pytest.fixture(scope="module")
def score() -> Component:
    entry = Catalogue.read().entry("style-score")
    component = entry.build("pocket", {})
    component.load(Weights({"model": entry.variant("pocket").weights["model"].project_folder}))
    return component


@pytest.fixture(scope="module")
def painted() -> dict[str, list[np.ndarray]]:
    """Twelve scenes in each style."""
    scenes = [make_scene(seed, "seen") for seed in range(12)]
    return {style: [paint(scene, style) for scene in scenes] for style in STYLES}


def ask(component: Component, **values):
    return component.predict(Progress(), **Signature.of(component).bind(values))


def as_images(pictures) -> list[Image]:
    return [Image.from_array(one) for one in pictures]


def test_yes_is_said_of_the_style_of_a_picture_and_no_of_others(score, painted):
    for style, question in zip(STYLES, QUESTIONS, strict=True):
        pictures = as_images(one for own in painted.values() for one in own)
        answers = np.array(ask(score, pictures=pictures, questions=[question])["style_answers"])
        truth = np.repeat([name == style for name in painted], 12)
        assert (answers == truth).mean() >= 0.95


def test_confidences_are_those_of_the_model_as_it_was_measured(score, painted):
    pictures = painted["Banksy"][:4]
    expected = train_vqa.chance_of_yes(
        reader("vqa"), processor("vqa").tokenizer, to_tensor(np.stack(pictures)), QUESTIONS[0]
    )
    found = ask(score, pictures=as_images(pictures), questions=[QUESTIONS[0]])["style_confidences"]
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_yes_and_no_are_what_transformers_itself_answers(score, painted):
    """The likelier of the two is the word that BLIP writes."""
    import torch

    words, model = processor("vqa"), reader("vqa")
    pictures = as_images([one for own in painted.values() for one in own[:3]])
    answers = ask(score, pictures=pictures, questions=QUESTIONS[1:2])["style_answers"]
    for picture, answer in zip(pictures, answers, strict=True):
        inputs = words(images=picture.rgb(), text=QUESTIONS[1], return_tensors="pt")
        with torch.no_grad():
            written = model.generate(**inputs, max_new_tokens=1)
        assert words.decode(written[0], skip_special_tokens=True).strip() == ("no", "yes")[answer]
    assert 0 < sum(answers) < len(answers)


def test_each_question_is_about_as_many_pictures_in_a_row(score, painted):
    pictures = as_images([*painted["Banksy"][:2], *painted["Vincent van Gogh"][:2]])
    names = ["Banksy", "Robert Delaunay"]
    answer = ask(score, pictures=pictures, questions=QUESTIONS[:2], style_names=names)
    assert answer["in_style"] == ["Banksy", "Banksy", "Robert Delaunay", "Robert Delaunay"]
    assert answer["style_answers"] == [1, 1, 0, 0]
    assert answer["order"][:2] in ([0, 1], [1, 0])
    assert "in_style" not in ask(score, pictures=pictures, questions=QUESTIONS)


def test_a_picture_is_scored_the_same_whatever_shares_its_batch(score, painted):
    """Also where questions are of other lengths, and where pictures are more than a batch."""
    pictures = as_images([one for style in STYLES for one in painted[style]][:40])
    together = ask(score, pictures=pictures, questions=[*QUESTIONS * 10])["style_confidences"]
    for row in (0, 1, 38, 39):
        (alone,) = ask(score, pictures=[pictures[row]], questions=[QUESTIONS[row % 4]])["style_confidences"]
        assert together[row] == pytest.approx(alone, abs=1e-5)


def test_a_question_longer_than_the_model_reads_is_answered_nevertheless(score, painted):
    pictures = as_images(painted["Banksy"][:1])
    (chance,) = ask(score, pictures=pictures, questions=["is this " * 100])["style_confidences"]
    assert 0 <= chance <= 1


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"questions": []}, "questions"),
        ({"questions": ["is it red?", " "]}, "questions[1]"),
        ({"questions": ["is it red?"] * 2}, "questions"),
        ({"questions": ["is it red?"], "style_names": ["red", "blue"]}, "style_names"),
        ({"pictures": []}, "pictures"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(score, painted, values, field):
    pictures = as_images(painted["Banksy"][:3])
    with pytest.raises(InvalidInput) as caught:
        ask(score, **{"pictures": pictures, **values})
    assert caught.value.field == field


def test_questions_that_no_pictures_fit_are_refused_before_any_node_runs():
    with pytest.raises(InvalidInput, match="questions: .*divides 3"):
        StyleScore.check({"pictures": [1, 2, 3], "questions": ["a?", "b?"]}, {}, set())
