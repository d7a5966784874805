"""Answers as Python programs take them."""

import copy
import json
import pickle
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from imagegraph.answer import Answer, Facts
from imagegraph.errors import InvalidInput, UnknownName
from imagegraph.image import Image
from imagegraph.picture import Picture

FACTS = Facts("draw", frozenset({"depth"}), {"pictures": frozenset({"seeds", "steered_by", "clip"})})


def picture(value: int) -> Image:
    return Image.from_array(np.full((16, 32, 3), value, np.uint8))


def answer(**more: Any) -> Answer:
    values = {
        "pictures": [picture(1), picture(2)],
        "seeds": [7, 8],
        "steered_by": ["depth", "all"],
        "clip": [0.25, 0.5],
        "order": [1, 0],
        "depth": Image.from_array(np.full((16, 32), 700, np.uint16)),
        "prompt": "a <red> cone",
        **more,
    }
    return Answer(values, "id", {}, {"draw": 0.5}, FACTS, {"image": picture(9), "prompt": "a <red> cone"})


def test_every_output_is_there_by_name_and_as_an_attribute() -> None:
    one = answer()
    assert one["seeds"] == one.seeds == [7, 8]
    assert one.prompt == "a <red> cone"
    assert one.timings == {"draw": 0.5}
    assert "steered_by" in dir(one)
    with pytest.raises(AttributeError, match="no 'sedes' in the answer; there are: pictures, seeds"):
        _ = one.sedes


def test_a_picture_has_what_the_answer_says_of_it_and_the_best_is_first() -> None:
    one = answer()
    assert [(each.index, each.seed, each.steered_by, each.scores) for each in one.pictures] == [
        (1, 8, "all", {"clip": 0.5}),
        (0, 7, "depth", {"clip": 0.25}),
    ]
    assert one.best is one.pictures[0]
    assert isinstance(one.best, Picture)
    assert one.best.prompt == "a <red> cone"
    assert one.best.image.getpixel((0, 0)) == (2, 2, 2)
    assert {"seed", "seeds", "scores", "prompt"} <= set(dir(one.best))
    with pytest.raises(AttributeError, match="nothing says 'size' of a picture"):
        _ = one.best.size


def test_lists_of_another_length_say_nothing_of_pictures() -> None:
    one = answer(seeds=[1, 2, 3], order=[0])
    assert [each.about for each in one.pictures] == [
        {"steered_by": "depth", "clip": 0.25},
        {"steered_by": "all", "clip": 0.5},
    ]


def test_an_answer_without_pictures_has_no_best() -> None:
    one = Answer({"label": "cat"})
    assert one.pictures == []
    with pytest.raises(UnknownName, match="unknown list of pictures"):
        _ = one.best


def test_priors_are_what_was_read_and_from_which_pictures() -> None:
    priors = answer().priors
    assert dict(priors) == {"depth": answer()["depth"]}
    assert priors.sources == {"image": picture(9)}


def test_answers_are_equal_if_their_values_are() -> None:
    points = np.array([1.0, np.nan], np.float32)
    assert answer(points=points) == answer(points=points.copy())
    assert answer(points=points) != answer(points=points.astype(np.float64))
    assert answer() != answer(seeds=[7, 9])
    assert answer() != answer(more=1)
    assert answer() != dict(answer())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_answers_and_what_is_in_them_can_be_copied_and_pickled(copied: Callable[[Any], Any]) -> None:
    lock = threading.Lock()  # as the engine has, which the writer knows
    one = replace(answer(), writer=lambda folder, replaced: [folder] if lock else [])
    again = copied(one)
    assert again == one
    assert (again.id, again.timings, again.request.keys()) == (one.id, one.timings, one.request.keys())
    assert again.best.image.getpixel((0, 0)) == (2, 2, 2)
    assert copied(one.best).scores == one.best.scores
    assert copied(one.priors) == one.priors
    assert copied(one["depth"]).map().max() == one["depth"].map().max()


def test_an_answer_is_saved_without_who_has_run_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = answer().save()
    assert [path.name for path in files] == [
        "sheet.png",
        "picture-01-all-8.png",
        "picture-02-depth-7.png",
        "depth.png",
        "results.json",
    ]
    assert {path.parent for path in files} == {Path("out/draw-1")}
    told = json.loads(files[-1].read_text())
    assert told["parameters"] == {"prompt": "a <red> cone"}
    assert told["pictures"][0]["clip"] == 0.5
    assert told["seconds"] == {"draw": 0.5}
    assert Pillow.open(files[1]).getpixel((0, 0)) == (2, 2, 2)
    with pytest.raises(InvalidInput, match="a folder that is new or empty"):
        answer().save("out/draw-1")


def test_an_answer_takes_the_place_of_an_earlier_one_where_that_is_asked_for(tmp_path: Path) -> None:
    place = tmp_path / "out"
    answer().save(place)
    with pytest.raises(InvalidInput, match="new or empty .overwrite=True replaces an earlier run's results"):
        answer().save(place)
    answer(seeds=[1, 2]).save(place, overwrite=True)
    assert sorted(path.name for path in place.glob("picture-*")) == [
        "picture-01-all-2.png",
        "picture-02-depth-1.png",
    ]
    with pytest.raises(InvalidInput, match="overwrite: expected a folder beside it"):
        answer().save(overwrite=True)


def test_a_notebook_shows_pictures_and_words_and_takes_none_of_them_for_html() -> None:
    shown = answer()._repr_html_()
    assert shown.count("<img") == 3
    assert "a &lt;red&gt; cone" in shown
    assert "<red>" not in shown
    assert answer().priors._repr_html_().count("<img") == 1
    assert answer().best._repr_html_().count("<img") == 1
    assert answer().best._repr_png_().startswith(b"\x89PNG")
    assert len(repr(answer())) < 500
