"""Servers of exported folders, the environments that they run in, and what all of them are asked."""

import contextlib
import json
import os
import signal
import subprocess
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import environments
import httpx
import pybase64
import pytest
from free_ports import free_ports

from imagegraph.spec.catalogue import ROOT
from tests.cli.commands import run

COMPONENTS = ("depth", "caption", "generate")  # a picture; a text of a picture and a number; lists
START_S = 900  # some import for a minute where others are at work


def programs(format: str) -> Path:
    """Returns the folder of the programs of a format's environment; leaves the test out without it."""
    python = environments.of_framework(format, make="FRAMEWORKS" in os.environ)
    if python is None:
        warnings.warn(f"not tested: {format}, which `make frameworks` does", stacklevel=2)
        pytest.skip(f"`make frameworks` makes the environment of {format}")
    return python.parent


def tensor(name: str, *values: Any) -> dict[str, Any]:
    """Returns a tensor of V2 in JSON."""
    datatype = {int: "INT64", float: "FP64", str: "BYTES"}[type(values[0])]
    return {"name": name, "datatype": datatype, "shape": [len(values)], "data": list(values)}


def request(component: str) -> dict[str, Any]:
    """Returns a V2 request for one of the COMPONENTS."""
    photo = pybase64.b64encode_as_string((ROOT / "docs" / "photo.jpg").read_bytes())
    inputs = {
        "depth": [tensor("image", photo)],
        "caption": [tensor("image", photo), tensor("caption_tokens", 5)],
        "generate": [
            tensor("prompt", "a red cone"),
            tensor("variants", 2),
            tensor("seeds", 7, 9),
            tensor("steps", 2),
            tensor("guidance", 3.5),
        ],
    }
    return {"id": "one", "inputs": inputs[component]}


def python(format: str, folder: Path, code: str, given: Any) -> Any:
    """Runs code in a format's environment and a folder; returns what it makes `answer`, from `given`."""
    whole = f"import json, sys; given = json.load(sys.stdin)\n{code}\nprint('\\n', json.dumps(answer))"
    run = subprocess.run(
        [programs(format) / "python", "-c", whole],
        cwd=folder,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    return json.loads(run.stdout.splitlines()[-1])


class Exported:
    """An exported folder and its server, which is asked at `http`."""

    def __init__(
        self,
        format: str,
        component: str,
        folder: Path,
        command: Sequence[str | Path],
        search: str,
        **environment: str,
    ) -> None:
        """Exports the component and starts the command in the folder.

        Args:
            search: where programs are looked for, before those of the system.
        """
        run("export", component, "--format", format, "--device", "cpu", "--out", str(folder))
        self.component, self.folder = component, folder
        self.port = free_ports(5)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=START_S)
        self._log = folder.with_name("log")
        known = {**os.environ, "PORT": str(self.port), "HOST": "127.0.0.1", **environment}
        known["PATH"] = f"{search}:{os.environ['PATH']}"
        known.pop("IMAGEGRAPH_CATALOGUE", None)
        # Frameworks start processes of their own, and some leave them behind: all are of one group.
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [str(one) for one in command],
                cwd=folder,
                env=known,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text(errors="replace")[-8000:]

    def wait(self, path: str) -> None:
        """Waits until a path is answered with 200."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            assert self._process.poll() is None, self.log
            try:
                if self.http.get(path).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # nobody listens yet
            time.sleep(0.1)
        raise AssertionError(self.log)

    def post(self, path: str, document: Any) -> httpx.Response:
        """Sends JSON."""
        return self.http.post(path, json=document)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in the folder."""
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=START_S, check=False
        )

    def end(self) -> None:
        """Ends all of its processes."""
        self.http.close()
        group = self._process.pid
        os.killpg(group, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self._process.wait(10)
