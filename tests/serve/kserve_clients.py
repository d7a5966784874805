"""KServe's clients in a process of their own: their messages and ours have the same names.

python kserve_clients.py HTTP_PORT GRPC_PORT      prints what came back as JSON
"""

import asyncio
import json
import sys
import time
from typing import Any

import grpc

HTTP_PORT, GRPC_PORT = sys.argv[1:]
del sys.argv[1:]  # which KServe would parse
import kserve  # noqa: E402


def seconds(value: float) -> kserve.InferRequest:
    tensor = kserve.InferInput("seconds", [1], "FP64", data=[value])
    return kserve.InferRequest(model_name="m", infer_inputs=[tensor])


async def over_rest() -> dict[str, Any]:
    base = f"http://127.0.0.1:{HTTP_PORT}"
    live = await kserve.InferenceRESTClient().is_server_live(base)
    client = kserve.InferenceRESTClient(kserve.inference_client.RESTConfig(protocol="v2"))
    facts = {
        "live": live and await client.is_server_live(base),
        "ready": await client.is_server_ready(base) and await client.is_model_ready(base, "m"),
        "data": (await client.infer(base, seconds(0.01), model_name="m")).outputs[0].data,
    }
    await client.close()
    return facts


async def over_grpc(client: kserve.InferenceGRPCClient) -> dict[str, Any]:
    facts = {
        "live": await client.is_server_live(),
        "ready": await client.is_server_ready() and await client.is_model_ready("m"),
        "data": (await client.infer(seconds(0.01))).outputs[0].as_numpy().tolist(),
    }
    try:
        await client.infer(seconds(20.0), timeout=0.3)
    except grpc.aio.AioRpcError as error:
        facts["late"] = error.code().name
    return facts


async def many(client: kserve.InferenceGRPCClient) -> list[str]:
    """Returns the codes of those of eight calls at once that are refused."""
    answers = await asyncio.gather(*(client.infer(seconds(0.5)) for _ in range(8)), return_exceptions=True)
    return [one.code().name for one in answers if isinstance(one, grpc.aio.AioRpcError)]


async def after_a_cancelled_one(client: kserve.InferenceGRPCClient) -> float:
    """Returns how many seconds a short call takes after a long one that was cancelled."""
    task = asyncio.create_task(client.infer(seconds(30.0)))
    await asyncio.sleep(0.5)
    task.cancel()
    start = time.monotonic()
    await client.infer(seconds(0.01))
    return time.monotonic() - start


async def main() -> dict[str, Any]:
    client = kserve.InferenceGRPCClient(f"127.0.0.1:{GRPC_PORT}")
    facts = {
        "rest": await over_rest(),
        "grpc": await over_grpc(client),
        "refused": await many(client),
        "next_s": await after_a_cancelled_one(client),
    }
    await client.close()
    return facts


print(json.dumps(asyncio.run(main())))
