"""gRPC's own protocols beside ours: health, and reflection for tools that know no protocol file."""

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from imagegraph.wire.grpc_messages import SERVICE
from tests.serve.conftest import Server

Ask = health_pb2.HealthCheckRequest
Answer = health_pb2.HealthCheckResponse


def test_health_follows_readiness(start: Callable[..., Server], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    server = start("--component", "gated", wait=False, GATE=str(gate))
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        grpc.channel_ready_future(channel).result(timeout=120)
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(Ask(service=SERVICE), timeout=120)
        assert next(watch).status == Answer.NOT_SERVING
        assert health.Check(Ask(), timeout=30).status == Answer.NOT_SERVING
        gate.touch()
        assert next(watch).status == Answer.SERVING
        for name in ("", SERVICE):
            assert health.Check(Ask(service=name), timeout=30).status == Answer.SERVING


def test_the_health_of_an_unknown_service_is_not_known(double: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{double.grpc_port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            health.Check(Ask(service="x"), timeout=30)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert next(health.Watch(Ask(service="x"), timeout=30)).status == Answer.SERVICE_UNKNOWN


def test_tools_can_list_services_and_read_their_messages(double: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{double.grpc_port}") as channel:
        known = ProtoReflectionDescriptorDatabase(channel)
        assert {SERVICE, "grpc.health.v1.Health"} <= set(known.get_services())
        methods = known.FindFileContainingSymbol(SERVICE).service[0].method
        assert "ModelInfer" in {method.name for method in methods}
