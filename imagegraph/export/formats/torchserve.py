"""TorchServe: a model archive whose handler is imagegraph, asked over V2."""

from __future__ import annotations

import json
from string import Template

from imagegraph.component import Batched
from imagegraph.export.exported import Exported
from imagegraph.export.folder import Recipe
from imagegraph.export.java_server import LOG, START, archive

_HANDLER = '''"""Serves '$component' with TorchServe: each request goes to imagegraph as it came."""

from imagegraph.export import handler


class Handler:
    def initialize(self, context):
        self.handler = handler.Handler("$component", "$bundle", "$device")

    def handle(self, rows, context):
        return self.handler.answer(rows, context)
'''

# The worker gets bodies as they came: what it decoded would have to be encoded again.
_CONFIG = """# What start.sh says by variables of the environment stands before what is said here.
enable_envvars_config=true
disable_token_authorization=true
decode_input_request=false
max_request_size=67108864
max_response_size=1073741824
default_response_timeout=600
model_store=store
load_models=$component=$component.mar
models=$models
"""

_MORE = """
export TS_OPEN_INFERENCE_PROTOCOL=oip
export TS_MANAGEMENT_ADDRESS="http://127.0.0.1:$$((PORT + 1))"
export TS_METRICS_ADDRESS="http://127.0.0.1:$$((PORT + 2))"
export TS_GRPC_INFERENCE_PORT=$$((PORT + 3)) TS_GRPC_MANAGEMENT_PORT=$$((PORT + 4))
"""

_NOTES = """
`/v2/models/$component/infer` and `/predictions/$component` are answered alike: V2 in JSON, and V2's binary
extension, which TorchServe itself does not know. `/v2/health/ready` says whether it is there. It has no
metadata, and its gRPC is none that V2's clients know.

It needs Java 11 or newer. It listens at the four ports above `PORT`, too: management, metrics, gRPC twice.
The project was archived by its owners in August 2025.
"""

BATCH, DELAY_MS = 16, 5


def recipe(exported: Exported) -> Recipe:
    """Returns an archive and the configuration that loads it."""
    name = exported.component
    manifest = {
        "createdOn": "01/01/1980 00:00:00",  # TorchServe wants a time; equal archives want the same one
        "runtime": "python",
        "model": {"modelName": name, "handler": "handler.py", "modelVersion": "1.0"},
        "archiverVersion": "0.12.0",
    }
    batches = issubclass(exported.entry.kind, Batched)
    workers = {
        "marName": f"{name}.mar",
        "minWorkers": 1,
        "maxWorkers": 1,
        "batchSize": BATCH if batches else 1,
        "maxBatchDelay": DELAY_MS if batches else 1,
        "responseTimeout": 600,
    }
    models = json.dumps({name: {"1.0": workers}})
    program, options = "torchserve", "--ncs --ts-config config.properties"
    more = exported.fill(_MORE).strip()
    json_type = "-H 'Content-Type: application/json'"
    return Recipe(
        server="TorchServe",
        files={
            f"store/{name}.mar": archive({"handler.py": exported.fill(_HANDLER)}, manifest),
            "config.properties": Template(_CONFIG).substitute(component=name, models=models),
            "log4j2.xml": LOG,
        },
        requirements=["torchserve==0.12.0", "pyyaml==6.0.4"],
        start=Template(START).substitute(prefix="TS", more=more, program=program, options=options),
        ask=f"curl -s localhost:8080/v2/models/{name}/infer {json_type} -d @request.json",
        request=exported.v2(),
        notes=exported.fill(_NOTES),
    )
