"""Steps of progress on their way from a pod to the engine: V2 responses that come before the answer.

An engine whose request is watched asks for them by the header X-Progress. Over gRPC they are responses
of a stream, over HTTP frames of one body: the lengths of a response's JSON part and of all of it, and
the response, with binary tensors. A node that has no steps to tell of answers as it always does.
"""

from __future__ import annotations

import struct
from dataclasses import replace

from imagegraph.engine.context import Context, Event
from imagegraph.image import Image
from imagegraph.message import Message
from imagegraph.spec.graph import Node

FRAMES = "application/vnd.imagegraph.steps"
LENGTHS = struct.Struct("<QQ")
EVENT = "event"  # the parameter that only responses before the answer have
PREVIEW = "preview"


def step(done: int, total: int, preview: bytes | None) -> Message:
    """Makes the response that stands for a step, with the encoded picture so far if there is one."""
    values = {} if preview is None else {PREVIEW: preview}
    return Message(values, parameters={EVENT: "progress", "done": done, "total": total})


def failure(status: int, words: str) -> Message:
    """Makes the response that ends a body of frames in place of an answer."""
    return Message({}, parameters={EVENT: "error", "status": status, "error": words})


def answer(message: Message) -> Message:
    """Returns an answer that nobody can take for a step, whatever parameters its request had."""
    parameters = {name: value for name, value in message.parameters.items() if name != EVENT}
    return replace(message, parameters=parameters)


def frame(body: bytes, head: int | None) -> bytes:
    """Makes a frame of a response as `wire.encode` writes it with binary tensors."""
    return LENGTHS.pack(head or 0, len(body)) + body


def told(message: Message, node: Node, context: Context) -> bool:
    """Tells whoever watches of a step; returns False if the message is the answer."""
    facts = message.parameters
    if EVENT not in facts:
        return False
    if facts[EVENT] == "progress":
        tensor = message.values.get(PREVIEW)
        preview = None if tensor is None else lambda: Image(tensor.data[0])
        event = Event(node, "infer", "progress", done=facts["done"], total=facts["total"], preview=preview)
        context.tell(event)
    return True
