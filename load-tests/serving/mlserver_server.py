"""MLServer with one runtime in its own process. Arguments: identity or sleep, and three free ports from."""

import asyncio
import base64
import json
import os
import sys
import time
from pathlib import Path

from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput

SECONDS = {"identity": 0.0, "sleep": 0.02}[os.environ.get("KIND", "identity")]


class Identity(MLModel):
    async def predict(self, payload):
        picture = base64.b64decode(payload.inputs[0].data[0])
        if SECONDS:
            await asyncio.to_thread(time.sleep, SECONDS)
        text = base64.b64encode(picture).decode()
        output = ResponseOutput(name="image", shape=[1], datatype="BYTES", data=[text])
        return InferenceResponse(model_name=self.name, outputs=[output])


if __name__ == "__main__":
    # MLServer reads its settings from a folder: the one that this script is started in.
    kind, port = sys.argv[1], int(sys.argv[2])
    ports = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    settings = {"host": "127.0.0.1", "parallel_workers": 0, **ports}
    Path("settings.json").write_text(json.dumps(settings))
    model = {"name": "m", "implementation": "mlserver_server.Identity"}
    Path("model-settings.json").write_text(json.dumps(model))
    environment = {**os.environ, "KIND": kind, "PYTHONPATH": str(Path(__file__).parent)}
    program = Path(sys.executable).with_name("mlserver")
    os.execve(program, [str(program), "start", "."], environment)
