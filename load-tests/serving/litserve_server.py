"""LitServe with one worker. Arguments: identity or sleep, and a port."""

import base64
import sys
import time

import litserve

KIND, PORT = sys.argv[1:]
SECONDS = {"identity": 0.0, "sleep": 0.02}[KIND]


class Identity(litserve.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        return base64.b64decode(request["inputs"][0]["data"][0])

    def predict(self, picture):
        if SECONDS:
            time.sleep(SECONDS)
        return picture

    def encode_response(self, picture):
        text = base64.b64encode(picture).decode()
        return {"outputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}]}


if __name__ == "__main__":
    server = litserve.LitServer(Identity(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(PORT), generate_client_file=False, log_level="warning")
