"""Reports by the command line: what is written, gone on with, noticed, listed."""

import errno
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from PIL import Image as Pillow
from pyarrow import parquet

from imagegraph.batch.engines import EmbeddedPlatform
from imagegraph.errors import ImagegraphError, InvalidDocument, InvalidInput
from imagegraph.style_report.answers import Answer
from imagegraph.style_report.figures import figures
from pocket.world import make_scene
from tests import tiny
from tests.cli.commands import said
from tests.style_report import tiny_styles

ASKED = ("Banksy", "Vincent van Gogh")
VOID = {"meta", "img", "br", "link"}


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    """A folder with ten photos, in a project of the tiny graph alone."""
    tiny.catalogue(tmp_path, tiny_styles.CATALOGUE)
    monkeypatch.setenv("IMAGEGRAPH_CATALOGUE", str(tmp_path / "catalogue.yaml"))
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for number in range(10):
        draw(f"photos/p{number}.png", 100 + 10 * number)
    return Path("photos")


def draw(path: str, light: int) -> None:
    Pillow.new("RGB", (16, 16), (light, 7, 7)).save(path)


def report(*arguments: str, code: int = 0) -> str:
    done = said("style-report", *arguments, "-o", "report", "--device", "cpu")
    assert done.code == code, done.out + done.err
    return done.out + done.err


def tiny_report(*arguments: str, code: int = 0) -> str:
    return report("photos", "--graph", "grey", *arguments, code=code)


def read(folder: Path) -> list[Answer]:
    return [Answer(**row) for row in parquet.read_table(folder / "answers.parquet").to_pylist()]


def numbers(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="figures">(.*?)</script>', page)[1])


class Balanced(HTMLParser):
    """Fails where tags do not close, or something is fetched from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert name not in ("href", "src") or value.startswith("data:"), value

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    """A report of two scenes in two styles by the pocket models, in four steps."""
    place = tmp_path_factory.mktemp("real")
    (place / "scenes").mkdir()
    for seed in range(2):
        Pillow.fromarray(make_scene(seed, "seen", objects=1).image).save(place / f"scenes/{seed}.png")
    names = "--style-names", ",".join(ASKED)
    arguments = "style-report", str(place / "scenes"), "-o", str(place / "report"), "--steps", "4", *names
    done = said(*arguments, "--device", "cpu")
    assert done.code == 0, done.err
    return place / "report"


def test_every_picture_and_answer_is_in_the_table(real):
    found = read(real)
    assert len(found) == 2 * 2 * len(ASKED)
    assert {one.style for one in found} == set(ASKED)
    for one in found:
        assert one.prompt.endswith(f", in the style of {one.style}")
        assert one.question == f"is this picture in the style of {one.style}?"
        assert one.yes == int(one.confidence > 0.5)
        assert Pillow.open(real / one.picture).size == (256, 256)
        assert Pillow.open(real / one.source).size == (128, 128)
    assert np.mean([one.yes for one in found]) > 0.8


def test_the_numbers_of_the_page_are_those_of_the_table(real):
    """Computed anew, without the code that made the page."""
    rows = parquet.read_table(real / "answers.parquet").to_pylist()
    shown = numbers((real / "report.html").read_text())
    assert shown["photos"] == 2
    for architecture, of_style in shown["cells"].items():
        for style, score in of_style.items():
            own = [one for one in rows if (one["architecture"], one["style"]) == (architecture, style)]
            confidences = [one["confidence"] for one in own]
            assert score["mean"] == pytest.approx(fmean(confidences))
            assert score["yes"] == pytest.approx(fmean(one["yes"] for one in own))
            draws = np.random.default_rng(9).choice(confidences, (20_000, len(confidences))).mean(axis=1)
            expected = np.quantile(draws, [0.025, 0.975])
            assert [score["low"], score["high"]] == pytest.approx(expected, abs=0.03)
    means = {
        architecture: fmean(one["confidence"] for one in rows if one["architecture"] == architecture)
        for architecture in shown["architectures"]
    }
    verdict = shown["architecture"]
    assert verdict["best"] == max(means, key=lambda name: means[name])
    assert verdict["difference"] == pytest.approx(means[verdict["best"]] - means[verdict["next"]])
    assert not verdict["real"], "two photos are too few"


def test_the_page_needs_nothing_beside_it_and_is_whole(real):
    page = (real / "report.html").read_text()
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert "$" not in page
    assert page.count("data:image/jpeg") == 2 * (1 + 2 * 2) + 2 * 2 * 2 * 2
    for said_ in ("2 styles over 2 photos", "Too few photos to tell", "Photo and words", *ASKED):
        assert said_ in page


def test_it_says_what_wins_and_whether_that_is_real(photos):
    text = tiny_report()
    assert re.search(r"architecture: photo and words, 0\.\d+ above words \(\+.*\), real", text)
    assert re.search(r"style: dark, 0\.\d+ above light \(\+.*\), real", text)
    page = Path("report/report.html").read_text()
    assert page.count("The difference is real.") == 2
    assert read(Path("report"))[0].seed == 0


def test_of_few_photos_the_command_says_as_the_page_does_that_they_are_too_few(photos):
    for number in range(4, 10):
        (photos / f"p{number}.png").unlink()
    text = tiny_report()
    assert re.search(r"architecture: photo and words, .*\), too few photos to tell", text)
    assert "may be chance" not in text
    assert "Too few photos to tell" in Path("report/report.html").read_text()


def test_what_is_done_is_not_drawn_again(photos):
    tiny_report()
    before = {path: path.stat().st_mtime_ns for path in Path("report/rows").rglob("*.png")}
    draw("photos/new.png", 33)
    text = tiny_report()
    assert "20 of 22 rows are done already" in text
    after = {path: path.stat().st_mtime_ns for path in Path("report/rows").rglob("*.png")}
    assert len(after) == len(before) + 6
    assert before.items() <= after.items()
    assert numbers(Path("report/report.html").read_text())["photos"] == 11


def test_a_changed_parameter_is_noticed(photos):
    tiny_report("--level", "1")
    with pytest.raises(InvalidInput, match=r"level: expected .*1.*--overwrite.*got 2"):
        tiny_report("--level", "2")
    tiny_report("--level", "2", "--overwrite")


def test_an_architecture_alone_can_be_looked_at(photos):
    text = tiny_report("--architecture", "words")
    assert "architecture:" not in text
    page = Path("report/report.html").read_text()
    assert "There is no other to compare it with." in page
    with pytest.raises(InvalidInput, match=r"architecture: expected .*words.*photo-and-words.*got 'paint'"):
        tiny_report("--architecture", "paint")


def test_a_photo_that_cannot_be_read_is_listed_and_the_others_count(photos):
    (photos / "broken.png").write_bytes((photos / "p1.png").read_bytes()[:40])
    draw("photos/too <light>.png", 255)
    text = tiny_report(code=2)
    assert "error: 4 of 24 rows failed" in text
    page = Path("report/report.html").read_text()
    assert "What is missing" in page
    assert "<code>broken</code>: " in page
    assert "too &lt;light&gt;" in page
    assert "<light>" not in page
    assert numbers(page)["photos"] == 10
    (photos / "broken.png").unlink()
    (photos / "too <light>.png").unlink()
    assert "What is missing" not in (tiny_report(), Path("report/report.html").read_text())[1]


def test_a_folder_without_photos_is_refused(photos):
    Path("empty").mkdir()
    with pytest.raises(InvalidInput, match=r"a folder with pictures .*got 'empty, a folder without any'"):
        report("empty", "--graph", "grey")


def test_two_photos_of_one_name_are_refused(photos):
    Pillow.new("RGB", (16, 16)).save("photos/p1.jpg")
    with pytest.raises(InvalidInput, match=r"photos/p1.jpg and photos/p1.png, both 'p1"):
        tiny_report()


def test_a_graph_that_says_nothing_of_styles_is_refused(photos):
    with pytest.raises(InvalidInput, match=r"graph: expected one that takes architecture.*got 'plain'"):
        report("photos", "--graph", "plain")


def test_a_style_file_that_is_wrong_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(
        "moods:\n  prompt: '{caption}, {style}'\n  question: 'is it {style}?'\n  styles: [calm]\n  size: 3\n"
    )
    Pillow.new("RGB", (64, 64)).save("a.png")
    with pytest.raises(InvalidDocument, match=r"mine.yaml:5: moods.size: unknown key"):
        report("a.png", "--own-styles", "mine.yaml", "--style-group", "moods")


def test_a_group_that_is_not_there_is_refused_before_anything_loads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Pillow.new("RGB", (64, 64)).save("a.png")
    monkeypatch.setattr(EmbeddedPlatform, "open", lambda *_: pytest.fail("models load"))
    with pytest.raises(InvalidInput, match=r"style_group: expected one of artists, .*mask, got 'nope'"):
        report("a.png", "--style-group", "nope")
    Path("mine.yaml").write_text(
        "moods:\n  prompt: '{caption}, {style}'\n  question: 'is it {style}?'\n  styles: [calm]\n"
    )
    with pytest.raises(InvalidInput, match=r"style_group: expected one of artists, .*moods, got 'mods'"):
        report("a.png", "--own-styles", "mine.yaml", "--style-group", "mods")
    assert not Path("report").exists()


def test_where_the_disk_is_full_it_can_be_gone_on_with(photos, monkeypatch):
    written = Path.write_bytes
    calls = iter(range(1000))

    def write_bytes(path: Path, data: bytes) -> int:
        if next(calls) >= 25:
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_bytes)
        with pytest.raises(ImagegraphError, match=r"cannot write report/.*No space left.*make room"):
            tiny_report()
    assert not Path("report/report.html").exists()
    done = len(list(Path("report/rows").iterdir()))
    assert 0 < done < 20
    assert f"{done} of 20 rows are done already" in tiny_report()
    assert figures(read(Path("report"))).photos == 10
