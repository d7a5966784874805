"""What grpc.aio takes by itself: answers every ModelInfer with its own bytes. Argument: a port."""

import asyncio
import sys

import grpc
from grpc import aio

PORT = int(sys.argv[1])


async def echo(request: bytes, context: object) -> bytes:
    return request


async def main() -> None:
    handlers = {"ModelInfer": grpc.unary_unary_rpc_method_handler(echo)}
    server = aio.server()
    service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers)
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"127.0.0.1:{PORT}")
    await server.start()
    await server.wait_for_termination()


asyncio.run(main())
