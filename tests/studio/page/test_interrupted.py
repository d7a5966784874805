"""The page where not all is as usual: reloads, killed servers, two tabs, slow networks, new components."""

from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.studio.page.conftest import Open
from tests.studio.page.slow import ENDLESS, SLOW, expect_done, known, paint
from tests.studio.serving import Process, Studio, wait_for


def test_a_new_component_has_a_working_form(tiny: Studio, open_tab: Open) -> None:
    page = open_tab(f"{tiny.base_url}/#/create/turn-around")
    page.get_by_label("Sample 1").click()
    page.get_by_text("More settings").click()
    page.get_by_label("degrees, as a slider").fill("180")
    page.get_by_label("Way", exact=True).select_option("right")
    page.get_by_label("Mirrored").check()
    page.get_by_role("button", name="Run", exact=True).click()
    expect_done(page)
    expect(page.locator(".words")).to_have_text("Said turned right by 180")
    (job,) = tiny.get("/api/jobs", params={"graph": "turn-around"}).json()["items"]
    assert {name: job["inputs"][name] for name in ("degrees", "way", "mirrored")} == {
        "degrees": 180, "way": "right", "mirrored": True,
    }  # fmt: skip


def test_a_reload_in_the_middle_of_a_job_goes_on_with_it(tiny: Studio, open_tab: Open) -> None:
    page = open_tab(f"{tiny.base_url}/#/create/paint-slowly")
    paint(page, prompt="reloaded", seed="77", **SLOW)
    page.reload()
    expect(page.locator("[data-node=painter][data-state=running]")).to_be_visible()
    expect(page.locator("#input-prompt")).to_have_value("reloaded")
    expect(page.get_by_alt_text("Being drawn")).to_be_visible()
    expect_done(page)


def test_two_tabs_see_the_same_job_and_the_same_marks(tiny: Studio, open_tab: Open) -> None:
    one = open_tab(f"{tiny.base_url}/#/create/paint-slowly")
    paint(one, seed="3", **ENDLESS)
    other = open_tab(one.url)
    expect(other.locator("[data-node=painter][data-state=running]")).to_be_visible()
    other.get_by_role("button", name="Cancel").click()
    for page in (one, other):
        expect(page.get_by_text("Cancelled", exact=True)).to_be_visible()


def test_a_slow_network_is_waited_for_in_peace(tiny: Studio, open_tab: Open) -> None:
    page = open_tab("about:blank")
    network = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 400, "downloadThroughput": 100_000, "uploadThroughput": 50_000}
    network.send("Network.enable")
    network.send("Network.emulateNetworkConditions", slow)
    page.goto(f"{tiny.base_url}/#/create/paint-slowly")
    paint(page, seed="9", **SLOW)
    expect_done(page)


def test_a_killed_server_is_waited_for_and_its_job_ends(open_tab: Open, tmp_path: Path) -> None:
    """The page says that nobody answers, and goes on by itself once somebody does, at the same address."""
    found = known(tmp_path)
    first = Process(found, STUDIO_LEASE_S="1")
    port = str(first.client.base_url.port)
    page = open_tab(f"{first.client.base_url}/#/create/paint-slowly", expected="net::ERR")
    paint(page, seed="21", **SLOW)
    first.kill()
    expect(page.get_by_text("Connection lost")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    second = Process(found, port=port, STUDIO_LEASE_S="1")
    try:
        expect(page.get_by_role("alert")).to_have_count(0, timeout=30_000)
        expect_done(page, timeout_s=60)
        jobs: list[Any] = second.client.get("/api/jobs").json()["items"]
        assert [one["state"] for one in jobs] == ["done"]
        assert wait_for(lambda: second.client.get("/api/pictures").json()["total"]) == 1
    finally:
        second.stop()
