"""Graphs that take their time, or that neither page nor API has heard of, and how a person runs them."""

from pathlib import Path

from playwright.sync_api import Page, expect

from studio.settings import Settings
from tests.studio.serving import settings

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
