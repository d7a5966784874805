"""Tiny components in this process, and graphs of them."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from imagegraph.calls.in_process import LocalCall
from imagegraph.engine import walk
from imagegraph.engine.context import Context
from imagegraph.message import Message
from imagegraph.spec.catalogue import entry_names
from imagegraph.spec.graph import Node
from tests import tiny


@contextlib.contextmanager
def local(folder: Path, *entries: str):
    with LocalCall(tiny.catalogue(folder), "pocket", entries, "cpu") as call:
        yield call


def run_local(
    folder: Path, root: Node, values: dict[str, Any], context: Context | None = None, entries: Any = None
) -> Message:
    with local(folder, *(entries or entry_names(root))) as call:
        return asyncio.run(walk.run(root, Message(values, id="7"), call, context))
