"""Graphs in this process, called as functions."""

import asyncio
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import imagegraph
from imagegraph.answer import Answer
from imagegraph.errors import DeadlineExceeded, ImagegraphError, InvalidInput, UnknownName
from imagegraph.image import Image
from imagegraph.library.stream import Event
from imagegraph.run import provenance
from imagegraph.spec.catalogue import ROOT, Catalogue
from tests import interrupts, tiny

PHOTO = ROOT / "pocket" / "examples" / "photo.jpg"


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return tiny.catalogue(tmp_path)


def test_a_graph_is_called_with_values_by_name(catalogue: Catalogue) -> None:
    with imagegraph.load("sum", catalogue=catalogue) as add:
        answer = add(number=1)
        assert (answer.number, answer["doubled"]) == (13, 2)
        assert answer.timings.keys() == {"source", "double", "unite", "add"}
        assert add(number=np.int64(1)) == answer
        assert asyncio.run(add.run(number=1)) == answer


def test_it_is_called_where_a_loop_runs_and_several_at_once(catalogue: Catalogue) -> None:
    async def main() -> list[int]:
        with imagegraph.load("sum", catalogue=catalogue) as add:
            answers = await asyncio.gather(*(add.run(number=n) for n in range(5)))
            return [add(number=9).doubled, *(one.doubled for one in answers)]

    assert asyncio.run(main()) == [18, 0, 2, 4, 6, 8]


def test_threads_may_share_it(catalogue: Catalogue) -> None:
    found: list[int] = []
    with imagegraph.load("sum", catalogue=catalogue) as add:
        threads = [threading.Thread(target=lambda n=n: found.append(add(number=n).doubled)) for n in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == [0, 2, 4, 6, 8]


def test_a_value_without_a_name_is_the_first_picture_or_text(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with imagegraph.load("paint", catalogue=catalogue) as paint:
        size = Image(PHOTO.read_bytes()).size
        assert paint(str(PHOTO))["pictures"][0].size == size
        assert paint(PHOTO, seed=4).best.seed == 5
        assert len(paint([PHOTO, PHOTO]).pictures) == 4
        with pytest.raises(InvalidInput, match="image: expected one value, got 'a second one"):
            paint(PHOTO, image=PHOTO)
        broken = PHOTO.read_bytes()[:9000]
        with pytest.raises(InvalidInput, match="image: expected a whole picture"):
            paint(broken)
        Path("cut.jpg").write_bytes(broken)
        with pytest.raises(InvalidInput, match="^cut.jpg: image: expected a whole picture, got '9000 bytes"):
            paint("cut.jpg")
        with pytest.raises(InvalidInput, match=r"pictures\[1\]: expected a whole picture"):
            paint([PHOTO, broken])
        with pytest.raises(InvalidInput, match="image: expected a picture: a path, bytes"):
            paint(7)
    with (
        imagegraph.load("sum", catalogue=catalogue) as add,
        pytest.raises(InvalidInput, match="input: expected a name for it, one of number"),
    ):
        add("photo.jpg")


def test_it_says_what_it_takes_and_answers(catalogue: Catalogue) -> None:
    with imagegraph.load("paint", catalogue=catalogue) as paint:
        assert list(paint.inputs) == ["image", "pictures", "seed", "prompt"]
        assert paint.inputs["seed"] == {
            "datatype": "INT64",
            "shape": [1],
            "required": False,
            "default": 0,
            "schema": {"type": "integer"},
        }
        assert paint.outputs["seeds"]["of"] == ["pictures"]
        shown = paint._repr_html_()
        assert shown.count("<tr>") == 5
        assert "<tr><td>image</td><td>photo</td><td></td>" in shown
        assert "<tr><td>seed</td><td>whole number</td><td>0</td>" in shown
        assert repr(paint).startswith("paint(image, pictures, seed, prompt) -> ")


def test_wrong_values_are_refused_before_anything_is_loaded(catalogue: Catalogue) -> None:
    tiny.Late.go.clear()
    with imagegraph.load("late", catalogue=catalogue) as late:
        for values, kind, words in (
            ({"number": "x"}, InvalidInput, "number: expected a valid integer"),
            ({"numbr": 1}, UnknownName, "unknown input 'numbr'. Did you mean 'number'. Available: number$"),
            ({}, InvalidInput, "number: expected a value"),
        ):
            with pytest.raises(kind, match=words):
                late(**values)
        tiny.Late.go.set()
        assert late(number=3).number == 3
    with pytest.raises(UnknownName, match="unknown graph or component 'summ'. Did you mean 'sum'"):
        imagegraph.load("summ", catalogue=catalogue)
    with pytest.raises(UnknownName, match="unknown bundle 'sd15'"):
        imagegraph.load("sum", bundle="sd15", catalogue=catalogue)
    with pytest.raises(InvalidInput, match="device: expected auto, cpu"):
        imagegraph.load("sum", device="tpu", catalogue=catalogue)


def test_events_are_told_in_order_and_previews_are_drawn(catalogue: Catalogue) -> None:
    told: list[Event] = []
    with imagegraph.load("sum", catalogue=catalogue) as add:
        answer = add(number=1, on_event=told.append)
        *events, last = add.stream(number=1)
    assert isinstance(last, Answer)
    assert last == answer
    kinds = [(one.kind, one.node) for one in told if one.kind != "loading"]
    assert kinds[-2:] == [("started", "add"), ("finished", "add")]
    assert [(one.kind, one.node) for one in events if isinstance(one, Event)] == kinds


def test_events_are_told_in_a_loop_too(catalogue: Catalogue) -> None:
    told: list[Event] = []

    async def main() -> Answer:
        with imagegraph.load("sum", catalogue=catalogue) as add:
            async for one in add.stream(number=1):
                last = one
            assert isinstance(last, Answer)
            assert await add.run(number=1, on_event=told.append) == last
            return last

    assert asyncio.run(main()).number == 13
    assert ("finished", "add") in [(one.kind, one.node) for one in told]


def test_what_a_listener_raises_ends_the_work(catalogue: Catalogue) -> None:
    def fail(event: Event) -> None:
        if event.kind == "progress":
            raise ZeroDivisionError

    tiny.Slow.stopped.clear()
    with imagegraph.load("slow", catalogue=catalogue) as slow:
        with pytest.raises(ZeroDivisionError):
            slow(on_event=fail)
        assert tiny.Slow.stopped.wait(8)


def test_who_stops_looking_or_has_no_time_stops_the_work(catalogue: Catalogue) -> None:
    with imagegraph.load("slow", catalogue=catalogue) as slow:
        tiny.Slow.stopped.clear()
        for one in slow.stream():
            if isinstance(one, Event) and one.kind == "progress":
                break
        del one
        assert tiny.Slow.stopped.wait(8)
        with pytest.raises(DeadlineExceeded):
            slow(timeout_s=0.2)

        async def leave() -> None:
            tiny.Slow.stopped.clear()
            running = asyncio.create_task(slow.run())
            await asyncio.sleep(0.3)
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled()

        async def look_away() -> bool:
            tiny.Slow.stopped.clear()
            async for one in slow.stream():
                if isinstance(one, Event) and one.kind == "progress":
                    break
            return await asyncio.to_thread(tiny.Slow.stopped.wait, 8)

        asyncio.run(leave())
        assert tiny.Slow.stopped.wait(8)
        assert asyncio.run(look_away())


INTERRUPTED = """
import _thread, sys, threading
from pathlib import Path
import imagegraph
from tests import tiny
with imagegraph.load("slow", catalogue=tiny.catalogue(Path(sys.argv[1]))) as slow:
    slow(on_event=lambda event: event.kind == "progress" and event.done == 0 and print("begun", flush=True)) \
        if len(sys.argv) > 2 else print("begun", flush=True) or slow()
"""


@pytest.mark.parametrize("watched", [[], ["watched"]], ids=["called", "watched"])
def test_ctrl_c_stops_the_work(tmp_path: Path, watched: list[str]) -> None:
    process = subprocess.Popen(
        [*interrupts.PYTHON, "-c", INTERRUPTED, str(tmp_path), *watched],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.5)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=60)
    assert words.endswith("KeyboardInterrupt\n")
    assert time.monotonic() - start < 8, "the work would have taken ten seconds"


def test_a_closed_graph_says_so(catalogue: Catalogue) -> None:
    add = imagegraph.load("sum", catalogue=catalogue)
    add.close()
    add.close()
    with pytest.raises(ImagegraphError, match="'sum' is closed: load it again"):
        add(number=1)


def test_an_answer_is_saved_as_the_command_line_saves_it(catalogue: Catalogue, tmp_path: Path) -> None:
    with imagegraph.load("paint", catalogue=catalogue) as paint:
        answer = paint(PHOTO, seed=5)
    files = answer.save(tmp_path / "out")
    assert answer.save(tmp_path / "out", overwrite=True) == files
    assert [path.name for path in files] == [
        "sheet.png",
        "picture-01-combined-6.png",
        "picture-02-depth-5.png",
        "depth.png",
        "results.json",
    ]
    record = provenance.read(files[1])
    assert (record.name, record.bundle, record.parameters) == ("paint", "pocket", {"prompt": "", "seed": 5})
    assert (tmp_path / "out" / "source-image.jpg").read_bytes() == PHOTO.read_bytes()


def test_a_component_of_ones_own_is_found_beside_its_entry(tmp_path: Path) -> None:
    (tmp_path / "louder.py").write_text(
        "from typing import TypedDict\n"
        "from imagegraph.component import Component\n"
        "class Loud(TypedDict):\n    loud: str\n"
        "class Louder(Component):\n"
        "    def predict(self, text: str) -> Loud:\n        return {'loud': text.upper()}\n"
    )
    mine = tmp_path / "mine.yaml"
    mine.write_text("entries: {louder: {component: louder:Louder, summary: Shouts, bundles: {pocket: {}}}}\n")
    for catalogue in (mine, str(mine), [mine]):
        with imagegraph.load("louder", catalogue=catalogue) as louder:
            assert louder("hey").loud == "HEY"


def test_a_manifest_runs(catalogue: Catalogue) -> None:
    path = ROOT / "manifests" / "graphs" / "upscale.yaml"
    with pytest.raises(InvalidInput, match="bundle: expected none beside a manifest"):
        imagegraph.load(path, bundle="pocket")
    with imagegraph.load(path) as upscale:
        assert upscale.name == "upscale"


def test_importing_the_package_imports_nothing_else() -> None:
    script = (
        "import sys, imagegraph;"
        "assert 'load' in dir(imagegraph);"
        "print([name for name in ('numpy', 'PIL', 'torch', 'pydantic', 'aiohttp') if name in sys.modules]);"
        "imagegraph.load;"
        "print([name for name in ('torch', 'kserve', 'prometheus_client', 'typer') if name in sys.modules]);"
        "print(imagegraph.errors.InvalidInput.__name__, imagegraph.Client, imagegraph.AsyncClient)"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[:2] == ["[]", "[]"]
    with pytest.raises(AttributeError, match="module 'imagegraph' has no attribute 'laod'"):
        _ = imagegraph.laod
