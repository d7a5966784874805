"""What Envoy with Python in it takes by itself, Rust and C++: it answers with what comes, as gRPC.

Started by `pyvoy envoy_echo:app`.
"""


async def app(scope, receive, send):
    parts, more = [], True
    while more:
        event = await receive()
        parts.append(event.get("body", b""))
        more = event.get("more_body", False)
    headers = [(b"content-type", b"application/grpc")]
    await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})
    await send({"type": "http.response.body", "body": b"".join(parts)})
    await send({"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]})
