"""Runs the benchmarks and writes their tables to docs/performance.md.

python load-tests/report.py                      all of them
python load-tests/report.py bench_serving.py     one, the others' tables stay
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPORT = HERE.parent / "docs" / "performance.md"
BENCHMARKS = {
    "bench_start.py": "Start: until a picture is there, until a process is ready",
    "bench_generate.py": "Pictures from all priors: one batched loop against pipelines",
    "bench_combined.py": "Pictures steered by several priors: how strongly by each",
    "bench_engine.py": "Engine: overhead and critical path",
    "bench_serving.py": "Serving: beside other servers, batches, and the engine in front of pods",
    "bench_model_init.py": "Weights: second run, verification, download",
}
HEAD = """# Performance

Written by `make bench`, which needs nghttp2's h2load (in Debian's nghttp2-client); ratios were measured in
one alternating run each."""


def section(script: str) -> str:
    """Runs a benchmark; returns its part of the page, with the machine that it ran on."""
    run = subprocess.run([sys.executable, HERE / script], capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{script} failed:\n{run.stderr[-3000:]}")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return f"`python load-tests/{script}`, {date.today()}, {machine}\n\n{run.stdout.strip()}"


def main() -> None:
    """Runs what is asked for and writes the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help=f"some of {', '.join(BENCHMARKS)}")
    scripts = parser.parse_args().scripts or list(BENCHMARKS)
    if unknown := set(scripts) - set(BENCHMARKS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    page = REPORT.read_text() if REPORT.exists() else ""
    known = dict(part.split("\n\n", 1) for part in page.split("\n## ")[1:])
    for script in scripts:
        known[BENCHMARKS[script]] = section(script)
    parts = [f"## {title}\n\n{known[title].strip()}" for title in BENCHMARKS.values() if title in known]
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text("\n\n".join([HEAD, *parts]) + "\n")
    print(f"wrote {REPORT}")


if __name__ == "__main__":
    main()
