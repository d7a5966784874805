"""docs/python.md is tested: its blocks run one after the other where a loop runs, as in a notebook."""

import ast
import asyncio
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import imagegraph
from imagegraph.spec.catalogue import ROOT
from tests.serve.conftest import Server, start

__all__ = ["start"]  # a fixture

PAGE = ROOT / "docs" / "python.md"
TEXT = PAGE.read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)


def test_its_blocks_run(
    start: Callable[..., Server],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = start("--graph", "reimagine", IMAGEGRAPH_CATALOGUE="")
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "pocket" / "examples" / "scene.png", "photo.jpg")
    known: dict[str, Any] = {}

    async def run() -> None:
        for block in BLOCKS:
            source = block.replace("http://localhost:8080", f"http://127.0.0.1:{server.http_port}")
            code = compile(source, PAGE.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            waiting = eval(code, known)
            if waiting is not None:
                await waiting

    asyncio.run(run())
    said = capsys.readouterr().out
    for comment in re.findall(r"print\(.*\)  # (.*)", TEXT):
        words = [re.escape(part) for part in comment.split("…")]
        assert re.search(".*".join(words), said), comment
    assert Path("best.png").exists()
    assert Path("results", "results.json").exists()
    assert {one.steered_by for one in known["steered"].pictures} == {"prompt", "depth"}
    assert known["blue"].best.prompt == "a blue cone"
    for one in known.values():
        if isinstance(one, imagegraph.Graph):
            one.close()


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", TEXT))
def test_its_links_lead_to_files(target: str) -> None:
    assert (PAGE.parent / target).exists(), target
