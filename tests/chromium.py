"""Debian's Chromium by Playwright."""

import contextlib
from collections.abc import Iterator

from playwright.sync_api import Browser, sync_playwright

from tests import debian


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[Browser]:
    """Yields a browser, started with further arguments.

    Raises:
        debian.Missing: it can be neither found nor installed.
    """
    path = debian.program("chromium", "chromium", "fonts-liberation")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *arguments])
        yield browser
        browser.close()
