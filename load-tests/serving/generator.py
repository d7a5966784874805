"""Sends one request over and over, several at once, and says how long answers took.

nghttp2's `h2load` sends: it takes far less of the machine than any server that it asks, over HTTP/1.1
as over gRPC, and decodes no messages.
"""

from __future__ import annotations

import http.client
import re
import statistics
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

GRPC_METHOD = "/inference.GRPCInferenceService/ModelInfer"
SILENCE_S = 60
START_S = 300.0  # until a server answers for the first time


@dataclass(frozen=True)
class Load:
    """What to send where.

    Attributes:
        path: for HTTP; gRPC has one method.
        concurrency: connections (HTTP) or calls on one connection (gRPC) at once.
        requests: how many in all.
        grpc_answer: length of the right answer, framed, if gRPC is to be spoken. A gRPC call that fails
            has status 200 like any other, but sends nothing.
    """

    port: int
    body: bytes
    concurrency: int
    requests: int
    path: str = "/v2/models/m/infer"
    headers: Mapping[str, str] = field(default_factory=dict)
    grpc_answer: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of it: answers a second and quantiles of their times; errors are no answers."""

    requests_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: int


def framed(message: bytes) -> bytes:
    """Returns a message as gRPC sends it, uncompressed."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def measure(load: Load) -> Outcome:
    """Sends a load.

    Raises:
        RuntimeError: there is no h2load.
    """
    at_once = str(load.concurrency)
    if load.grpc_answer is None:
        body, path, headers = load.body, load.path, dict(load.headers)
        how = ["--h1", "--clients", at_once]
    else:
        body, path = framed(load.body), GRPC_METHOD
        headers = {"content-type": "application/grpc", "te": "trailers"}
        how = ["--clients", "1", "--max-concurrent-streams", at_once]
    with tempfile.TemporaryDirectory() as folder:
        data, log = Path(folder, "data"), Path(folder, "log")
        data.write_bytes(body)
        command = ["h2load", *how, "--requests", str(load.requests), "--data", data, "--log-file", log]
        command += [f"--header={name}: {value}" for name, value in headers.items()]
        command += ["--connection-inactivity-timeout", str(SILENCE_S), f"http://127.0.0.1:{load.port}{path}"]
        try:
            report = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        except FileNotFoundError as error:
            raise RuntimeError("no h2load on the path; Debian has it in nghttp2-client") from error
        rows = [line.split("\t") for line in log.read_text().splitlines()]
    status, length = "200", load.grpc_answer
    # h2load knows no status of answers whose first line has no words behind it, as TorchServe's.
    if length is None and rows and all(one == "0" for _, one, _ in rows):
        status, length = "0", len(ask(load))
    answers = [(int(since), int(took)) for since, one, took in rows if one == status]
    failed = load.requests - len(answers)
    if length is not None:
        (sent,) = re.findall(r"(?m)\(([0-9]+)\) data$", report)
        failed = load.requests - round(int(sent) / length)
    if not answers:
        return Outcome(0.0, 0.0, 0.0, 0.0, failed)
    seconds = (max(since + took for since, took in answers) - min(since for since, _ in answers)) / 1e6
    times = [took / 1000 for _, took in answers]
    quantiles = statistics.quantiles(times, n=100) if len(times) > 1 else times * 99
    rate = (load.requests - failed) / seconds
    return Outcome(rate, quantiles[49], quantiles[94], quantiles[98], failed)


def ask(load: Load) -> bytes:
    """Sends a load's request once over HTTP and returns the answer's body.

    Raises:
        OSError: nobody answers, or not with 200.
    """
    connection = http.client.HTTPConnection("127.0.0.1", load.port, timeout=30)
    try:
        connection.request("POST", load.path, load.body, dict(load.headers))
        answer = connection.getresponse()
        body = answer.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise OSError(f"{answer.status}: {body[:500]!r}")
    return body
