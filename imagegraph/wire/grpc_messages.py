"""KServe's SDK with its messages of the Open Inference Protocol, imported from here only.

KServe parses the command line of whoever imports it; here it finds none.
"""

from __future__ import annotations

import sys
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_arguments, sys.argv = sys.argv, sys.argv[:1]
import kserve  # noqa: E402
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb  # noqa: E402
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as stubs  # noqa: E402

sys.argv = _arguments

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name


def _stream_response() -> Any:
    """Makes the class of ModelStreamInferResponse, which KServe's protocol file leaves out.

    Source: Triton's grpc_service.proto; its clients' `start_stream` reads these messages.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name="imagegraph/stream.proto", package="imagegraph", syntax="proto3"
    )
    file.dependency.append(pb.DESCRIPTOR.name)
    message = file.message_type.add(name="ModelStreamInferResponse")
    field = descriptor_pb2.FieldDescriptorProto
    optional = field.LABEL_OPTIONAL
    message.field.add(name="error_message", number=1, type=field.TYPE_STRING, label=optional)
    message.field.add(
        name="infer_response",
        number=2,
        type=field.TYPE_MESSAGE,
        type_name=f".{pb.ModelInferResponse.DESCRIPTOR.full_name}",
        label=optional,
    )
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("imagegraph.ModelStreamInferResponse"))


StreamResponse = _stream_response()

__all__ = ["SERVICE", "StreamResponse", "kserve", "pb", "stubs"]
