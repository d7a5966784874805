"""The gallery: what is deleted closes up, the address says what is looked for and seen, hands can pick."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.studio.page.browser import keep
from tests.studio.page.conftest import Open
from tests.studio.serving import Studio, running, settings, wait_for

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
RUNS, EACH = 12, 16


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio with more pictures than a listing reads at once."""
    with running(settings(tmp_path_factory.mktemp("many"))) as client:
        for run in range(RUNS):
            client.run("painter", {"prompt": f"picture {run}", "seed": 40 * run, "variants": EACH})
        yield client


@pytest.fixture
def few(tmp_path: Path) -> Iterator[Studio]:
    """A studio with five pictures."""
    with running(settings(tmp_path / "few")) as client:
        for seed in range(5):
            client.run("painter", {"prompt": f"number {seed}", "seed": 40 * seed})
        yield client


def tiles(page: Page) -> Locator:
    return page.get_by_role("option", name=re.compile("number"))


def test_what_is_deleted_closes_up_and_can_be_brought_back(few: Studio, open_tab: Open) -> None:
    page = open_tab(f"{few.base_url}/#/gallery")
    wall, options = page.get_by_role("listbox"), page.get_by_role("option")
    expect(page.get_by_text("5 pictures", exact=True)).to_be_visible()
    wall.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Delete")
    expect(page.get_by_text("4 pictures", exact=True)).to_be_visible()
    expect(options).to_have_count(4)
    expect(page.get_by_role("option", name="number 3")).to_have_count(0)
    # The next one is at hand, and is a picture, no hole.
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Full view").get_by_text("number 2", exact=True)).to_be_visible()
    page.keyboard.press("Delete")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(options).to_have_count(3)
    page.keyboard.press("z")
    expect(options).to_have_count(4)
    page.keyboard.press("Control+a")
    expect(page.get_by_text("4 picked")).to_be_visible()
    page.keyboard.press("Delete")
    expect(page.get_by_text("No pictures yet")).to_be_visible()
    expect(page.get_by_text("0 pictures", exact=True)).to_be_visible()
    expect(page.get_by_text("picked")).to_have_count(0)
    page.get_by_role("button", name="Undo").last.click()
    expect(options).to_have_count(4)


def test_another_tab_shows_what_was_deleted_in_one(few: Studio, open_tab: Open) -> None:
    one = open_tab(f"{few.base_url}/#/gallery")
    other = one.context.new_page()
    other.goto(f"{few.base_url}/#/gallery")
    expect(tiles(one)).to_have_count(5)
    expect(tiles(other)).to_have_count(5)
    other.get_by_role("listbox").focus()
    other.keyboard.press("Delete")
    expect(tiles(other)).to_have_count(4)
    one.evaluate("dispatchEvent(new Event('focus'))")  # headless tabs all have the focus
    expect(tiles(one)).to_have_count(4)


def test_a_search_begins_at_the_top_and_stands_in_the_address(many: Studio, open_tab: Open) -> None:
    page = open_tab(f"{many.base_url}/#/gallery")
    wall, search = page.get_by_role("listbox"), page.get_by_label("Search pictures")
    expect(page.locator("#tile-0 img")).to_be_visible()
    page.get_by_label("Size of the tiles").fill("400")
    wall.evaluate("(box) => box.scrollTo(0, box.scrollHeight)")
    expect(page.locator(f"#tile-{RUNS * EACH - 1} img")).to_be_visible()
    search.fill("picture 3")
    expect(page.get_by_text(f"{EACH} pictures", exact=True)).to_be_visible()
    expect(page.locator("#tile-0 img")).to_be_in_viewport()
    assert wall.evaluate("(box) => box.scrollTop") == 0
    page.get_by_role("button", name="Filter").click()
    page.locator("label:has(> span:text-is('Kind')) select").select_option("generated")
    page.reload()
    expect(page.get_by_text(f"{EACH} pictures", exact=True)).to_be_visible()
    expect(search).to_have_value("picture 3")
    page.get_by_role("button", name="No longer only kind generated").click()
    expect(page).to_have_url(re.compile(r"gallery\?q=picture\+3$"))
    search.fill("")
    expect(page.get_by_text(f"{RUNS * EACH} pictures", exact=True)).to_be_visible()


def test_back_closes_the_full_view_and_a_link_opens_it(many: Studio, open_tab: Open, tmp_path: Path) -> None:
    page = open_tab(f"{many.base_url}/#/system")
    page.goto(f"{many.base_url}/#/gallery")
    full = page.get_by_role("dialog", name="Full view")
    page.locator("#tile-0").click()
    expect(full.get_by_text("1 of 192", exact=True)).to_be_visible()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(full.get_by_text("4 of 192", exact=True)).to_be_visible()
    keep(page, "full-view-address", tmp_path)
    link = page.url
    page.reload()
    expect(full.get_by_text("4 of 192", exact=True)).to_be_visible()
    page.go_back()
    expect(full).to_have_count(0)
    expect(page.get_by_role("listbox")).to_be_focused()
    expect(page.get_by_role("listbox")).to_have_attribute("aria-activedescendant", "tile-3")
    page.go_forward()
    expect(full).to_be_visible()
    page.keyboard.press("Escape")
    expect(full).to_have_count(0)
    page.go_back()
    expect(page).to_have_url(re.compile("#/system$"))
    # From a link it opens where it stands, and closes onto the gallery; what has gone is said to be gone.
    other = open_tab(link, expected="status of 404")
    expect(other.get_by_role("dialog").get_by_text("4 of 192", exact=True)).to_be_visible()
    other.keyboard.press("Escape")
    expect(other).to_have_url(re.compile("#/gallery$"))
    last = many.get("/api/pictures", params={"offset": RUNS * EACH - 1}).json()["items"][0]
    other.goto(f"{many.base_url}/#/gallery?picture={last['id']}")
    expect(other.get_by_role("dialog").get_by_text("192 of 192", exact=True)).to_be_visible()
    other.goto(f"{many.base_url}/#/gallery?picture={'0' * 32}")
    expect(other.get_by_role("dialog")).to_have_count(0)
    expect(other).to_have_url(re.compile("#/gallery$"))


def test_back_closes_the_full_view_of_a_run(few: Studio, open_tab: Open) -> None:
    job = few.run("painter", {"prompt": "three of them", "variants": 3})
    page = open_tab(f"{few.base_url}/#/create/painter/{job['id']}")
    page.locator("[data-rank='1'] .picture").click()
    full = page.get_by_role("dialog", name="Full view")
    expect(full.get_by_text("1 of 3", exact=True)).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.reload()
    expect(full.get_by_text("2 of 3", exact=True)).to_be_visible()
    page.go_back()
    expect(full).to_have_count(0)
    expect(page.locator("[data-rank='2'] .picture")).to_be_focused()


def test_on_a_phone_a_long_press_picks_and_boards_are_there(
    few: Studio, open_tab: Open, tmp_path: Path
) -> None:
    page = open_tab(f"{few.base_url}/#/gallery", **PHONE)
    page.get_by_role("button", name="Boards").tap()
    page.get_by_role("button", name="New board").tap()
    page.get_by_label("Name of the new board").fill("Kept")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Kept 0")).to_be_visible()
    keep(page, "boards-phone", tmp_path)
    page.get_by_role("button", name="Close the boards").tap()
    press_long(page, tiles(page).nth(0))
    expect(page.get_by_text("1 picked")).to_be_visible()
    tiles(page).nth(1).tap()
    expect(page.get_by_text("2 picked")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    bar = page.get_by_role("toolbar", name="What to do with the picked pictures")
    bar.get_by_role("button", name="Board").tap()
    page.get_by_role("dialog").get_by_role("button", name="Kept").tap()
    toast = page.get_by_text("2 pictures put on “Kept”.")
    expect(toast).to_be_visible()
    keep(page, "picked-phone", tmp_path)
    wait_for(lambda: not overlap(toast, bar))  # it moves there
    page.get_by_role("button", name="Boards").tap()
    page.get_by_role("link", name="Kept 2").tap()
    expect(tiles(page)).to_have_count(2)
    page.get_by_role("button", name="Boards").tap()
    page.get_by_role("button", name="Take away the board Kept").tap()
    expect(page.get_by_role("link", name="All pictures")).to_be_visible()
    page.get_by_role("button", name="Close the boards").tap()
    expect(tiles(page)).to_have_count(5)


def press_long(page: Page, tile: Locator) -> None:
    box = tile.bounding_box()
    assert box
    touch = [{"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}]
    devtools = page.context.new_cdp_session(page)
    devtools.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": touch})
    page.wait_for_timeout(700)
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def overlap(one: Locator, other: Locator) -> bool:
    a, b = one.bounding_box(), other.bounding_box()
    assert a
    assert b
    return all(
        a[at] < b[at] + b[size] and b[at] < a[at] + a[size] for at, size in (("x", "width"), ("y", "height"))
    )


def test_messages_cover_nothing_that_is_used(few: Studio, open_tab: Open, tmp_path: Path) -> None:
    page = open_tab(f"{few.base_url}/#/gallery", expected="net::ERR", viewport={"width": 1000, "height": 700})
    page.get_by_role("listbox").focus()
    expect(tiles(page)).to_have_count(5)
    page.keyboard.press("Delete")
    page.keyboard.press("Control+a")
    bar = page.get_by_role("toolbar", name="What to do with the picked pictures")
    expect(bar).to_contain_text("4 picked")
    toast = page.get_by_text("One picture deleted.")
    expect(toast).to_be_visible()
    wait_for(lambda: not overlap(toast, bar))  # it moves there
    page.context.set_offline(True)
    banner, search = page.get_by_role("alert"), page.get_by_label("Search pictures")
    expect(banner).to_be_visible()
    keep(page, "messages", tmp_path)
    wait_for(lambda: not overlap(banner, search))
    search.fill("nothing")
    expect(page.get_by_text("Waiting for the server")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^\d+ pictures?$"))).to_have_count(0)
    page.context.set_offline(False)
    expect(page.get_by_text("0 pictures", exact=True)).to_be_visible()
