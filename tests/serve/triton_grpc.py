"""Triton's gRPC client in a process of its own, as nobody's but Triton's code is there.

python triton_grpc.py PORT PICTURE INPUT_NAME      prints what came back as JSON
"""

import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

port, picture, name = sys.argv[1:]
data = Path(picture).read_bytes()
client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{port}")
tensor = tritonclient.grpc.InferInput(name, [1], "BYTES")
tensor.set_data_from_numpy(np.array([data], object))
facts = {
    "ready": client.is_server_ready() and client.is_model_ready("m"),
    "metadata": client.get_model_metadata("m", as_json=True),
}
try:
    answer = client.infer("m", [tensor], request_id="r2")
    facts |= {"id": answer.get_response().id, "same": answer.as_numpy("image")[0] == data}
except InferenceServerException as error:
    facts |= {"status": error.status(), "message": error.message()}
print(json.dumps(facts))
