import os
from collections.abc import Callable
from pathlib import Path

import pytest

from imagegraph.errors import ImagegraphError, InvalidInput
from imagegraph.run import destination


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def put(**files: str) -> Callable[[Path], list[str]]:
    """Writes files in the order given, as what fills a folder does."""

    def write(staged: Path) -> list[str]:
        for stem, text in files.items():
            (staged / f"{stem}.txt").write_text(text)
        return [f"{stem}.txt" for stem in files]

    return write


def test_each_run_gets_a_folder_of_its_own() -> None:
    for number in (1, 2, 3):
        with destination.new_folder(None, "photo") as folder:
            assert folder == Path("out", f"photo-{number}")
            assert folder.is_dir()


@pytest.mark.parametrize(
    ("stem", "name"),
    [("x" * 255, f"{'x' * 200}-1"), ("图" * 85, f"{'图' * 66}-1"), ("caf\udce9", "caf-1"), ("", "run-1")],
)
def test_a_folder_gets_of_any_name_what_is_text_and_fits(stem: str, name: str) -> None:
    with destination.new_folder(None, stem) as folder:
        assert folder.name == name


def test_a_folder_that_is_asked_for_is_taken_where_it_is_new_or_empty(home: Path) -> None:
    (home / "here").mkdir()
    (home / "here" / ".DS_Store").touch()
    for asked in (Path("a/b/c"), Path("here"), home / "absolute"):
        with destination.new_folder(asked, "photo") as folder:
            assert folder == asked
            assert folder.is_dir()


@pytest.mark.parametrize("name", ["results.json", "holiday.jpg", "source-image.png"])
def test_where_something_is_nothing_is_touched_and_nothing_is_computed(home: Path, name: str) -> None:
    (home / "results").mkdir()
    (home / "results" / name).write_text('{"pictures": [{"file": "results.json"}]}')
    before = content(home / "results")
    with (
        pytest.raises(InvalidInput, match=f"out: expected a folder that is new or empty, got .*{name}"),
        destination.new_folder(Path("results"), "photo"),
    ):
        pytest.fail("the work has begun")
    assert content(home / "results") == before


@pytest.mark.parametrize("asked", ["file", "file/below", "/proc/nowhere", "x" * 300])
def test_what_cannot_be_written_to_is_said_before_the_work(home: Path, asked: str) -> None:
    (home / "file").write_text("a file")
    with (
        pytest.raises(InvalidInput, match="out: expected a folder that can be written to"),
        destination.new_folder(Path(asked), "photo"),
    ):
        pytest.fail("the work has begun")


@pytest.mark.parametrize("asked", [None, Path("a/b")])
def test_work_that_fails_leaves_no_folder(home: Path, asked: Path | None) -> None:
    with pytest.raises(KeyboardInterrupt), destination.new_folder(asked, "photo"):
        raise KeyboardInterrupt
    assert not list(home.iterdir())

    def leave_a_file(folder: Path) -> None:
        (folder / "picture.png").touch()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), destination.new_folder(asked, "photo") as folder:
        leave_a_file(folder)
    assert list(home.rglob("*.png")), "what is there is never removed"


def test_files_are_there_whole_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("shutil.move", lambda one, to: (seen.append(to.name), os.rename(one, to)))
    with destination.new_folder(Path("results"), "photo") as folder:
        files = destination.fill(folder, put(b="2", a="1", results="3"))
    assert files == [folder / name for name in ("b.txt", "a.txt", "results.txt")]
    assert seen[-1] == "results.txt", "what lists the others comes last"
    assert content(folder) == {"b.txt": b"2", "a.txt": b"1", "results.txt": b"3"}


def test_a_crash_while_files_are_written_leaves_none(home: Path) -> None:
    def fail(staged: Path) -> list[str]:
        (staged / "picture.png").write_text("half")
        raise OSError(28, "No space left on device")

    with (
        pytest.raises(ImagegraphError, match="cannot write results to results: No space left on device"),
        destination.new_folder(Path("results"), "photo") as folder,
    ):
        destination.fill(folder, fail)
    assert not list(home.iterdir())


def test_two_runs_at_once_into_one_folder_are_not_mixed() -> None:
    with (
        destination.new_folder(Path("results"), "photo") as one,
        destination.new_folder(Path("results"), "photo") as other,
    ):
        assert destination.fill(one, put(a="1")) == [Path("results", "a.txt")]
        assert destination.fill(other, put(a="2")) == [Path("results-1", "a.txt")]
    assert content(Path("results")) == {"a.txt": b"1"}
    assert content(Path("results-1")) == {"a.txt": b"2"}


def test_a_file_is_new_and_whole(home: Path) -> None:
    default = home / "picture.png"
    for name in ("picture.png", "picture-2.png", "picture-3.png"):
        place = destination.new_file(None, default)
        assert place.name == name
        destination.write(place, b"pixels")
        assert place.read_bytes() == b"pixels"
    with pytest.raises(InvalidInput, match="out: expected a file that is not there yet"):
        destination.new_file(home / "picture-2.png", default)
    with pytest.raises(InvalidInput, match="out: expected a file in a folder that can be written to"):
        destination.new_file(home / "gone" / "picture.png", default)
    with pytest.raises(ImagegraphError, match="cannot write"):
        destination.write(home / "gone" / "picture.png", b"pixels")
    assert len(list(home.iterdir())) == 3
