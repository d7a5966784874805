"""The page in a browser: it fits a desk and a phone, by day and by night, and shows all of its pictures."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from playwright.sync_api import Browser

from imagegraph.style_report.answers import Answer
from imagegraph.style_report.figures import figures
from imagegraph.style_report.page import page
from imagegraph.style_report.samples import Report
from tests import chromium
from tests.left_out import left_out_if_missing

STYLES = ("Banksy", "a style with a name that is longer than any other", "Kazimir Malevich")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with left_out_if_missing("the report's page"), chromium.running() as browser:
        yield browser


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a report about pictures in plain colours."""
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    answers = []
    for photo in range(9):
        Pillow.new("RGB", (60, 40), (20 * photo, 90, 120)).save(folder / f"{photo}.png")
        for architecture in ("words", "photo-and-words"):
            for style in STYLES:
                chance = float(rng.uniform(0.3, 1))
                about = photo, architecture, style, "a prompt", "a question?", 0, int(chance > 0.5), chance
                answers.append(Answer(f"photo {photo}", *about[1:], f"{photo}.png", f"{photo}.png"))
    report = Report(folder, answers, figures(answers), ["stylize", "steps 4"], {"a photo": "it is broken"})
    (folder / "report.html").write_text(page(report))
    return folder / "report.html"


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_the_window_and_shows_all_pictures(browser, file, width, theme):
    tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=theme)
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.goto(file.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert tab.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) > 380) == (theme == "light")
    # Every dot is within its track, where its number says.
    places = tab.evaluate(
        """[...document.querySelectorAll('.track .dot')].map(dot => {
            const own = dot.getBoundingClientRect(), track = dot.parentElement.getBoundingClientRect();
            return (own.left + own.width / 2 - track.left) / track.width;
        })"""
    )
    numbers = tab.evaluate(
        "[...document.querySelectorAll('.row:not(.axis) .number div')].map(one => parseFloat(one.innerText))"
    )
    begin = float(tab.inner_text(".axis span:first-child"))
    np.testing.assert_allclose(places, (np.array(numbers) - begin) / (1 - begin), atol=0.02)
    assert said == []
    tab.close()
