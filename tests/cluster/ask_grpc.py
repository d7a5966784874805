"""Triton's gRPC client in a process of its own: its messages and KServe's share their names.

`python -m tests.cluster.ask_grpc HOST:PORT MODEL PICTURE NAME=NUMBER …` prints the answer's values as JSON.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc


def main() -> None:
    """Asks once."""
    address, model, picture, *numbers = sys.argv[1:]
    tensor = tritonclient.grpc.InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([Path(picture).read_bytes()], object))
    tensors = [tensor]
    for name, _, number in (item.partition("=") for item in numbers):
        tensors.append(tritonclient.grpc.InferInput(name, [1], "INT64"))
        tensors[-1].set_data_from_numpy(np.array([int(number)]))
    with tritonclient.grpc.InferenceServerClient(address) as client:
        answer = client.infer(model, tensors, request_id="grpc", client_timeout=300)
    values = {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}
    print(json.dumps({name: value.ravel().tolist() for name, value in values.items()}, default=bytes.hex))


if __name__ == "__main__":
    main()
