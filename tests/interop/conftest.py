"""Seldon Core's own binaries, where the environment names them, and our nodes behind them."""

import sys

from imagegraph.catalogue import ROOT
from tests.cluster.conftest import cluster
from tests.serve.conftest import start

__all__ = ["cluster", "start"]

# Where the components of tests are.
PATHS = [str(ROOT / "tests" / name) for name in ("unit", "serve", "interop")]
sys.path[:0] = PATHS
