"""The picture of docs/styles.md: the first screen of a style report over scenes that no model was trained on.

    python -m pocket.examples.style_report        about two minutes on two cores; needs Debian's chromium

Scenes and pictures have fixed seeds, so the figures are the same wherever it runs, but for rounding.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from pocket.world import make_scene

PICTURE = Path("docs/style-report.png")
SCENES, SEED = 24, 0
WIDTH, MARGIN = 810, 10  # px


def report(folder: Path) -> Path:
    """Draws the scenes, reports about them by the command that anybody would give, returns the page."""
    photos = folder / "photos"
    photos.mkdir()
    for number in range(SCENES):
        Image.fromarray(make_scene(number, "seen").image).save(photos / f"{number:02}.png")
    out = folder / "report"
    asked = ["style-report", str(photos), "-o", str(out), f"seed={SEED}", "--device", "cpu"]
    subprocess.run([sys.executable, "-m", "imagegraph.cli", *asked], check=True)
    return out / "report.html"


def photograph(page: Path, to: Path) -> None:
    """Writes what of a report is above its table: verdicts, and mean scores with their intervals."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": 800}, color_scheme="light")
        tab.goto(page.as_uri())
        plot = tab.locator(".sheet").first.bounding_box()
        assert plot is not None
        height = plot["y"] + plot["height"] + MARGIN
        tab.screenshot(path=to, full_page=True, clip={"x": 0, "y": 0, "width": WIDTH, "height": height})
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        photograph(report(Path(folder)), PICTURE)
