"""Runs the benchmarks and writes their tables to docs/performance.md, and those of frameworks to their page.

python load-tests/report.py                      all of docs/performance.md
python load-tests/report.py bench_serving.py     one, the others' tables stay
python load-tests/report.py bench_frameworks.py -- --seconds 1     docs/frameworks.md, with options of its own
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPORT = HERE.parent / "docs" / "performance.md"
FRAMEWORKS, FRAMEWORKS_PAGE = "bench_frameworks.py", HERE.parent / "docs" / "frameworks.md"
MEASURED = "## Measured\n"  # the last part of that page
BENCHMARKS = {
    "bench_start.py": "Start: until a picture is there, until a process is ready",
    "bench_generate.py": "Pictures from all priors: one batched loop against pipelines",
    "bench_batch.py": "Batches: against a loop of diffusers, and what a batch adds to its own loop",
    "bench_combined.py": "Pictures steered by several priors: how strongly by each",
    "bench_engine.py": "Engine: overhead and critical path",
    "bench_serving.py": "Serving: beside other servers, batches, and the engine in front of pods",
    "bench_studio.py": "Studio: the gallery, events, what it adds, two hundred clients at once",
    "bench_model_init.py": "Weights: second run, verification, download",
    "soak.py": "Soak: memory, descriptors, threads and disk of every process at work",
}
HEAD = """# Performance

Written by `make bench`, which needs nghttp2's h2load (in Debian's nghttp2-client); ratios were measured in
one alternating run each."""


def section(script: str, more: Sequence[str] = (), busy: bool = False) -> str:
    """Runs a benchmark; returns its part of the page, with the machine that it ran on."""
    run = subprocess.run([sys.executable, HERE / script, *more], capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{script} failed:\n{run.stderr[-3000:]}")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    machine += ", busy with other work meanwhile" * busy
    command = " ".join(["python", f"load-tests/{script}", *more])
    return f"`{command}`, {date.today()}, {machine}\n\n{run.stdout.strip()}"


def write_frameworks(more: Sequence[str], busy: bool) -> None:
    """Measures the frameworks and writes the tables to the end of their page; what is before stays."""
    page = FRAMEWORKS_PAGE.read_text().partition(MEASURED)[0]
    FRAMEWORKS_PAGE.write_text(f"{page}{MEASURED}\n{section(FRAMEWORKS, more, busy)}\n")
    print(f"wrote {FRAMEWORKS_PAGE}")


def main() -> None:
    """Runs what is asked for and writes the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known_scripts = ", ".join([*BENCHMARKS, FRAMEWORKS])
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help=f"some of {known_scripts}")
    parser.add_argument("--busy", action="store_true", help="say that the machine had other work")
    options = parser.parse_args()
    if options.scripts[:1] == [FRAMEWORKS]:
        write_frameworks(options.scripts[1:], options.busy)
        return
    # Whoever measures speed need not wait for the soak, which `make soak` runs.
    scripts = options.scripts or [name for name in BENCHMARKS if name != "soak.py"]
    if unknown := set(scripts) - set(BENCHMARKS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    page = REPORT.read_text() if REPORT.exists() else ""
    known = dict(part.split("\n\n", 1) for part in page.split("\n## ")[1:])
    for script in scripts:
        known[BENCHMARKS[script]] = section(script, busy=options.busy)
    parts = [f"## {title}\n\n{known[title].strip()}" for title in BENCHMARKS.values() if title in known]
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text("\n\n".join([HEAD, *parts]) + "\n")
    print(f"wrote {REPORT}")


if __name__ == "__main__":
    main()
