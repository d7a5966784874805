"""What the processes of the crash test have imported before they start, so that starting them is fast."""

import os
import sys
from pathlib import Path

import filelock  # noqa: F401
import huggingface_hub.file_download
import huggingface_hub.hf_api


def pull(variables: dict[str, str], arguments: list[str], output: Path) -> None:
    """Runs `model-init pull` as a process of its own would."""
    os.environ |= variables
    sys.stdout = sys.stderr = output.open("w")
    huggingface_hub.constants.ENDPOINT = variables["HF_ENDPOINT"]
    from model_init.cli import main

    main(["pull", *arguments])
