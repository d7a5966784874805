"""Kills something of a release while requests arrive: by a command, or a pod that a selector finds."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal

from imagegraph.errors import ImagegraphError

ONE_POD = (
    "pod=$(kubectl get pods --selector {selector} --field-selector status.phase=Running --output name"
    " | head -n 1); "
    'test -n "$pod" || {{ echo "no pod runs that has the labels" {selector} >&2; exit 1; }}; '
    'kubectl delete "$pod" --now --wait=false'
)


def command(given: str, selector: str) -> str:
    """Returns the shell's command: the given one, or one that kills a pod of those with these labels."""
    return given or ONE_POD.format(selector=shlex.quote(selector))


async def run(line: str) -> None:
    """Runs a command.

    Raises:
        ImagegraphError: it failed, in its own words.
    """
    process = await asyncio.create_subprocess_shell(
        line, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:  # it hangs, with all that it has begun
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        words = said.decode("utf-8", "replace").strip()
        raise ImagegraphError(f"`{line}` ended with {process.returncode}: {words[-500:]}")
