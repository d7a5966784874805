"""Triton's gRPC client, streaming, in a process of its own, as nobody's but Triton's code is there.

python triton_stream.py PORT      prints what came back for two requests as JSON
"""

import json
import queue
import sys

import numpy as np
import tritonclient.grpc

client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{sys.argv[1]}")
answers: queue.Queue = queue.Queue()
client.start_stream(lambda result, error: answers.put((result, error)))


def ask(name, datatype, value, request_id):
    """One request of the stream: all that comes back for it."""
    tensor = tritonclient.grpc.InferInput(name, [1], datatype)
    tensor.set_data_from_numpy(value)
    client.async_stream_infer("m", [tensor], request_id=request_id)
    while True:
        result, error = answers.get(timeout=60)
        if error:
            yield {"error": error.message()}
            return
        response = result.get_response()
        event = response.parameters["event"].string_param
        if event:
            assert response.id == request_id
            yield {"event": event, **json.loads(response.parameters["facts"].string_param)}
            continue
        png = result.as_numpy("image")[0].startswith(b"\x89PNG")
        yield {"id": response.id, "outputs": [one.name for one in response.outputs], "png": png}
        return


right = list(ask("grey", "INT64", np.array([3]), "one"))
wrong = list(ask("grey", "BYTES", np.array([b"dark"], object), "two"))
client.stop_stream()
print(json.dumps([right, wrong]))
