"""Each view's main path, with the pocket bundle: by mouse, and by keys alone."""

import re
import zipfile
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.studio.page.browser import tab_to
from tests.studio.page.conftest import Open
from tests.studio.serving import SCENE, Studio, wait_for

LONG = 120_000  # ms, for weights to load on a busy machine
FEW_STEPS = "3"
# Notes which node is seen in which state, however short.
SEE_NODES = """
window.seen = new Set();
const note = (node) => window.seen.add(`${node.dataset.node} ${node.dataset.state}`);
window.progress = [];
new MutationObserver(() => {
  document.querySelectorAll('[data-node]').forEach(note);
  document.querySelectorAll('progress').forEach((one) => window.progress.push(one.value));
}).observe(document.body, {subtree: true, attributes: true, childList: true});
"""


def set_steps(page: Page) -> None:
    page.get_by_text("More settings").click()
    page.locator("#input-steps").fill(FEW_STEPS)


def wait_until_done(page: Page) -> None:
    expect(page.get_by_text("Done", exact=True)).to_be_visible(timeout=LONG)


def test_a_newcomer_draws_the_scene_and_sees_each_node_at_work(drawn: Studio, open_tab: Open) -> None:
    page = open_tab(drawn.base_url)
    page.get_by_label("Sample 1").click()
    set_steps(page)
    page.get_by_label("Another seed").click()
    page.evaluate(SEE_NODES)
    page.get_by_role("button", name="Run", exact=True).click()
    wait_until_done(page)
    assert {"generate running", "generate done", "rank done"} <= set(page.evaluate("[...window.seen]"))
    progress = page.evaluate("window.progress")
    assert progress == sorted(progress)
    expect(page.locator("[data-node=depth]")).to_contain_text("known already")
    expect(page.locator("[data-node=caption]")).to_contain_text("known · ")
    expect(page.locator("[data-prior=depth] img")).to_be_visible()
    expect(page.locator("[data-prior=caption] blockquote")).not_to_be_empty()
    assert page.locator("[data-rank]").count() == 6
    assert page.evaluate("[...document.images].every((one) => one.complete && one.naturalWidth > 0)")
    page.get_by_label("Best of this run").nth(1).click()
    expect(page.get_by_label("Best of this run").nth(1)).to_have_attribute("aria-pressed", "true")
    job = drawn.get("/api/jobs", params={"limit": 1}).json()["items"][0]
    assert job["best"] == [one["id"] for one in job["pictures"] if one["kind"] == "generated"][1]
    # The order by a score is the order of that score.
    page.get_by_label("Order by").select_option("fidelity")
    scores = [
        float(one) for one in page.locator("[data-rank] dl div:has-text('Fidelity') dd").all_inner_texts()
    ]
    assert scores == sorted(scores, reverse=True)


def test_one_thing_is_changed_and_what_was_known_says_so(drawn: Studio, open_tab: Open) -> None:
    page = open_tab(drawn.base_url)
    page.get_by_label("Sample 1").click()
    set_steps(page)
    page.get_by_label("Draw from pose").click()
    page.get_by_label("Strength of depth").fill("0.5")
    page.get_by_role("button", name="Run", exact=True).click()
    wait_until_done(page)
    assert page.locator("[data-rank]").count() == 5
    job = drawn.get("/api/jobs", params={"limit": 1}).json()["items"][0]
    assert job["inputs"]["controls"] == {"depth": {"strength": 0.5}}
    assert "pose" not in job["inputs"]["priors"]
    expect(page.get_by_text("results were known already")).to_be_visible()
    # An earlier run comes back whole from the history, and its settings can be undone.
    page.get_by_label("History of runs").first.click()
    wait_for(lambda: page.locator("aside li").count() > 1)
    page.locator("aside li button").last.click()
    expect(page.locator("#input-seed")).to_have_value("5")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#input-seed")).to_have_value("")


def test_all_of_create_works_by_keys(drawn: Studio, open_tab: Open) -> None:
    page = open_tab(drawn.base_url)
    expect(page.locator("[data-node=depth]")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("o")
    page.keyboard.type("draw")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#/create/draw$"))
    expect(page.locator("[data-node=priors]")).to_have_count(0)
    page.keyboard.press("o")
    expect(page.get_by_label("Search graphs")).to_have_value("")
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    page.keyboard.type("a red cone")
    page.keyboard.press("Control+Enter")
    wait_until_done(page)
    card = page.locator("[data-rank='1'] .picture")
    card.focus()
    page.keyboard.press("4")
    page.keyboard.press("f")
    expect(page.get_by_role("group", name="Rating: 4 of 5")).to_be_visible()
    page.keyboard.press("Enter")
    full = page.get_by_role("dialog", name="Full view")
    expect(full.get_by_text("a red cone", exact=True)).to_be_visible()
    expect(full.get_by_label("Favourite", exact=True)).to_have_attribute("aria-pressed", "true")
    # The keys of the full view, each written as it is.
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    for words, key in (("Nearer", "+"), ("Rate", "12345"), ("Next picture", "→")):
        expect(keys.locator("dl div", has=page.get_by_text(words, exact=True)).locator("dd")).to_have_text(
            key
        )
    expect(keys.get_by_text("Choose a graph")).to_have_count(0)
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(full).to_have_count(0)
    page.keyboard.press("g")
    page.keyboard.press("g")
    expect(page.get_by_role("listbox")).to_be_visible()


def test_a_wrong_value_is_refused_where_it_is(drawn: Studio, open_tab: Open) -> None:
    page = open_tab(drawn.base_url, expected="status of 400")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("[data-input=image] .bad")).to_have_text("This is needed.")
    page.get_by_label("Sample 1").click()
    page.get_by_text("More settings").click()
    page.locator("#input-steps").fill("0")
    expect(page.locator("[data-input=steps] .bad")).to_have_text("At least 1, not 0.")
    page.locator("#input-steps").fill("1")
    # Only the server knows how many pictures there will be.
    page.locator("#input-seeds").fill("[1, 2]")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("[data-input=seeds] .bad")).to_contain_text("Expected 6 seeds, one a picture")


def test_a_run_is_cancelled(drawn: Studio, open_tab: Open) -> None:
    page = open_tab(drawn.base_url)
    page.get_by_label("Sample 1").click()
    page.get_by_text("More settings").click()
    page.locator("#input-steps").fill("200")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("[data-node=generate][data-state=running]")).to_be_visible(timeout=LONG)
    # The request that is drawn is that of the run, whatever is written meanwhile.
    page.locator("#input-prompt").fill("something else")
    expect(page.get_by_label("The request")).not_to_contain_text("something else")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled", exact=True)).to_be_visible(timeout=LONG)
    expect(page.locator("[data-node=generate][data-state=cancelled]")).to_contain_text("cancelled")
    # What was read until then is there again when it is looked at anew.
    page.reload()
    expect(page.locator("[data-prior=depth] img")).to_be_visible()
    expect(page.locator("[data-prior=caption] blockquote")).not_to_be_empty()


def test_points_and_boxes_say_what_is_looked_at(drawn: Studio, open_tab: Open) -> None:
    page = open_tab(f"{drawn.base_url}/#/analyze/analyze")
    expect(page.get_by_text("Give a picture on the left. Then point at what you mean.")).to_be_visible()
    page.get_by_label("Sample 1").click()
    page.locator("#input-texts").fill("a green cone\na person in red")
    picture = page.get_by_role("application")
    box = picture.bounding_box()
    assert box
    page.mouse.click(box["x"] + 0.7 * box["width"], box["y"] + 0.5 * box["height"])
    page.keyboard.press("n")
    page.mouse.move(box["x"] + 0.05 * box["width"], box["y"] + 0.15 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.6 * box["height"], steps=3)
    page.mouse.up()
    page.get_by_role("button", name="Look at these").click()
    wait_until_done(page)
    assert page.locator("path.region").count() == 2
    expect(page.get_by_text("The whole picture")).to_be_visible()
    expect(page.locator("button.card strong").nth(1)).to_have_text("a person in red")
    said = re.compile(r"Area [\d,]+ px · Foreseen fit of the outline \d\.\d\d")
    expect(page.locator("button.card").first).to_contain_text(said)
    page.locator("button.card").first.hover()
    expect(page.locator("rect.found")).to_have_count(1)
    # The smallest lies on top, where it can be pointed at.
    sizes = page.locator("path.region").evaluate_all(
        "(all) => all.map((one) => one.getBBox()).map(({width, height}) => width * height)"
    )
    assert sizes == sorted(sizes, reverse=True)
    # By keys: a cross is moved, Enter sets a point, and what was set is undone.
    picture.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("n")
    page.keyboard.press("Enter")
    assert page.locator("g.point").count() == 2
    page.keyboard.press("u")
    assert page.locator("g.point").count() == 1
    said = wait_for(lambda: drawn.get("/api/jobs", params={"limit": 1}).json()["items"][0])["inputs"]
    assert len(said["boxes"]) == len(said["points"]) == 2
    assert said["labels"] == [[1], [-1]]


def test_pictures_are_found_rated_collected_and_brought_back(
    drawn: Studio, open_tab: Open, tmp_path: Path
) -> None:
    page = open_tab(f"{drawn.base_url}/#/gallery")
    wall = page.get_by_role("listbox")
    expect(page.get_by_role("option").first).to_be_visible()
    count = drawn.get("/api/pictures").json()["total"]
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys").locator("dd")
    for written in ("←↑↓→", "Enter", "Space"):
        expect(keys.filter(has_text=written).first).to_be_visible()
    page.keyboard.press("Escape")
    wall.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("5")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.get_by_text("2 picked")).to_be_visible()
    page.keyboard.press("b")
    page.get_by_label("Name of a new board").fill("Cones")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Cones 2")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert len([name for name in archive.namelist() if name.endswith(".png")]) == 2
    wall.focus()
    page.keyboard.press("Delete")
    expect(page.get_by_text("2 pictures deleted.")).to_be_visible()
    wait_for(lambda: drawn.get("/api/pictures").json()["total"] == count - 2)
    page.keyboard.press("z")
    wait_for(lambda: drawn.get("/api/pictures").json()["total"] == count)
    # One is dragged onto the board.
    page.get_by_role("option").nth(3).drag_to(page.get_by_role("link", name="Cones 2"))
    expect(page.get_by_role("link", name="Cones 3")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("no such words")
    expect(page.get_by_text("Nothing is like that")).to_be_visible()
    page.get_by_role("button", name="Show all pictures").click()
    page.get_by_role("button", name="Filter").click()
    page.locator("label:has(> span:text-is('Rated')) select").select_option("5")
    expect(wall.get_by_role("option")).to_have_count(1)
    # What a drawn picture carries brings its settings back, wherever it comes from.
    best = drawn.get("/api/pictures", params={"prior": "edges"}).json()["items"][-1]
    file = drawn.get(best["url"]).content
    drop(page, file)
    expect(page).to_have_url(re.compile("#/create/reimagine"))
    expect(page.locator("#input-seed")).to_have_value("5")


def drop(page: Page, file: bytes) -> None:
    """Drops a file onto the gallery."""
    data = page.evaluate_handle(
        """(bytes) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], "drawn.png", {type: "image/png"}));
          return data;
        }""",
        list(file),
    )
    page.get_by_role("group", name="Gallery").dispatch_event("drop", {"dataTransfer": data})


def test_a_photo_is_pasted_dropped_or_taken(drawn: Studio, open_tab: Open) -> None:
    page = open_tab(drawn.base_url, permissions=["camera"])
    page.locator("#input-image").set_input_files(SCENE)
    expect(page.get_by_alt_text("What was chosen")).to_have_attribute("src", re.compile("/api/pictures/"))
    page.get_by_label("Take the picture away").click()
    page.get_by_label("Take a photo").click()
    page.get_by_role("button", name="Take it").click()
    expect(page.get_by_alt_text("What was chosen")).to_have_attribute("src", re.compile("/api/pictures/"))


def test_parts_are_pointed_at_by_keys_alone(drawn: Studio, open_tab: Open) -> None:
    page = open_tab(drawn.base_url)
    expect(page.locator("[data-node=depth]")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("a")
    expect(page.get_by_role("button", name="cut-out")).to_be_visible()
    page.keyboard.press("o")
    tab_to(page, page.get_by_role("dialog").get_by_role("button", name="analyze").first)
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_label("Sample 1"))
    page.keyboard.press("Enter")
    tab_to(page, page.locator("#input-texts"))
    page.keyboard.type("a green cone")
    picture = page.get_by_role("application")
    tab_to(page, picture)
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("g.point")).to_have_count(1)
    # A box, from one corner to the other.
    page.keyboard.press("n")
    page.keyboard.press("d")
    page.keyboard.press("Enter")
    for key in ("ArrowLeft", "ArrowUp"):
        page.keyboard.press(f"Shift+{key}")
        page.keyboard.press(f"Shift+{key}")
    page.keyboard.press("Enter")
    expect(page.locator("rect.box")).to_have_count(1)
    page.keyboard.press("Control+Enter")
    wait_until_done(page)
    expect(page.locator("path.region")).to_have_count(2)
    tab_to(page, page.locator("button.card").nth(1))
    expect(page.locator("rect.found")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator("button.card").nth(1)).to_have_attribute("aria-pressed", "true")
    said = drawn.get("/api/jobs", params={"limit": 1}).json()["items"][0]["inputs"]
    (_, box) = said["boxes"]
    assert box[0] < box[2]
    assert box[1] < box[3]


def test_the_gallery_works_by_mouse(drawn: Studio, open_tab: Open) -> None:
    page = open_tab(f"{drawn.base_url}/#/gallery")
    options = page.get_by_role("option")
    expect(options.nth(1).locator("img")).to_be_visible()
    for place in (0, 1):
        options.nth(place).hover()
        options.nth(place).locator("[data-pick]").click()
    bar = page.get_by_role("toolbar", name="What to do with the picked pictures")
    expect(bar).to_contain_text("2 picked")
    bar.get_by_role("button", name="Favourite").click()
    expect(page.get_by_text("2 pictures are favourites.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    bar.get_by_role("button", name="Compare").click()
    expect(page.get_by_alt_text("Right picture")).to_be_visible()
    page.go_back()
    options.nth(2).click()
    full = page.get_by_role("dialog", name="Full view")
    full.get_by_role("button", name="3 of 5").click()
    expect(full.get_by_role("group", name="Rating: 3 of 5")).to_be_visible()
    full.get_by_role("button", name="3 of 5").click()
    full.get_by_role("button", name="Next picture").click()
    full.get_by_role("button", name="More like this").click()
    expect(page.get_by_role("button", name="No longer only like a picture")).to_be_visible()


def test_two_pictures_are_compared_by_keys_alone(drawn: Studio, open_tab: Open) -> None:
    page = open_tab(drawn.base_url, expected="404")  # there may be no next pair
    expect(page.locator("[data-node=depth]")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("m")
    for _ in range(2):
        tab_to(page, page.get_by_role("button", name="Choose", exact=True).first)
        page.keyboard.press("Enter")
        tab_to(page, page.get_by_role("dialog").get_by_role("listitem").nth(1).get_by_role("button"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_have_count(0)
    slider = page.get_by_label("How much of the left picture is seen")
    tab_to(page, slider)
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_value("50.5")
    page.keyboard.press("s")
    expect(page.get_by_alt_text("left picture")).to_be_visible()
    page.keyboard.press("+")
    moved = page.locator(".half img").evaluate_all("(all) => all.map((one) => one.style.transform)")
    assert len(moved) == 2
    assert len(set(moved)) == 1
    # Blind: two arms that differ in what steers them.
    tab_to(page, page.get_by_role("link", name="Blind A/B"))
    page.keyboard.press("Enter")
    for place, name in enumerate(("Pose", "Segmentation")):
        tab_to(page, page.get_by_label("Steered by").nth(place))
        page.keyboard.type(name)
    tab_to(page, page.get_by_role("button", name="Begin"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="The left one is better")).to_be_enabled()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_text("1 both bad")).to_be_visible()
    page.keyboard.press("Enter")
    others = page.get_by_role("button", name="Try another pair")
    expect(others.or_(page.get_by_role("button", name="The left one is better"))).to_be_visible()
    tab_to(page, page.get_by_role("button", name="End"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="How they stand")).to_be_visible()


def test_two_pictures_are_zoomed_together_and_arms_are_told_apart_blindly(
    drawn: Studio, open_tab: Open
) -> None:
    pictures = drawn.get("/api/pictures", params={"kind": "generated"}).json()["items"]
    page = open_tab(f"{drawn.base_url}/#/compare?left={pictures[0]['id']}&right={pictures[1]['id']}")
    expect(page.get_by_alt_text("Right picture")).to_be_visible()
    # The divider follows the hand, on the picture itself.
    box = page.locator(".curtain .frame").bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, middle, steps=4)
    page.mouse.up()
    expect(page.get_by_label("How much of the left picture is seen")).to_have_value("25")
    page.get_by_role("button", name="Both nearer").click()
    moved = page.locator(".curtain img").evaluate_all("(all) => all.map((one) => one.style.transform)")
    assert len(set(moved)) == 1
    assert "scale(1.25)" in moved[0]
    page.goto(f"{drawn.base_url}/#/compare")
    for name in ("Slider", "Swap", "Both nearer", "Both farther", "Whole"):
        expect(page.get_by_role("button", name=name)).to_be_disabled()
    page.goto(f"{drawn.base_url}/#/compare/blind")
    arms = page.locator("fieldset:has(legend:text-matches('^[AB]$'))")
    arms.nth(0).get_by_label("Steered by").select_option("depth")
    arms.nth(1).get_by_label("Steered by").select_option("edges")
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("button", name="The left one is better")).to_be_enabled()
    assert "depth" not in page.locator("figcaption").all_inner_texts()
    page.get_by_role("button", name="The left one is better").click()
    expect(page.get_by_text("95 % interval")).to_be_visible()
    assert set(page.locator("figcaption").all_inner_texts()) == {"depth", "edges"}
    tally = next(one for one in drawn.get("/api/comparisons").json() if one["a"]["prior"] == "depth")
    assert tally["wins"]["a"] + tally["wins"]["b"] == 1


def test_the_system_says_what_is_loaded(drawn: Studio, open_tab: Open) -> None:
    page = open_tab(f"{drawn.base_url}/#/system")
    row = page.get_by_role("region", name="Nodes of reimagine").get_by_role("row", name=re.compile("^depth"))
    expect(row).to_contain_text("ready")
    # What is not loaded yet can be loaded, and gone to.
    graph = page.locator("details", has=page.locator("summary strong:text-is('edges')"))
    graph.locator("summary").click()
    graph.get_by_role("button", name="Load now").click()
    expect(page.get_by_text("edges is being loaded.")).to_be_visible()
    graph.get_by_role("link", name="Work with it").click()
    expect(page).to_have_url(re.compile("#/create/edges"))


def test_the_system_works_by_keys_alone(drawn: Studio, open_tab: Open) -> None:
    page = open_tab(drawn.base_url)
    expect(page.locator("[data-node=depth]")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("s")
    graph = page.locator("details", has=page.locator("summary strong:text-is('upscale')"))
    tab_to(page, graph.locator("summary"))
    page.keyboard.press("Enter")
    tab_to(page, graph.get_by_role("link", name="Work with it"))
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#/create/upscale"))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
