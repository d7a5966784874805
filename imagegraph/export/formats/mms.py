"""multi-model-server: a model archive whose handler is imagegraph, asked with bodies of V2."""

from __future__ import annotations

from string import Template

from imagegraph.export.exported import Exported
from imagegraph.export.folder import Recipe
from imagegraph.export.java_server import LOG, START, archive

_HANDLER = '''"""Serves '$component' with multi-model-server: each request goes to imagegraph as it came."""

from imagegraph.export.handler import Handler

handler = Handler("$component", "$bundle", "$device")


def handle(rows, context):
    return handler.answer(rows, context) if rows else None  # at the start it asks nothing
'''

_CONFIG = """# What start.sh says by variables of the environment stands before what is said here.
enable_envvars_config=true
decode_input_request=false
max_request_size=67108864
max_response_size=1073741824
default_workers_per_model=1
default_response_timeout=600
model_store=store
load_models=$component=$component.mar
"""

_NOTES = """
`/predictions/$component` takes V2 in JSON and V2's binary extension; `/ping` says whether the server is
there. It has no V2 of its own: no metadata, and no gRPC.

It needs Java. It listens at the port above `PORT`, too, for its management, and knows none above 32766. The
last release is of June 2023.
"""


def recipe(exported: Exported) -> Recipe:
    """Returns an archive and the configuration that loads it."""
    name = exported.component
    manifest = {
        "runtime": "python",
        "model": {"modelName": name, "handler": "handler:handle"},
        "modelServerVersion": "1.0",
        "implementationVersion": "1.0",
        "specificationVersion": "1.0",
    }
    program = "multi-model-server"
    more = 'export MMS_MANAGEMENT_ADDRESS="http://127.0.0.1:$((PORT + 1))"'
    options = "--mms-config config.properties"
    return Recipe(
        server="multi-model-server",
        files={
            f"store/{name}.mar": archive({"handler.py": exported.fill(_HANDLER)}, manifest),
            "config.properties": exported.fill(_CONFIG),
            "log4j2.xml": LOG,
        },
        requirements=["multi-model-server==1.1.11"],
        start=Template(START).substitute(prefix="MMS", more=more, program=program, options=options),
        ask=f"curl -s localhost:8080/predictions/{name} -H 'Content-Type: application/json' -d @request.json",
        request=exported.v2(),
        notes=exported.fill(_NOTES),
    )
