"""What the page shows where something lacks: a token, a ready server, a turn in a long queue, a network."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from studio.settings import Token
from tests.studio.page.browser import keep, tab_to, violations
from tests.studio.page.conftest import Open
from tests.studio.serving import Studio, running, settings, wait_for

# As a proxy answers for a server that is not there yet.
NOT_READY = {"status": 503, "content_type": "text/plain", "body": "no healthy upstream"}
TOKENS = tuple(Token(name=one, role="maker", token=f"{one}-secret") for one in ("ann", "eve"))


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio in which one job runs at a time."""
    with running(settings(tmp_path_factory.mktemp("states"), jobs_at_once=1)) as client:
        yield client


def painter(page: Page) -> Any:
    return page.locator("[data-node=painter]")


def test_a_token_is_asked_for_and_remembered(open_tab: Open, tmp_path: Path) -> None:
    with running(settings(tmp_path / "closed", tokens=TOKENS)) as closed:
        address = f"{closed.base_url}/#/create/painter"
        page = open_tab(address, expected="status of 401")
        dialog = page.get_by_role("dialog", name="This studio asks for a token")
        expect(dialog).to_be_visible()
        # It can be put off; who tries again is asked again, nobody else is.
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        expect(page.get_by_text("This server asks for a token.")).to_be_visible()
        page.get_by_role("button", name="Try again").click()
        expect(dialog).to_be_visible()
        page.get_by_label("Token", exact=True).fill("ann-wrong")
        page.keyboard.press("Enter")
        expect(dialog.get_by_text("This token is not known.")).to_be_visible()
        assert not violations(page)
        keep(page, "token", tmp_path)
        page.get_by_label("Token", exact=True).fill("ann-secret")
        page.keyboard.press("Enter")
        expect(painter(page)).to_be_visible()
        expect(dialog).to_have_count(0)
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.get_by_text("Done", exact=True)).to_be_visible()
        # The browser keeps it, out of reach of the page; another browser has not got it.
        page.reload()
        expect(page.locator("[data-rank='1'] img")).to_be_visible()
        assert page.evaluate("document.cookie") == ""
        other = open_tab(address, expected="status of 401")
        expect(other.get_by_role("dialog", name="This studio asks for a token")).to_be_visible()


def test_a_note_is_written_by_its_pictures_owner_and_read_by_others(open_tab: Open, tmp_path: Path) -> None:
    with running(settings(tmp_path / "closed", tokens=TOKENS)) as closed:
        closed.headers["Authorization"] = "Bearer ann-secret"
        noted, other = closed.run("painter", {"variants": 2})["pictures"]
        closed.patch(f"/api/pictures/{noted['id']}", json={"note": "for Eve"})
        for name in ("ann", "eve"):
            page = open_tab("about:blank")
            cookie = {"name": "studio_token", "value": f"{name}-secret", "url": f"{closed.base_url}/api"}
            page.context.add_cookies([cookie])  # type: ignore[list-item]
            page.goto(f"{closed.base_url}/#/gallery?picture={noted['id']}")
            note = page.get_by_label("Note")
            expect(note).to_have_value("for Eve")
            expect(note).to_be_editable(editable=name == "ann")
            assert not violations(page)
            page.goto(f"{closed.base_url}/#/gallery?picture={other['id']}")
            expect(note).to_have_count(1 if name == "ann" else 0)


def test_a_server_that_is_not_ready_is_waited_for(studio: Studio, open_tab: Open, tmp_path: Path) -> None:
    page = open_tab("about:blank", expected="status of 503")
    page.route("**/api/**", lambda route: route.fulfill(**NOT_READY))
    page.goto(f"{studio.base_url}/#/create/painter")
    expect(page.get_by_role("alert")).to_contain_text("The server is not ready")
    expect(page.get_by_text("Waiting for the server")).to_be_visible()
    keep(page, "not-ready", tmp_path)
    page.unroute_all()
    expect(painter(page)).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_one_graph_whose_server_has_no_time_stops_nothing_else(studio: Studio, open_tab: Open) -> None:
    page = open_tab("about:blank", expected="status of 503")
    page.route("**/api/graphs/painter", lambda route: route.fulfill(**NOT_READY))
    page.goto(f"{studio.base_url}/#/create/painter")
    expect(page.get_by_text("The graphs could not be read")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    expect(painter(page)).to_be_visible()


def test_what_takes_long_to_read_is_said_to_be_read(studio: Studio, open_tab: Open, tmp_path: Path) -> None:
    page = open_tab("about:blank")
    page.route(re.compile("/api/(graphs|pictures|system)"), lambda route: None)  # no answer comes
    for view, words in (
        ("create", "the graphs"),
        ("gallery", "the pictures"),
        ("system", "how the server is"),
    ):
        page.goto(f"{studio.base_url}/#/{view}")
        expect(page.get_by_text(f"Reading {words}")).to_be_visible()
        keep(page, f"reading-{view}", tmp_path)
    page.unroute_all()
    page.reload()
    expect(page.get_by_role("heading", name="Graphs")).to_be_visible()


def test_a_long_queue_says_whose_turn_it_is_and_lets_go(
    studio: Studio, open_tab: Open, tmp_path: Path
) -> None:
    def begin(prompt: str) -> str:
        inputs = {"prompt": prompt, "step_s": 0.1, "steps": 1000}
        answer = studio.post("/api/graphs/painter/jobs", json={"inputs": inputs})
        return str(answer.json()["id"])

    jobs = [begin(f"picture number {place}") for place in range(8)]
    try:
        wait_for(lambda: studio.get(f"/api/jobs/{jobs[0]}").json()["state"] == "running")
        page = open_tab(f"{studio.base_url}/#/create/painter/{jobs[-1]}")
        expect(page.get_by_text("6 ahead of it.")).to_be_visible()
        page.keyboard.press("h")
        runs = page.get_by_label("History of runs", exact=True).last
        expect(runs.get_by_text("7 waiting")).to_be_visible()
        expect(
            runs.get_by_role("button", name=re.compile("^picture number 2 .*queued, 1 ahead"))
        ).to_be_visible()
        keep(page, "queue", tmp_path)
        assert not violations(page)
        # One is let go by mouse, one by keys; whoever waits behind them moves up.
        runs.get_by_role("button", name="Cancel: picture number 2, queued, 1 ahead").click()
        expect(page.get_by_text("5 ahead of it.")).to_be_visible()
        tab_to(page, runs.get_by_role("button", name=re.compile("^Cancel: picture number 4,")))
        page.keyboard.press("Enter")
        expect(page.get_by_text("4 ahead of it.")).to_be_visible()
        expect(runs.get_by_text("5 waiting")).to_be_visible()
        # The one that runs makes way for the next.
        runs.get_by_role("button", name="Cancel: picture number 0, running").click()
        expect(runs.get_by_role("button", name="Cancel: picture number 1, running")).to_be_visible()
        states = {
            one["id"]: one["state"] for one in studio.get("/api/jobs", params={"limit": 20}).json()["items"]
        }
        assert [states[jobs[place]] for place in (0, 2, 4)] == ["cancelled"] * 3
    finally:
        for job in jobs:
            studio.delete(f"/api/jobs/{job}")


def test_without_a_network_nothing_is_lost_and_all_goes_on(
    studio: Studio, open_tab: Open, tmp_path: Path
) -> None:
    studio.run("painter", {"prompt": "kept", "seed": 9})
    page = open_tab(f"{studio.base_url}/#/gallery", expected="net::ERR")
    tile = page.get_by_role("option", name=re.compile("kept"))
    expect(tile.locator("img")).to_be_visible()
    page.context.set_offline(True)
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    wall = page.get_by_role("listbox")
    wall.focus()
    page.keyboard.press("f")
    # What is not kept is not shown as if it were.
    expect(tile).not_to_have_accessible_name(re.compile("favourite"))
    keep(page, "offline", tmp_path)
    page.context.set_offline(False)
    expect(page.get_by_role("alert")).to_have_count(0)
    wall.focus()
    page.keyboard.press("f")
    expect(tile).to_have_accessible_name(re.compile("favourite"))
    wait_for(lambda: studio.get("/api/pictures", params={"starred": True}).json()["total"] == 1)
