"""KServe's SDK with its messages of the Open Inference Protocol, imported from here only.

KServe parses the command line of whoever imports it; here it finds none.
"""

from __future__ import annotations

import sys

_arguments, sys.argv = sys.argv, sys.argv[:1]
import kserve  # noqa: E402
import kserve.model_server  # noqa: E402
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb  # noqa: E402
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as stubs  # noqa: E402
from kserve.protocol.rest.server import RESTServer  # noqa: E402

sys.argv = _arguments

__all__ = ["RESTServer", "kserve", "pb", "stubs"]
