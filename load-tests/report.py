"""Runs the benchmarks and writes their tables, with the machine they ran on, to docs/performance.md."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPORT = HERE.parent / "docs" / "performance.md"
BENCHMARKS = (
    ("Pictures from all priors: one batched loop against pipelines", "bench_generate.py"),
    ("Engine: overhead and critical path", "bench_engine.py"),
    ("Weights: second run, verification, download", "bench_model_init.py"),
)


def main() -> None:
    """Runs all and writes the page."""
    parts = [
        "# Performance",
        "Written by `make bench`; ratios were measured in one alternating run each.",
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}.",
    ]
    for title, script in BENCHMARKS:
        run = subprocess.run(
            [sys.executable, HERE / script],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        )
        parts += [f"## {title}", f"`python load-tests/{script}`", run.stdout.strip()]
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text("\n\n".join(parts) + "\n")
    print(f"wrote {REPORT}")


if __name__ == "__main__":
    main()
