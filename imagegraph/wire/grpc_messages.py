"""Messages of the Open Inference Protocol, as Triton's client package has them generated.

KServe's package has the same messages, but importing it brings its whole SDK. Both register the same names:
a process imports one of the two.
"""

from __future__ import annotations

from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as stubs

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
StreamResponse = pb.ModelStreamInferResponse

__all__ = ["SERVICE", "StreamResponse", "pb", "stubs"]
