"""BentoML with one worker. Started as `bentoml serve bentoml_server:Identity`; KIND says what it does."""

import base64
import os
import time

import bentoml

SECONDS = {"identity": 0.0, "sleep": 0.02}[os.environ["KIND"]]


@bentoml.service(workers=1)
class Identity:
    @bentoml.api(route="/infer")
    def infer(self, inputs: list[dict]) -> dict:
        picture = base64.b64decode(inputs[0]["data"][0])
        if SECONDS:
            time.sleep(SECONDS)
        text = base64.b64encode(picture).decode()
        return {"outputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}]}
