"""`generate`: the files that the catalogue and the chart give."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Annotated

import typer

from imagegraph.cli.options import Added, console
from imagegraph.deploy import render
from imagegraph.errors import ImagegraphError
from imagegraph.spec.catalogue import ROOT, Catalogue


def generate(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail where files differ")] = False,
    catalogue: Added = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write them there, beside a copy of the chart")
    ] = None,
) -> None:
    """Write what is generated: manifests, the chart's names and table of values, dashboards, rules."""
    known = Catalogue.read(catalogue or [])
    root = out or ROOT  # elsewhere, nothing is removed: others may write there, too
    if out and not check:
        shutil.copytree(ROOT / render.CHART, out / render.CHART, dirs_exist_ok=True)
    _update(root, render.files(root, known), [] if out else [render.graphs(root)], check)
    if importlib.util.find_spec("grafana_foundation_sdk"):
        _update(root, render.drawn(root), [] if out else [root / render.DASHBOARDS], check)
    else:
        console.print("without grafana-foundation-sdk the dashboards stay as they are")
    helm = render.find_helm(ROOT)
    if helm is None:
        console.print("without helm (`make cluster-tools`) the chart's manifests stay as they are")
        return
    folders = [] if out else [ROOT / "manifests" / name for name in render.FOLDERS]
    _update(root, render.rendered(root, known, helm), folders, check)


def _update(root: Path, wanted: dict[Path, str], folders: list[Path], check: bool) -> None:
    """Writes what differs and removes what nothing asks for; or only says so."""
    different, stale = render.differing(wanted, folders)
    if check and (different or stale):
        names = ", ".join(str(path.relative_to(root)) for path in [*stale, *different])
        raise ImagegraphError(f"differ from what makes them: {names}; run `imagegraph generate`")
    for path in stale:
        path.unlink()
    for path in different:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path])
        console.print(path.relative_to(root))
