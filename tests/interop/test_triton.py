"""What `export` writes is loaded and served by Triton itself, and answers as the component's own networks do.

TRITON_PYTHON is the interpreter of an environment with nvidia-pytriton 0.7.0, numpy 1.26.4 and onnxruntime.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http

from components.onnx_model import OnnxModel
from imagegraph.export.folder import write_files
from imagegraph.export.formats import triton_onnx as triton
from imagegraph.spec.catalogue import Catalogue
from tests.cluster.shell import free_ports

# What the package would import to say it itself is more than the server needs.
PATHS = """
import importlib.util, sys, sysconfig
print(importlib.util.find_spec("pytriton").submodule_search_locations[0])
print(sysconfig.get_config_var("LIBDIR"))
print("%d.%d" % sys.version_info[:2])
"""
START_S = 120


@pytest.fixture(scope="module")
def weights() -> Path:
    return Catalogue.read().entry("restyle").weights("photo", "cpu")["model"]


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, weights: Path
) -> Iterator[tritonclient.http.InferenceServerClient]:
    python = os.environ.get("TRITON_PYTHON")
    if not python:
        pytest.skip("TRITON_PYTHON is unset: it gives the interpreter of an environment with nvidia-pytriton")
    package, libraries, version = subprocess.check_output([python, "-c", PATHS], text=True).split()
    folder = tmp_path_factory.mktemp("triton")
    backends, repository = folder / "backends", folder / "models"
    theirs = Path(package, "tritonserver")
    shutil.copytree(theirs / "backends" / "python", backends / "python")
    shutil.copy(theirs / "python_backend_stubs" / version / "triton_python_backend_stub", backends / "python")
    (backends / "onnxruntime").mkdir()
    shutil.copy(Path(__file__).with_name("onnx_backend.py"), backends / "onnxruntime" / "model.py")
    write_files(repository, triton.repository(triton.models("restyle", {"model": weights})))
    http, grpc = free_ports(2)
    environment = {
        **os.environ,
        "PATH": f"{Path(python).parent}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": f"{Path(package).parent / 'nvidia_pytriton.libs'}:{libraries}",
        "PYTHONPATH": str(Path(package).parent),
    }
    command = [
        theirs / "bin" / "tritonserver",
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        "--http-address=127.0.0.1",
        f"--http-port={http}",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={grpc}",
        "--allow-metrics=false",
    ]
    log = folder / "log"
    with (
        log.open("w") as said,
        subprocess.Popen(command, env=environment, stdout=said, stderr=said) as process,
    ):
        client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{http}", network_timeout=60)
        try:
            _wait(client, process, log)
            yield client
        finally:
            client.close()
            process.terminate()


def _wait(client: tritonclient.http.InferenceServerClient, process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            if client.is_server_ready():
                return
        except OSError:
            pass  # nobody listens yet
        time.sleep(0.2)
    raise AssertionError(log.read_text()[-3000:])


def ask(
    client: tritonclient.http.InferenceServerClient, model: str, **values: np.ndarray
) -> list[np.ndarray]:
    inputs = []
    for name, value in values.items():
        inputs.append(tritonclient.http.InferInput(name, value.shape, "FP32"))
        inputs[-1].set_data_from_numpy(value)
    answer = client.infer(model, inputs)
    names = [one["name"] for one in client.get_model_metadata(model)["outputs"]]
    return [answer.as_numpy(name) for name in names]


def test_triton_serves_all_networks_and_paints_as_the_component_does(
    server: tritonclient.http.InferenceServerClient, weights: Path
) -> None:
    random = np.random.default_rng(0)
    look = random.random((1, 256, 256, 3), np.float32)
    (vector,) = ask(server, "restyle-style", style_image=look)
    (own,) = OnnxModel(weights, file="style.onnx")(look)
    assert np.allclose(vector, own, atol=1e-3)
    photo = random.random((1, 64, 100, 3), np.float32)
    styles = np.concatenate([own, -own])
    paintings, measured = ask(server, "restyle-transfer", pictures=photo, styles=styles)
    expected = OnnxModel(weights, file="transfer.onnx")(photo, styles)
    assert paintings.shape == (2, 64, 100, 3)
    assert np.allclose(paintings, expected[0], atol=1e-3)
    (again,) = ask(server, "restyle-paint", pictures=photo, styles=styles, measured=measured)
    assert np.allclose(again, paintings, atol=1e-3)


def test_triton_refuses_what_the_configuration_does_not_allow(
    server: tritonclient.http.InferenceServerClient,
) -> None:
    with pytest.raises(tritonclient.utils.InferenceServerException, match="expected"):
        ask(server, "restyle-style", style_image=np.zeros((1, 64, 64, 3), np.float32))
