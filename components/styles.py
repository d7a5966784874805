"""Styles to draw in: a prompt for each, and the question whether a picture is in it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pydantic
from pydantic import Field

from imagegraph.component import Component
from imagegraph.errors import InvalidInput
from imagegraph.ports import Prompt, Unit

GROUPS = Path(__file__).with_suffix(".yaml")
MOST_STYLES = 256
CAPTION, STYLE = "{caption}", "{style}"

StyleName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
GroupName = Annotated[str, Field(min_length=1, max_length=100)]
Question = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"\S")]
Template = Annotated[str, Field(max_length=1000)]
Architecture = Literal["words", "photo-and-words"]


class Group(pydantic.BaseModel, extra="forbid", frozen=True):
    """Styles of one kind: how a prompt names one, how it is asked for, and those that there are."""

    prompt: Template
    question: Template
    styles: Annotated[tuple[StyleName, ...], Field(min_length=1, max_length=MOST_STYLES)]

    @pydantic.field_validator("prompt")
    @classmethod
    def _has_both(cls, text: str) -> str:
        return _checked(text, CAPTION, STYLE)

    @pydantic.field_validator("question")
    @classmethod
    def _has_the_style(cls, text: str) -> str:
        return _checked(text, STYLE)


class Styled(TypedDict):
    """prompts, questions: one a style; style_names: the styles, in the same order.

    image_strength: how far the photo is noised to start from; left out where words alone are drawn.
    """

    prompts: list[str]
    questions: list[str]
    style_names: list[str]
    image_strength: NotRequired[float]


class Styles(Component):
    """Makes a prompt of a caption for each of several styles.

    It chooses the architecture, too: `photo-and-words` starts from the photo, `words` from noise.
    """

    inline = True

    @classmethod
    def check(cls, known: Mapping[str, Any], coming: Mapping[str, bool], roles: Set[str]) -> None:
        """Refuses a group that there is not, a style that is named twice, and nothing to draw."""
        if "style_group" in known and "own_styles" in known:
            _group(known["style_group"], known["own_styles"])
        names = known.get("style_names")
        if names and len(set(names)) != len(names):
            raise InvalidInput("style_names", "each style once", names)
        if not any(known.get(name) is not None or name in coming for name in ("prompt", "caption")):
            raise InvalidInput("prompt", "a prompt, or a caption from another node", "neither")

    def predict(
        self,
        prompt: Annotated[Prompt | None, Field(description="What to draw, instead of the caption")] = None,
        caption: Prompt | None = None,
        style_names: Annotated[
            list[StyleName] | None,
            Field(min_length=1, max_length=MOST_STYLES, description="Styles; all of the group by default"),
        ] = None,
        style_group: Annotated[
            GroupName,
            Field(description="What kind of styles: artists, emotions, background, mask, or one of your own"),
        ] = "artists",
        own_styles: Annotated[
            dict[GroupName, Group],
            Field(max_length=64, description="Further groups by name, in the form of components/styles.yaml"),
        ] = {},  # noqa: B006  (never changed)
        architecture: Annotated[
            Architecture, Field(description="Start from noise, or from the photo")
        ] = "photo-and-words",
        image_strength: Annotated[
            Unit, Field(gt=0, description="How far the photo is noised to start from, where one is")
        ] = 0.7,
    ) -> Styled:
        """Answers a prompt and a question for each style; a style may be one that its group does not list.

        Raises:
            InvalidInput: there is no such group, a style is named twice, or nothing says what to draw.
        """
        drawn = prompt if prompt is not None else caption
        if drawn is None:
            raise InvalidInput("prompt", "a prompt, or a caption from another node", "neither")
        group = _group(style_group, own_styles)
        names = list(group.styles if style_names is None else style_names)
        if len(set(names)) != len(names):
            raise InvalidInput("style_names", "each style once", names)
        styled: Styled = {
            "prompts": [group.prompt.replace(STYLE, one).replace(CAPTION, drawn) for one in names],
            "questions": [group.question.replace(STYLE, one) for one in names],
            "style_names": names,
        }
        if architecture == "photo-and-words":
            styled["image_strength"] = image_strength
        return styled


@functools.cache
def _common_groups() -> dict[str, Group]:
    """Returns the groups that everybody has."""
    import yaml

    said = yaml.safe_load(GROUPS.read_text(encoding="utf-8"))
    return {name: Group.model_validate(group) for name, group in said.items()}


def _group(name: str, own: Mapping[str, Group]) -> Group:
    """Returns the group of a name.

    Raises:
        InvalidInput: there is none.
    """
    groups = {**_common_groups(), **own}
    if name not in groups:
        raise InvalidInput("style_group", f"one of {', '.join(groups)}", name)
    return groups[name]


def _checked(text: str, *places: str) -> str:
    """Returns a template that has each of its places once."""
    if any(text.count(place) != 1 for place in places):
        raise ValueError(f"a text with {' and '.join(places)}, each once")
    return text
