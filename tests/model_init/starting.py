"""Starts `model-init pull` again and again in little time: a process that has imported it, and forks.

It reads a line for each thing to do: `start` answers with the process id, `poll` with the exit code of
that process, or `None` while it runs. What the process writes goes to the file `output`.
"""

import os
import sys

import filelock  # noqa: F401
import huggingface_hub.file_download
import huggingface_hub.hf_api  # noqa: F401

from model_init.cli import main


def start(arguments: list[str]) -> int:
    if child := os.fork():
        return child
    output = os.open("output", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    for stream in (0, 1, 2):
        os.dup2(output, stream)
    main(arguments)
    raise AssertionError("main ends the process")


if __name__ == "__main__":
    running = 0
    for line in sys.stdin:
        if line.strip() == "start":
            running = start(sys.argv[1:])
            print(running, flush=True)
        else:
            found, status = os.waitpid(running, os.WNOHANG)
            print(os.waitstatus_to_exitcode(status) if found else None, flush=True)
