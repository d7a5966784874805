"""Blind trials: the address says what is tried, nothing moves under the hand, and the end is said."""

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.studio.page.browser import keep
from tests.studio.page.conftest import Open
from tests.studio.serving import Studio


def test_a_trial_ends_with_back_and_says_when_all_pairs_are_judged(
    drawn: Studio, open_tab: Open, tmp_path: Path
) -> None:
    page = open_tab(f"{drawn.base_url}/#/compare/blind", expected="status of 404")
    for place, prior in enumerate(("depth", "caption")):
        page.get_by_label("Steered by").nth(place).select_option(prior)
    page.get_by_role("button", name="Begin").click()
    left = page.get_by_role("button", name="The left one is better")
    expect(left).to_be_enabled()
    assert "trial=" in page.url
    before = page.get_by_role("button", name="End").bounding_box()
    left.click()
    expect(page.get_by_text("95 % interval")).to_be_visible()
    keep(page, "trial", tmp_path)
    after = page.get_by_role("button", name="End").bounding_box()
    assert before
    assert after
    assert before["y"] == after["y"]
    page.keyboard.press("Enter")
    ended = page.get_by_text("All pairs that the gallery has of these two are judged.")
    expect(ended.or_(left)).to_be_visible()
    while not ended.is_visible():  # other tests have drawn more pairs
        left.click()
        page.get_by_role("button", name="Next pair").click()
        expect(ended.or_(left)).to_be_visible()
    keep(page, "trial-end", tmp_path)
    page.reload()
    expect(page.get_by_text("The gallery has no pair of these two")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("button", name="Begin")).to_be_visible()
    page.go_forward()
    page.get_by_role("button", name="Draw new pairs").click()
    expect(page.get_by_label("Draw new pairs")).to_be_checked()
    expect(page.get_by_role("heading", name="The same for both")).to_be_visible()
    expect(page).to_have_url(re.compile("#/compare/blind$"))
    expect(page.get_by_label("Steered by").first).to_have_value(re.compile("depth|caption"))


def test_only_priors_that_a_graph_reads_are_offered(drawn: Studio, open_tab: Open) -> None:
    page = open_tab(f"{drawn.base_url}/#/compare/blind")
    steered = page.get_by_label("Steered by")
    expect(steered.first.get_by_role("option")).to_have_text(
        ["the best of all", "Depth", "Pose", "Segmentation", "Edges", "Caption", "Combined"]
    )
    page.get_by_label("Graph").select_option("draw")
    expect(steered).to_have_count(0)
