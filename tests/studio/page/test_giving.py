"""Pictures that are given to a form: by drop, on slow networks, on none, and what is no picture."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.studio.page.browser import keep
from tests.studio.page.conftest import Open
from tests.studio.serving import SCENE, Studio, wait_for

DRAWING = SCENE.parent / "drawing.png"
STORED = re.compile("/api/pictures/")
# Drops a file onto an element as a browser does; returns whether the page kept the browser from opening it.
DROP = """(element, [name, type, bytes]) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([new Uint8Array(bytes)], name, {type}));
  const drop = new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true});
  const over = new DragEvent("dragover", {dataTransfer, bubbles: true, cancelable: true});
  return [over, drop].map((event) => !element.dispatchEvent(event)).every(Boolean);
}"""


def chosen(page: Page) -> Any:
    return page.get_by_alt_text("What was chosen")


def hash_of(page: Page, studio: Studio) -> str:
    """Returns the hash of the picture that the form ended with."""
    expect(chosen(page)).to_have_attribute("src", STORED)
    id = str(chosen(page).get_attribute("src")).split("/")[-2]
    return str(studio.get(f"/api/pictures/{id}").json()["hash"])


def stored(studio: Studio, file: Path) -> str:
    answer = studio.post("/api/pictures", files={"files": (file.name, file.read_bytes())})
    return str(answer.json()[0]["hash"])


def test_the_picture_that_was_chosen_last_wins_on_a_slow_network(tiny: Studio, open_tab: Open) -> None:
    page = open_tab(f"{tiny.base_url}/#/create/turn-around")
    held: list[Route] = []
    page.route("**/api/pictures", lambda route: held.append(route))
    for count, file in enumerate((SCENE, DRAWING), 1):
        with page.expect_request("**/api/pictures"):
            page.locator("#input-image").set_input_files(file)
        wait_for(lambda count=count: page.evaluate("1") and len(held) == count)
    # The one that was chosen first arrives last.
    with page.expect_response("**/api/pictures"):
        held[1].continue_()
    assert hash_of(page, tiny) == stored(tiny, DRAWING)
    held[0].fulfill(status=201, json=[tiny.example()])
    page.wait_for_timeout(500)
    assert hash_of(page, tiny) == stored(tiny, DRAWING)


def test_a_picture_is_taken_away_while_it_is_sent(tiny: Studio, open_tab: Open) -> None:
    page = open_tab(f"{tiny.base_url}/#/create/turn-around")
    page.route("**/api/pictures", lambda route: None)
    page.locator("#input-image").set_input_files(SCENE)
    expect(page.get_by_role("button", name="Uploading")).to_be_disabled()
    page.get_by_label("Take the picture away").click()
    expect(chosen(page)).to_have_count(0)
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()


def test_a_picture_that_is_given_without_a_network_is_sent_once_there_is_one(
    tiny: Studio, open_tab: Open, tmp_path: Path
) -> None:
    page = open_tab(f"{tiny.base_url}/#/create/turn-around", expected="net::ERR")
    expect(page.locator("[data-node=turn-it]")).to_be_visible()
    page.context.set_offline(True)
    page.locator("#input-image").set_input_files(DRAWING)
    expect(page.get_by_text("Not sent.")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("Pictures for a form are sent once it is back")
    expect(chosen(page)).to_be_visible()
    keep(page, "not-sent", tmp_path)
    page.context.set_offline(False)
    assert hash_of(page, tiny) == stored(tiny, DRAWING)
    expect(page.get_by_text("Not sent.")).to_have_count(0)


def test_a_file_that_is_dropped_beside_its_place_is_taken(tiny: Studio, open_tab: Open) -> None:
    page = open_tab(f"{tiny.base_url}/#/create/turn-around")
    picture = ["scene.png", "image/png", list(SCENE.read_bytes())]
    assert page.locator(".stage").evaluate(DROP, picture)
    assert hash_of(page, tiny) == stored(tiny, SCENE)
    # Where no place is, it is not lost in silence, and the page stays.
    page.goto(f"{tiny.base_url}/#/create/painter")
    expect(page.locator("[data-node=painter]")).to_be_visible()
    assert page.locator(".stage").evaluate(DROP, picture)
    expect(page.get_by_text("painter takes no picture.")).to_be_visible()
    for view in ("compare", "system"):
        page.goto(f"{tiny.base_url}/#/{view}")
        assert page.get_by_role("heading", level=1).evaluate(DROP, picture)


def test_what_is_no_picture_is_not_taken_and_that_is_said(tiny: Studio, open_tab: Open) -> None:
    page = open_tab(f"{tiny.base_url}/#/create/turn-around")
    page.locator("#input-image").set_input_files(
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}
    )
    expect(page.get_by_text("Only pictures can be taken: PNG, JPEG or WebP.")).to_be_visible()
    expect(chosen(page)).to_have_count(0)
    # Wherever the place for a picture is clicked, a file is asked for.
    with page.expect_file_chooser():
        page.get_by_role("group", name="image").click(position={"x": 12, "y": 150})


def test_what_a_person_draws_is_drawn_in_the_form(drawn: Studio, open_tab: Open, tmp_path: Path) -> None:
    page = open_tab(f"{drawn.base_url}/#/create/sketch")
    page.get_by_label("Draw it here").click()
    paper = page.get_by_label("Paper to draw on")
    box = paper.bounding_box()
    assert box
    for row in (0.3, 0.6):
        page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + row * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.5 * box["height"], steps=5)
        page.mouse.up()
    page.get_by_role("button", name="Undo").click()
    assert paper.locator("path").count() == 1
    keep(page, "sketch", tmp_path)
    page.get_by_role("button", name="Take it").click()
    expect(chosen(page)).to_have_attribute("src", STORED)
    id = str(chosen(page).get_attribute("src")).split("/")[-2]
    file = io.BytesIO(drawn.get(f"/api/pictures/{id}/file").content)
    pixels = np.asarray(Image.open(file).convert("L"))
    assert pixels.shape == (512, 512)
    rows, columns = np.nonzero(pixels < 128)
    assert (rows.min() / 512, columns.min() / 512) == pytest.approx((0.3, 0.2), abs=0.02)
    assert (rows.max() / 512, columns.max() / 512) == pytest.approx((0.5, 0.8), abs=0.02)
    # Where the graph takes photos, nobody is asked to draw them.
    page.goto(f"{drawn.base_url}/#/create/reimagine")
    expect(page.get_by_text("Drop or paste a picture here").first).to_be_visible()
    expect(page.get_by_label("Draw it here")).to_have_count(0)
