"""The chart goes to a registry and comes back; images go to clusters that have none."""

import hashlib
import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import images
from tests.debian import Missing
from tests.deploy import chart


class Registry(ThreadingHTTPServer):
    """As much of an OCI registry as a push and a pull need.

    Source: OCI distribution specification 1.1, "Push" and "Pull".
    """

    def __init__(self) -> None:
        self.kept: dict[str, tuple[bytes, str]] = {}
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Registry
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        content, kind = self.server.kept.get(self.path.rpartition("/")[2], (b"", ""))
        self._answer(200 if content else 404, content, kind)

    def do_POST(self) -> None:
        self._answer(202, location=f"{self.path}upload")

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        for name in (_digest(content), self.path.rpartition("/")[2]):
            self.server.kept[name] = content, self.headers["Content-Type"]
        self._answer(201, digest=_digest(content))

    def _answer(
        self, status: int, content: bytes = b"", kind: str = "", location: str = "", digest: str = ""
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        headers = {
            "Content-Type": kind,
            "Location": location,
            "Docker-Content-Digest": digest or _digest(content),
        }
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None: ...


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    with Registry() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"oci://127.0.0.1:{server.server_address[1]}/charts"
        server.shutdown()


def test_the_chart_is_pushed_to_a_registry_and_renders_from_there(registry: str, tmp_path: Path) -> None:
    packed = chart.helm("package", str(chart.CHART), "--destination", str(tmp_path))
    assert packed.returncode == 0, packed.stderr
    [archive] = tmp_path.glob("*.tgz")
    pushed = chart.helm("push", str(archive), registry, "--plain-http")
    assert pushed.returncode == 0, pushed.stderr
    version = archive.stem.removeprefix("imagegraph-")
    settings = ["--version", version, "--plain-http", "--kube-version", chart.render.KUBERNETES]
    rendered = chart.helm("template", chart.RELEASE, f"{registry}/imagegraph", *settings)
    assert rendered.returncode == 0, rendered.stderr
    assert chart.parsed(rendered.stdout) == chart.objects()


def test_a_version_with_a_build_is_a_label_and_a_tag(tmp_path: Path) -> None:
    version, label = "1.2.3-rc.1+build.5", "1.2.3-rc.1_build.5"
    options = ["--version", version, "--app-version", version, "--destination", str(tmp_path)]
    assert chart.helm("package", str(chart.CHART), *options).returncode == 0
    [archive] = tmp_path.glob("*.tgz")
    done = chart.helm("template", chart.RELEASE, str(archive), "--kube-version", chart.render.KUBERNETES)
    for one in chart.parsed(done.stdout):
        assert one["metadata"]["labels"]["app.kubernetes.io/version"] == label
        assert one["metadata"]["labels"]["helm.sh/chart"] == f"imagegraph-{label}"
    assert {pod.spec["containers"][0]["image"] for pod in chart.pods(chart.parsed(done.stdout))} == {
        f"imagegraph:{label}"
    }


def test_lint_has_nothing_to_say_of_the_chart_and_it_has_an_icon() -> None:
    done = chart.helm("lint", "--strict", str(chart.CHART))
    assert done.returncode == 0
    assert not re.search(r"\[(INFO|WARNING|ERROR)\]", done.stdout)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that write down how they were called, and archives that are files."""
    (tmp_path / "bin").mkdir()
    for name in ("buildah", "kind", "minikube", "k3s"):
        program = tmp_path / "bin" / name
        save = 'for last; do :; done; path=${last#docker-archive:}; touch "${path%%:*}"'
        read = 'for last; do :; done; test -f "$last"'
        program.write_text(
            f'#!/bin/sh\n{save if name == "buildah" else read} && echo "{name} $@" >> {tmp_path}/calls\n'
        )
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(images, "CACHE", tmp_path / "cache")
    return tmp_path


@pytest.mark.parametrize(
    ("into", "command"),
    [
        ("kind", "kind load image-archive"),
        ("minikube", "minikube image load"),
        ("k3s", "k3s ctr images import"),
    ],
)
def test_images_are_given_to_a_cluster_without_a_registry(programs: Path, into: str, command: str) -> None:
    images.load(into)
    calls = (programs / "calls").read_text().splitlines()
    for name, (saved, loaded) in zip(images.IMAGES, zip(calls[::2], calls[1::2], strict=True), strict=True):
        assert saved.startswith(f"buildah push {name} docker-archive:")
        assert saved.endswith(f":{name}")
        assert loaded.startswith(f"{command} /")


def test_a_cluster_whose_tool_is_not_here_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match="kind is not installed"):
        images.load("kind")
