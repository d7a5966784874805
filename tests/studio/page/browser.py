"""A browser that looks at the page: Debian's Chromium by Playwright, and axe-core."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page

from imagegraph.spec.catalogue import ROOT
from tests import chromium, debian
from tests.studio.serving import wait_for

PAGE = ROOT / "studio" / "page"
AXE = PAGE / "node_modules" / "axe-core" / "axe.min.js"
# Nothing is read any more, and every picture that is in sight is there.
SETTLED = """!document.querySelector('[aria-busy=true]')
  && [...document.images].every((one) => one.complete || one.loading === 'lazy')"""
FOCUSED = "(one) => one === document.activeElement || one.contains(document.activeElement)"
MOST_TABS = 120


@contextlib.contextmanager
def running() -> Iterator[Browser]:
    """Yields a browser.

    Raises:
        debian.Missing: it can be neither found nor installed, or the page is not built.
    """
    if not (PAGE / "dist" / "index.html").is_file() or not AXE.is_file():
        raise debian.Missing("the page is not built; `make page` builds it")
    media = "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"
    with chromium.running(*media) as browser:
        yield browser


def violations(page: Page) -> list[str]:
    """Returns what axe-core finds wrong with what is shown, a line each."""
    # By the debugger's protocol: the page's own policy allows no script that is not its own.
    page.evaluate(AXE.read_text())
    # Its default rules are those of WCAG and of best practice, without the one of 2.2.
    asked = "axe.run(document, {rules: {'target-size': {enabled: true}}})"
    found: dict[str, Any] = page.evaluate(asked)
    return [
        f"{one['id']}: {one['help']}: {node['html'][:200]} ({why})"
        for one in found["violations"]
        for node in one["nodes"]
        for why in ["; ".join(reason["message"] for reason in node["any"])]
    ]


def settle(page: Page) -> None:
    """Waits until nothing is read any more, and all pictures are there."""
    page.wait_for_load_state("networkidle")
    wait_for(lambda: page.evaluate(SETTLED))
    page.wait_for_timeout(400)  # transitions


def keep(page: Page, name: str, tmp_path: Path) -> None:
    """Keeps a screenshot: in the folder that SCREENSHOTS names, or with the test's own files."""
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")


def tab_to(page: Page, wanted: Locator) -> None:
    """Goes to something as who has no mouse does."""
    wanted.wait_for()
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if wanted.evaluate(FOCUSED):
            return
    raise AssertionError(f"Tab does not reach {wanted}")
