"""A machine that can die without a word: a network namespace with a server that answers no request.

Run by itself, it is the server: it prints a line once it listens, and `asked` whenever a request has come.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

ADDRESS, MACHINE = "198.51.100.1", "198.51.100.2"  # of a range for documentation: nobody has them
HTTP_PORT, GRPC_PORT = 8080, 8081


class Machine:
    """The machine; `die` makes it deaf and dumb, while its process goes on."""

    def __init__(self, name: str, server: "subprocess.Popen[str]") -> None:
        self._name = name
        self._server = server

    def wait_for(self, line: str) -> None:
        assert self._server.stdout
        assert self._server.stdout.readline().strip() == line

    def die(self) -> None:
        ip("-n", self._name, "addr", "flush", "dev", "inside")


def ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=30)
    return done.stdout


@contextlib.contextmanager
def machine() -> Iterator[Machine]:
    name = f"silent-{os.getpid()}"
    outside = f"silent{os.getpid() % 10**7}"
    ip("netns", "add", name)
    server = None
    try:
        ip("link", "add", outside, "type", "veth", "peer", "name", "inside", "netns", name)
        ip("addr", "add", f"{ADDRESS}/30", "dev", outside)
        ip("-n", name, "addr", "add", f"{MACHINE}/30", "dev", "inside")
        ip("-n", name, "link", "set", "inside", "up")
        ip("link", "set", outside, "up")
        # Nobody shall notice by ARP that it is gone: a router between two machines would not tell either.
        lladdr = ip("-n", name, "-o", "link", "show", "inside").split("link/ether ")[1].split()[0]
        ip("neigh", "replace", MACHINE, "lladdr", lladdr, "dev", outside, "nud", "permanent")
        command = ["ip", "netns", "exec", name, sys.executable, __file__]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        made = Machine(name, server)
        made.wait_for("listens")
        yield made
    finally:
        if server:
            server.kill()
            server.wait()
        subprocess.run(["ip", "link", "delete", outside], check=False, capture_output=True, timeout=30)
        ip("netns", "delete", name)


async def serve(host: str, http_port: int, grpc_port: int) -> None:
    import grpc
    from grpc import aio

    async def never(*_: object) -> None:
        print("asked", flush=True)
        await asyncio.sleep(1000)

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: object) -> object:
            return grpc.unary_unary_rpc_method_handler(never)

    server = aio.server()
    server.add_generic_rpc_handlers((Handler(),))
    server.add_insecure_port(f"{host}:{grpc_port}")
    await server.start()
    async with await asyncio.start_server(never, host, http_port):
        print("listens", flush=True)
        await server.wait_for_termination()


if __name__ == "__main__":
    host, *ports = sys.argv[1:] or (MACHINE, HTTP_PORT, GRPC_PORT)
    asyncio.run(serve(str(host), *map(int, ports)))
