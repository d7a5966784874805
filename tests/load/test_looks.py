"""The page of a run in a browser: it fits a desk and a phone, by day and by night, and draws all of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from release.arrivals import arrivals, steps
from release.open_loop import Outcome, Run
from release.page import page
from release.report import Result
from release.scenario import Scenario
from release.servers import Sample, Sampler
from release.verdict import checks
from release.ways import Asked, Ended

from tests import chromium
from tests.left_out import left_out_if_missing

SECONDS = 60


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with left_out_if_missing("the page of a run"), chromium.running() as browser:
        yield browser


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with answers from 10 ms to 30 s, refusals, a kill and two servers."""
    scenario = Scenario.model_validate(
        {
            "summary": "A test that is long enough to break a line on any phone, and <b>not</b> marked up",
            "phases": [{"rate": 5, "seconds": 10, "counts": False}, {"rate": 20, "seconds": SECONDS - 10}],
            "requests": [{"way": "binary"}, {"way": "stream"}],
            "kill": {"at_seconds": 20}, "thresholds": {"errors": 0, "p95_seconds": 2},
        }
    )  # fmt: skip
    hosts = [Asked("one", "http://127.0.0.1:8080"), Asked("other", "http://127.0.0.1:8090")]
    run = Run(scenario, steps(scenario), hosts, killed_s=30.0)
    for one in arrivals(scenario, 0):
        status = 503 if 30 < one.at_s < 35 else 0 if one.number % 50 == 0 else 200
        slow_s = 30 if one.number == 700 else 0.01 * (1 + one.number % 90)
        ended = Ended(status, True, "default", "" if status == 200 else "words " * 40)
        run.outcomes.append(Outcome(one, one.at_s, one.at_s + slow_s, ended, one.number % 2))
    samples = [
        Sample(
            float(at),
            name,
            {"cpu_s": at * 0.5, "memory": 3e8 + 1e6 * at, "in_flight": at % 7, "queue": at % 3},
        )
        for at in range(SECONDS)
        for name in ("engine", "depth/10.0.0.1")
    ]
    result = Result("test", "now", 0, run, checks(run), Sampler({}, samples))
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(result))
    return path


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_the_window_and_draws_within_its_plots(
    browser: Browser, file: Path, width: int, theme: str
) -> None:
    tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=theme)  # type: ignore[arg-type]
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("request", lambda request: said.append(request.url) if request.url != file.as_uri() else None)
    tab.goto(file.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) > 380) == (theme == "light")
    outside = tab.evaluate(
        """[...document.querySelectorAll('svg *:not(title)')].filter(one => {
            const own = one.getBoundingClientRect();
            const plot = one.ownerSVGElement.getBoundingClientRect();
            return own.left < plot.left - 1 || own.right > plot.right + 1 ||
                own.top < plot.top - 1 || own.bottom > plot.bottom + 1;
        }).map(one => one.outerHTML)"""
    )
    assert outside == []
    assert tab.locator("svg").count() == 7, "rates, times, quantiles and four of the servers"
    assert tab.locator("svg .mark").count() == 6, "when something was killed, in all over time"
    assert tab.locator("text=and <b>not</b> marked up").count() == 1
    strokes = tab.evaluate("[...document.querySelectorAll('.line')].map(one => getComputedStyle(one).stroke)")
    assert "none" not in strokes
    assert said == []
    tab.close()
