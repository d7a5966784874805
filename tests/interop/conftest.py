"""Seldon Core's own binaries, where the environment names them, and our nodes behind them."""

from tests.cluster.conftest import cluster
from tests.serve.conftest import start

__all__ = ["cluster", "start"]
