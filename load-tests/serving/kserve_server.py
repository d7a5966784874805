"""KServe's SDK server as its documentation has it. Arguments: identity, sleep or batch, and two ports."""

import asyncio
import base64
import sys
import time
from concurrent.futures import ThreadPoolExecutor

KIND, HTTP_PORT, GRPC_PORT = sys.argv[1:]
del sys.argv[1:]  # KServe reads them, too

import kserve  # noqa: E402
import numpy as np  # noqa: E402

SECONDS = {"identity": 0.0, "sleep": 0.02, "batch": 0.0165}[KIND]
ONE_DEVICE = ThreadPoolExecutor(1)  # the batch model's: pictures are computed one after another


class Identity(kserve.Model):
    async def predict(self, payload, headers=None, response_headers=None):
        if KIND == "sleep":
            await asyncio.to_thread(time.sleep, SECONDS)
        elif KIND == "batch":
            await asyncio.get_running_loop().run_in_executor(ONE_DEVICE, time.sleep, SECONDS)
        output = kserve.InferOutput("image", [1], "BYTES")
        if payload.from_grpc:
            picture = payload.inputs[0].as_numpy()[0]
            output.set_data_from_numpy(np.array([picture], object), binary_data=True)
        else:
            picture = base64.b64decode(payload.inputs[0].data[0])
            output.data = [base64.b64encode(picture).decode()]
        return kserve.InferResponse(payload.id or "", "m", [output])


if __name__ == "__main__":
    model = Identity("m")
    model.ready = True
    kserve.ModelServer(http_port=int(HTTP_PORT), grpc_port=int(GRPC_PORT)).start([model])
