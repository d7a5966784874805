"""FastAPI on uvicorn, with no more checks than it makes by itself. Arguments: identity or sleep, a port."""

import base64
import sys
import time

import orjson
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool

KIND, PORT = sys.argv[1:]
SECONDS = {"identity": 0.0, "sleep": 0.02}[KIND]
app = FastAPI()


@app.post("/v2/models/m/infer")
async def infer(request: Request) -> Response:
    body = orjson.loads(await request.body())
    picture = base64.b64decode(body["inputs"][0]["data"][0])
    if SECONDS:
        await run_in_threadpool(time.sleep, SECONDS)
    text = base64.b64encode(picture).decode()
    output = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}
    return Response(orjson.dumps({"outputs": [output]}), media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(PORT), log_level="warning", access_log=False)
