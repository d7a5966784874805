"""Triton: a model repository whose Python backend is imagegraph, asked over V2."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from imagegraph.component import Batched
from imagegraph.export.exported import Exported
from imagegraph.export.folder import Recipe
from imagegraph.export.graph import ExportedGraph, Step
from imagegraph.ports import Port

_MODEL = '''"""Serves '$component' in Triton's Python backend."""

import triton_python_backend_utils

from imagegraph.export.in_triton import Model


class TritonPythonModel:
    def initialize(self, arguments):
        self.model = Model(triton_python_backend_utils, "$component", "$bundle", "$device", {batched})

    def execute(self, requests):
        return self.model.answer(requests)
'''

# NVIDIA's images have the server on the PATH. Its wheel has it without what it needs around it.
_WHEEL = '''"""Prints variables that the server of the wheel nvidia-pytriton needs, and makes its backends."""

import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path

wheel = importlib.util.find_spec("pytriton")
if wheel is None:
    sys.exit("no tritonserver on the PATH, and this Python has no nvidia-pytriton; see README.md")
package = Path(wheel.submodule_search_locations[0])
server = package / "tritonserver"
backends = Path("backends").absolute()
stub = server / "python_backend_stubs" / "{}.{}".format(*sys.version_info) / "triton_python_backend_stub"
shutil.copytree(server / "backends" / "python", backends / "python", dirs_exist_ok=True)
shutil.copy(stub, backends / "python")
# Without its own libpython the stub would take the system's.
libraries = package.parent / "nvidia_pytriton.libs", sysconfig.get_config_var("LIBDIR")
print(f"PATH='{Path(sys.executable).parent}:{server / 'bin'}:{os.environ['PATH']}'")
print(f"LD_LIBRARY_PATH='{':'.join(map(str, libraries))}'")
print(f"BACKENDS='{backends}'")
print("export PATH LD_LIBRARY_PATH")
'''

_START = """
command -v tritonserver >/dev/null || { variables=$(python wheel.py); eval "$variables"; }
exec tritonserver --model-repository=models ${BACKENDS:+--backend-directory="$BACKENDS"} \\
  --http-address="$HOST" --http-port="$PORT" \\
  --grpc-address="$HOST" --grpc-port="${GRPC_PORT:-$((PORT + 1))}" --allow-metrics=false
"""

_NOTES = """
It answers V2 over HTTP, in JSON or binary, and over gRPC at the port above `PORT` (or at `GRPC_PORT`). A
picture is answered as it came: base64 to base64, raw to raw.

The Python backend of that wheel's Triton (2.51) fails with numpy 2. In an image of NVIDIA's, install
imagegraph alone.
"""

_BATCHES = """
Requests that wait are computed together, for which Triton wants a size of 1 before every tensor's shape.
"""

_ENSEMBLE = """
The graph is an ensemble: each of its components is a model in a process of its own, which can be asked by
itself, too. A value with the name of an input is answered as `NODE.NAME`, of the node that writes it, since
an ensemble has one tensor of a name. Nothing is computed together or kept, and a request cannot bring
what a node would write.
"""

BATCH = 16
REQUIREMENTS = ("nvidia-pytriton==0.7.0", "numpy==1.26.4")


def recipe(exported: Exported) -> Recipe:
    """Returns a repository of one model."""
    batched = issubclass(exported.entry.kind, Batched)
    return Recipe(
        server="Triton",
        files={"wheel.py": _WHEEL, **_model(exported, batched)},
        requirements=REQUIREMENTS,
        start=_START,
        ask=_ask(exported.component),
        request=_request(exported.v2()) if batched else exported.v2(),
        notes=_NOTES + _BATCHES * batched,
    )


def _request(body: bytes) -> bytes:
    """Returns a request with a batch of one."""
    document = orjson.loads(body)
    for tensor in document["inputs"]:
        tensor["shape"] = [1, *tensor["shape"]]
    return orjson.dumps(document)


def graph_recipe(exported: ExportedGraph) -> Recipe:
    """Returns a repository of an ensemble and of the models that it asks."""
    files = {"wheel.py": _WHEEL}
    for part in exported.parts:
        files |= _model(part, batched=False)
    name = exported.component
    lines = [
        f'name: "{name}"',
        'platform: "ensemble"',
        "max_batch_size: 0",
        *(_tensor("input", one, one.name, not one.required) for one in exported.interface.inputs.values()),
        *(_tensor("output", exported.interface.outputs[port], at) for port, at in exported.answers.items()),
        "ensemble_scheduling {",
        *map(_step, exported.steps),
        "}",
    ]
    # Triton wants a folder of every version, also where there is nothing to put into it.
    files |= {f"models/{name}/config.pbtxt": "\n".join([*lines, ""]), f"models/{name}/1/empty": "\n"}
    return Recipe(
        server="Triton",
        files=files,
        requirements=REQUIREMENTS,
        start=_START,
        ask=_ask(name),
        request=exported.v2(),
        notes=_NOTES + _ENSEMBLE,
    )


def _ask(name: str) -> str:
    return f"curl -s localhost:8080/v2/models/{name}/infer -d @request.json"


def _model(exported: Exported, batched: bool) -> dict[str, str]:
    """Returns the files of a component's model."""
    at = f"models/{exported.component}"
    ports = exported.interface
    config = [
        f'name: "{exported.component}"',
        'backend: "python"',
        f"max_batch_size: {BATCH if batched else 0}",
        *(_tensor("input", one, one.name, not one.required) for one in ports.inputs.values()),
        *(_tensor("output", one, one.name) for one in ports.outputs.values()),
        # One process has the weights, on whatever device imagegraph finds.
        "instance_group { kind: KIND_CPU count: 1 }",
        *(["dynamic_batching { }"] if batched else []),
    ]
    return {
        f"{at}/config.pbtxt": "\n".join([*config, ""]),
        f"{at}/1/model.py": exported.fill(_MODEL).replace("{batched}", str(batched)),
    }


def _tensor(kind: str, port: Port, name: str, optional: bool = False) -> str:
    datatype = "STRING" if port.datatype == "BYTES" else port.datatype
    dims = ", ".join(map(str, port.shape))
    return (
        f'{kind} {{ name: "{name}" data_type: TYPE_{datatype} dims: [{dims}]{" optional: true" * optional} }}'
    )


def _step(step: Step) -> str:
    def maps(kind: str, tensors: Mapping[str, str]) -> str:
        return " ".join(f'{kind} {{ key: "{port}" value: "{at}" }}' for port, at in tensors.items())

    wires = f"{maps('input_map', step.reads)} {maps('output_map', step.writes)}"
    return f'  step {{ model_name: "{step.node.entry}" model_version: -1 {wires} }}'
