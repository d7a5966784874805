"""How every view looks: in both themes, on a phone; what axe-core finds; what a first visit loads."""

import gzip
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.studio.page.browser import keep, settle, violations
from tests.studio.page.conftest import Open
from tests.studio.serving import Studio

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
MOST_SCRIPT_KB = 150


@pytest.fixture(scope="module")
def views(drawn: Studio) -> dict[str, str]:
    """The addresses of all views, each with something in it."""
    example = {"picture": drawn.example()["id"]}
    texts = ["a green cone", "a person in red"]
    asked = {"image": example, "texts": texts, "boxes": [[5, 20, 40, 80], [60, 35, 105, 85]]}
    looked = drawn.run("analyze", asked, wait=200)
    assert looked["state"] == "done", looked["error"]
    found = drawn.get("/api/jobs", params={"limit": 100}).json()["items"]
    job = next(one for one in found if (one["graph"], one["state"]) == ("reimagine", "done"))
    left, right = [one["id"] for one in job["pictures"] if one["kind"] == "generated"][:2]
    return {
        "create": f"create/reimagine/{job['id']}",
        "create-empty": "create/sketch",
        "analyze": f"analyze/analyze/{looked['id']}",
        "gallery": "gallery",
        "compare": f"compare?left={left}&right={right}",
        "blind": "compare/blind",
        "system": "system",
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_any_view(
    views: dict[str, str], drawn: Studio, open_tab: Open, theme: str, tmp_path: Path
) -> None:
    found = {}
    page = open_tab(drawn.base_url, color_scheme=theme)
    for name, address in views.items():
        page.goto(f"{drawn.base_url}/#/{address}")
        settle(page)
        keep(page, f"{name}-{theme}", tmp_path)
        found[name] = violations(page)
    for name, key in (("history", "h"), ("graphs", "o"), ("keys", "?")):
        page.goto(f"{drawn.base_url}/#/{views['create']}")
        settle(page)
        page.keyboard.press(key)
        settle(page)
        keep(page, f"{name}-{theme}", tmp_path)
        found[name] = violations(page)
        page.keyboard.press("Escape")
        if name == "history":
            page.keyboard.press(key)
    page.locator("[data-rank='1'] .picture").click()
    settle(page)
    keep(page, f"full-view-{theme}", tmp_path)
    found["full view"] = violations(page)
    lines = [f"{name}: {fault}" for name, faults in found.items() for fault in faults]
    assert not lines, "\n".join(lines)


def test_nothing_is_wider_than_a_phone(
    views: dict[str, str], drawn: Studio, open_tab: Open, tmp_path: Path
) -> None:
    page = open_tab(drawn.base_url, **PHONE)
    for name, address in views.items():
        page.goto(f"{drawn.base_url}/#/{address}")
        settle(page)
        keep(page, f"{name}-phone", tmp_path)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"], name
        beyond = page.evaluate(
            """[...document.querySelectorAll('main button, main input, main select, main a')]
            .filter((one) => one.getClientRects().length && !one.closest('.room, .wide, .unseen, .sheet'))
            .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
            .map((one) => one.outerHTML)"""
        )
        assert not beyond, name
        # Words in the drawing of a graph stay inside their cards.
        spilt = page.evaluate(
            """[...document.querySelectorAll('svg g.node')].flatMap((node) => {
              const card = node.querySelector('.card').getBoundingClientRect();
              return [...node.querySelectorAll('text')]
                .map((text) => ({words: text.textContent, box: text.getBoundingClientRect()}))
                .filter(({box}) => box.left < card.left || box.right > card.right || box.bottom > card.bottom)
                .map(({words}) => words);
            })"""
        )
        assert not spilt, name


def test_a_first_visit_loads_little_and_nothing_moves(drawn: Studio, open_tab: Open) -> None:
    page = open_tab("about:blank")
    page.add_init_script(
        """window.moved = 0;
        new PerformanceObserver((list) => list.getEntries().forEach((one) => (window.moved += one.value)))
          .observe({type: 'layout-shift', buffered: true});"""
    )
    loaded: list[str] = []
    page.on("response", lambda answer: loaded.append(answer.url) if answer.url.endswith(".js") else None)
    page.goto(str(drawn.base_url))
    expect(page.locator("[data-node=depth]")).to_be_visible()
    settle(page)
    sizes = [len(gzip.compress(drawn.get(url).content)) for url in loaded]
    assert 0 < sum(sizes) / 1000 <= MOST_SCRIPT_KB
    assert page.evaluate("window.moved") < 0.02
    assert all(url.startswith(str(drawn.base_url)) for url in loaded)
