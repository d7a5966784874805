"""Processes that an interrupt ends, however the tests themselves were started."""

import sys

# What runs the tests in the background may have interrupts ignored, and so would its children. Not by
# `preexec_fn`: that forks this process with all its threads.
PYTHON = ("env", "--default-signal=INT", sys.executable)
