"""Styles: a prompt and a question for each, by groups that a request may bring itself."""

import pytest
import yaml

from components.styles import GROUPS, Styles
from imagegraph.component import Weights
from imagegraph.errors import InvalidInput
from imagegraph.signature import Signature
from pocket import train_vqa
from pocket.styles import FORM, STYLES

MOODS = {"prompt": "{caption}, {style}", "question": "is it {style}?", "styles": ["calm"]}


@pytest.fixture(scope="module")
def styles() -> Styles:
    component = Styles()
    component.load(Weights({}))
    return component


def ask(component: Styles, **values):
    return component.predict(**Signature.of(component).bind(values))


def test_a_caption_becomes_a_prompt_and_a_question_for_each_of_four_artists(styles):
    answer = ask(styles, caption="a red cube")
    assert answer["style_names"] == ["Banksy", "Robert Delaunay", "Kazimir Malevich", "Vincent van Gogh"]
    assert answer["prompts"][0] == "a red cube, in the style of Banksy"
    assert answer["questions"][3] == "is this picture in the style of Vincent van Gogh?"


def test_what_artists_are_called_is_what_the_pocket_models_have_learned(styles):
    answer = ask(styles, caption="a red cube")
    assert answer["style_names"] == list(STYLES)
    assert answer["prompts"] == [FORM.format(caption="a red cube", style=style) for style in STYLES]
    assert answer["questions"] == [train_vqa.QUESTION.format(style) for style in STYLES]


@pytest.mark.parametrize("group", yaml.safe_load(GROUPS.read_text()))
def test_every_group_words_its_prompts_and_questions_around_caption_and_style(styles, group):
    answer = ask(styles, caption="a {style} cube", style_group=group)
    for name, prompt, question in zip(
        answer["style_names"], answer["prompts"], answer["questions"], strict=True
    ):
        assert prompt.count("a {style} cube") == 1, "a caption is no template"
        assert name in prompt.replace("a {style} cube", "")
        assert name in question


def test_a_group_has_room_for_styles_that_it_does_not_list(styles):
    answer = ask(styles, prompt="a sheep", style_names=["Rembrandt"])
    assert answer["prompts"] == ["a sheep, in the style of Rembrandt"]


def test_a_prompt_stands_in_for_the_caption(styles):
    answer = ask(styles, prompt="a sheep", caption="a red cube", style_names=["Banksy"])
    assert answer["prompts"] == ["a sheep, in the style of Banksy"]


def test_groups_of_ones_own_are_worded_as_they_say(styles):
    answer = ask(styles, caption="a sheep", own_styles={"moods": MOODS}, style_group="moods")
    assert (answer["prompts"], answer["questions"]) == (["a sheep, calm"], ["is it calm?"])


def test_the_architecture_says_whether_the_photo_is_started_from(styles):
    assert ask(styles, caption="a", image_strength=0.5)["image_strength"] == 0.5
    assert "image_strength" not in ask(styles, caption="a", architecture="words", image_strength=0.5)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"style_names": []}, "style_names"),
        ({"style_names": [" "]}, "style_names[0]"),
        ({"style_names": ["Banksy", "x" * 201]}, "style_names[1]"),
        ({"style_names": [f"style {number}" for number in range(257)]}, "style_names"),
        ({"style_names": ["Banksy", "Banksy"]}, "style_names"),
        ({"style_group": "painters"}, "style_group"),
        ({"own_styles": {"moods": {**MOODS, "stiles": []}}}, "own_styles.moods.stiles"),
        ({"own_styles": {"moods": {**MOODS, "styles": []}}}, "own_styles.moods.styles"),
        ({"own_styles": {"moods": {**MOODS, "prompt": "{caption}"}}}, "own_styles.moods.prompt"),
        ({"own_styles": {"moods": {**MOODS, "question": "{style}{style}"}}}, "own_styles.moods.question"),
        ({"image_strength": 0.0}, "image_strength"),
        ({"architecture": "paint"}, "architecture"),
        ({"caption": None}, "prompt"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(styles, values, field):
    with pytest.raises(InvalidInput) as caught:
        ask(styles, **{"caption": "a red cube", **values})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("known", "field"),
    [
        ({"style_names": ["a", "a"], "prompt": "b"}, "style_names"),
        ({"style_group": "moods", "own_styles": {}, "prompt": "b"}, "style_group"),
        ({}, "prompt"),
    ],
)
def test_what_is_known_to_be_wrong_is_refused_before_any_node_runs(known, field):
    with pytest.raises(InvalidInput) as caught:
        Styles.check(known, {}, set())
    assert caught.value.field == field


def test_a_form_that_lacks_its_places_is_told_what_it_needs(styles):
    wrong = {"moods": {**MOODS, "prompt": "painted"}}
    with pytest.raises(InvalidInput) as caught:
        ask(styles, caption="a", own_styles=wrong)
    said = "own_styles.moods.prompt: expected a text with {caption} and {style}, each once, got 'painted'"
    assert str(caught.value) == said
