"""A node that does nothing: answers what it was asked, parsed as little as HTTP demands. Argument: a port.

`/infer` answers the request with its inputs as outputs, `/aggregate` the first of the children's answers.
"""

import asyncio
import sys

import uvloop

CHILDREN = 3


class Node(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.parts, self.missing = [], None

    def data_received(self, data):
        self.parts.append(data)
        if self.missing is None:
            joined = b"".join(self.parts)
            self.parts = [joined]
            end = joined.find(b"\r\n\r\n")
            if end < 0:
                return
            self.head = joined[:end].lower()
            self.start = end + 4
            self.missing = self.start + self.header(b"content-length", 0) - len(joined)
        else:
            self.missing -= len(data)
        if self.missing == 0:
            body = b"".join(self.parts)[self.start :]
            self.parts, self.missing = [], None
            self.answer(body)

    def header(self, name, default=None):
        _, found, rest = self.head.partition(b"\r\n" + name + b":")
        return int(rest.split(b"\r\n")[0]) if found else default

    def answer(self, body):
        length = self.header(b"inference-header-content-length")
        text, binary = (body, b"") if length is None else (body[:length], body[length:])
        if b"/aggregate" in self.head.split(b"\r\n")[0]:
            # The children answered alike, so that their answers are of one length: "[A,A,A]".
            text = text[1 : 1 + (len(text) - 1 - CHILDREN) // CHILDREN]
            binary = binary[: len(binary) // CHILDREN]
        else:
            text = text.replace(b'"inputs"', b'"outputs"', 1)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
        head %= len(text) + len(binary)
        if length is not None:
            head += b"Inference-Header-Content-Length: %d\r\n" % len(text)
        self.transport.writelines([head + b"\r\n", text, binary])


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Node, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
