"""What the processes of the crash test have imported before they start, so that starting them is fast."""

import os
import sys
from pathlib import Path

import filelock  # noqa: F401
import huggingface_hub.file_download
import huggingface_hub.hf_api  # noqa: F401
from huggingface_hub import constants


def pull(variables: dict[str, str], arguments: list[str], output: Path) -> None:
    """Runs `model-init pull` as a process of its own would."""
    os.environ |= variables
    sys.stdout = sys.stderr = output.open("w")
    # The client reads its variables when it is imported.
    constants.ENDPOINT = variables["HF_ENDPOINT"]
    constants.HUGGINGFACE_CO_URL_TEMPLATE = constants.ENDPOINT + "/{repo_id}/resolve/{revision}/{filename}"
    from model_init.cli import main

    main(["pull", *arguments])
