"""Servers for the tests of the library; see tests/serve."""

from tests.serve.conftest import start

__all__ = ["start"]
