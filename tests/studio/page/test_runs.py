"""Runs: what stays where one is not begun, cancelled, restored or followed by another."""

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.studio.page.browser import keep
from tests.studio.page.conftest import Open
from tests.studio.page.slow import ENDLESS, SLOW, expect_done, paint
from tests.studio.serving import Studio, wait_for


def test_a_run_that_is_not_begun_leaves_results_and_form(
    tiny: Studio, open_tab: Open, tmp_path: Path
) -> None:
    page = open_tab(f"{tiny.base_url}/#/create/paint-slowly", expected="net::ERR")
    paint(page, prompt="first", seed="31", **SLOW)
    expect_done(page)
    page.context.set_offline(True)
    page.locator("#input-prompt").fill("second")
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_text("Not sent: the server does not answer.")).to_be_visible()
    keep(page, "not-run", tmp_path)
    expect_done(page)
    expect(page.locator("#input-prompt")).to_have_value("second")
    page.context.set_offline(False)
    expect(page.locator(".banner")).to_have_count(0)
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_text("Not sent:")).to_have_count(0)
    wait_for(lambda: tiny.get("/api/jobs").json()["items"][0]["inputs"]["prompt"] == "second")


def test_a_run_that_is_refused_leaves_results_and_form(tiny: Studio, open_tab: Open) -> None:
    page = open_tab(f"{tiny.base_url}/#/create/paint-slowly", expected="status of 503")
    paint(page, prompt="first", seed="30", **SLOW)
    expect_done(page)
    page.locator("#input-prompt").fill("third")
    page.route("**/jobs", lambda route: route.fulfill(status=503, json={"title": "1000 jobs wait already"}))
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_text("Not run: 1000 jobs wait already")).to_be_visible()
    expect_done(page)
    expect(page.locator("#input-prompt")).to_have_value("third")


def test_a_second_click_on_cancel_does_nothing_and_an_empty_form_can_be_filled_again(
    tiny: Studio, open_tab: Open
) -> None:
    page = open_tab(f"{tiny.base_url}/#/create/paint-slowly")
    paint(page, prompt="kept", seed="32", **ENDLESS)
    cancel = page.get_by_role("button", name="Cancel", exact=True)
    box = cancel.bounding_box()
    assert box
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.click(*middle)
    expect(page.get_by_text("Cancelled", exact=True)).to_be_visible()
    page.mouse.click(*middle)
    expect(page.locator("#input-prompt")).to_have_value("kept")
    expect(cancel).to_be_disabled()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#input-prompt")).to_have_value("")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#input-prompt")).to_have_value("kept")


def test_a_run_beside_another_is_queued_and_the_history_shows_it(tiny: Studio, open_tab: Open) -> None:
    page = open_tab(f"{tiny.base_url}/#/create/paint-slowly")
    paint(page, prompt="the first one", seed="33", **ENDLESS)
    page.locator("#input-prompt").fill("the next one")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("One more run. The history shows it.")).to_be_visible()
    expect(page.locator("[data-node=painter][data-state=running]")).to_be_visible()
    page.get_by_label("History of runs").first.click()
    runs = page.get_by_label("History of runs", exact=True).last
    expect(runs.locator("strong").nth(0)).to_have_text("the next one")
    expect(runs.locator("[aria-current=true]")).to_contain_text("the first one")
    # It can be let go at once, and the one in sight goes on.
    page.get_by_role("button", name="Undo").click()
    next_one, first_one = tiny.get("/api/jobs").json()["items"][:2]
    wait_for(lambda: tiny.get(f"/api/jobs/{next_one['id']}").json()["state"] == "cancelled")
    assert tiny.get(f"/api/jobs/{first_one['id']}").json()["state"] == "running"
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_text("Cancelled", exact=True)).to_be_visible()


def test_pictures_that_are_to_come_have_their_places(tiny: Studio, open_tab: Open) -> None:
    page = open_tab(f"{tiny.base_url}/#/create/paint-slowly")
    paint(page, variants="3", seed="34", **SLOW)
    expect_done(page)
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_alt_text("Being drawn")).to_be_visible()
    places = page.locator("section[aria-labelledby=results-title] li")
    before = [one.bounding_box() for one in places.all()]
    expect_done(page)
    after = [one.bounding_box() for one in page.locator("section[aria-labelledby=results-title] li").all()]
    assert len(before) == len(after) == 3
    assert all(one and other and one["x"] == other["x"] for one, other in zip(before, after, strict=True))


def test_who_comes_back_finds_the_run_also_after_a_reload(tiny: Studio, open_tab: Open) -> None:
    page = open_tab(f"{tiny.base_url}/#/create/paint-slowly")
    paint(page, prompt="left", seed="35", **SLOW)
    expect_done(page)
    address = page.url
    page.get_by_role("link", name="gallery", exact=True).click()
    expect(page.get_by_role("listbox")).to_be_visible()
    page.get_by_role("link", name="create", exact=True).click()
    expect(page).to_have_url(address)
    page.reload()
    expect_done(page)


def test_what_is_written_beside_a_run_outlives_a_reload(tiny: Studio, open_tab: Open) -> None:
    page = open_tab(f"{tiny.base_url}/#/create/paint-slowly")
    paint(page, prompt="drawn", seed="36", **SLOW)
    expect_done(page)
    page.locator("#input-prompt").fill("not drawn yet")
    page.reload()
    expect_done(page)
    expect(page.locator("#input-prompt")).to_have_value("not drawn yet")
    # Another run is shown whole; what it replaces can be brought back.
    other = tiny.run("paint-slowly", {"prompt": "of another run"})
    page.goto(f"{tiny.base_url}/#/create/paint-slowly/{other['id']}")
    expect(page.locator("#input-prompt")).to_have_value("of another run")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#input-prompt")).to_have_value("not drawn yet")


def test_another_graph_takes_over_what_it_takes_too(tiny: Studio, open_tab: Open) -> None:
    page = open_tab(f"{tiny.base_url}/#/create/paint-slowly")
    page.locator("#input-prompt").fill("the same words")
    page.goto(f"{tiny.base_url}/#/create/painter")
    expect(page.locator("#input-prompt")).to_have_value("the same words")


def test_an_address_of_no_graph_says_what_to_do(tiny: Studio, open_tab: Open, tmp_path: Path) -> None:
    page = open_tab(f"{tiny.base_url}/#/create/paint-slowly", expected="status of 404")
    paint(page, seed="37", **SLOW)
    expect_done(page)
    page.goto(f"{tiny.base_url}/#/create/nonsense")
    expect(page.get_by_text("There is no graph “nonsense”")).to_be_visible()
    expect(page.locator("[data-rank]")).to_have_count(0)
    keep(page, "no-graph", tmp_path)
    page.goto(f"{tiny.base_url}/#/create/%E0%A4%A")
    page.reload()
    expect(page.get_by_text("There is no graph “%E0%A4%A”")).to_be_visible()
    page.get_by_role("button", name="Choose a graph").click()
    page.get_by_label("Search graphs").fill("paint-slowly")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#/create/paint-slowly"))
    expect(page.locator("[data-node=painter]")).to_be_visible()


def test_a_double_click_begins_one_run_and_what_it_answered_can_be_copied(
    tiny: Studio, open_tab: Open
) -> None:
    page = open_tab(
        f"{tiny.base_url}/#/create/paint-slowly", permissions=["clipboard-read", "clipboard-write"]
    )
    page.locator("#input-prompt").fill("begun once")
    page.get_by_text("More settings").click()
    page.locator("#input-step_s").fill("0.5")
    page.get_by_role("button", name="Run", exact=True).dblclick()
    expect_done(page)
    jobs = tiny.get("/api/jobs").json()["items"]
    assert [one["inputs"].get("prompt") for one in jobs].count("begun once") == 1
    page.locator("[data-node=painter]").click()
    page.get_by_role("button", name="Copy Clip prompt").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "[1]"
