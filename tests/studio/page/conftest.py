"""A browser, tabs in which nothing may go wrong unseen, and a studio with the pocket bundle."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from studio.settings import Settings
from tests.left_out import left_out_if_missing
from tests.studio.page import browser as browsers
from tests.studio.page import slow
from tests.studio.serving import Studio, running

# What a busy machine takes; who waits for something that comes does not wait that long.
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)
# Opens a tab: color_scheme, viewport and all else of Playwright's contexts.
Open = Callable[..., Page]


# Not for longer: as long as it is there, Playwright's loop runs in the main thread, where no other can.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser."""
    with left_out_if_missing("the page"), browsers.running() as browser:
        yield browser


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[Open]:
    """Opens tabs, each in a context of its own; what its console says of errors fails the test."""
    said: list[str] = []
    contexts: list[Any] = []

    def open_tab(url: object, expected: str = "", **about: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **about})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)

        def hear(kind: str, text: str) -> None:
            if kind in ("error", "warning") and not (expected and expected in text):
                said.append(f"{kind}: {text}")

        page.on("console", lambda message: hear(message.type, message.text))
        page.on("pageerror", lambda error: hear("error", str(error)))
        page.goto(str(url))
        return page

    yield open_tab
    for context in contexts:
        context.close()
    assert not said


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio over the project's graphs and the pocket bundle, in which the scene has been drawn once."""
    known = Settings(data=tmp_path_factory.mktemp("pocket"), preload="", device="cpu")
    with running(known) as client:
        inputs = {"image": {"picture": client.example()["id"]}, "steps": 3, "seed": 5}
        assert client.run("reimagine", inputs, wait=200)["state"] == "done"
        yield client


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio over tiny components, one of which takes its time."""
    with running(slow.known(tmp_path_factory.mktemp("tiny"))) as client:
        yield client
