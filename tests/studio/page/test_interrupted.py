"""The page where not all is as usual: reloads, killed servers, two tabs, slow networks, new components."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from studio.settings import Settings
from tests.studio.page.conftest import Open
from tests.studio.serving import Process, Studio, running, settings, wait_for

# A component made here, in a folder of its own, that neither page nor API has heard of.
COMPONENT = """
from typing import Annotated, Literal, TypedDict

from pydantic import Field

from imagegraph.component import Component
from imagegraph.image import Image


class Turned(TypedDict):
    turned: Image
    said: str


class Turn(Component):
    def predict(
        self,
        image: Image,
        degrees: Annotated[int, Field(ge=0, le=270, multiple_of=90, description="How far to turn")] = 90,
        way: Literal["left", "right"] = "left",
        mirrored: bool = False,
    ) -> Turned:
        turned = image.rgb().rotate(degrees if way == "left" else -degrees, expand=True)
        return {"turned": Image(pixels=turned), "said": f"turned {way} by {degrees}"}
"""
ENTRY = """
entries:
  turn-it: {component: MODULE:Turn, summary: Turns a picture, bundles: {pocket: {}}}
graphs:
  turn-around: {summary: Turns pictures around, root: {name: turn-it}}
  paint-slowly: {summary: Paints as slowly as it is told, root: {name: painter}}
"""
SLOW = {"step_s": "0.1", "steps": "40"}
ENDLESS = {"step_s": "0.1", "steps": "1000"}  # until it is cancelled


def known(folder: Path) -> Settings:
    mine = folder / "mine"
    mine.mkdir()
    module = f"turning_{folder.name}"  # another test of this process has one, too
    (mine / f"{module}.py").write_text(COMPONENT)
    (mine / "mine.yaml").write_text(ENTRY.replace("MODULE", module))
    found = settings(folder)
    return found.model_copy(update={"catalogue": (*found.catalogue, mine / "mine.yaml")})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with running(known(tmp_path_factory.mktemp("tiny"))) as client:
        yield client


def paint(page: Page, **inputs: str) -> None:
    """Fills the painter's form and runs it."""
    expect(page.locator("[data-node=painter]")).to_be_visible()
    page.get_by_text("More settings").click()
    for name, value in inputs.items():
        page.locator(f"#input-{name}").fill(value)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("[data-node=painter][data-state=running]")).to_be_visible()


def expect_done(page: Page, timeout_s: float = 30) -> None:
    expect(page.get_by_text("Done", exact=True)).to_be_visible(timeout=1000 * timeout_s)
    expect(page.locator("[data-rank='1'] img")).to_be_visible()


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
