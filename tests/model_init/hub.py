"""A hub on this machine: the HTTP API as far as a download needs it, and the faults that one meets."""

import hashlib
import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

PAGE = 5  # files in one answer of a listing: so few that the client has to turn pages
LARGE = (".safetensors", ".bin", ".ckpt", ".h5", ".msgpack", ".onnx")
BLOCK, SLOW_BLOCK = 2**20, 2**14


@dataclass
class Repo:
    revision: str
    files: dict[str, bytes]
    gated: bool = False
    xet: bool = False


@dataclass
class Fault:
    """What happens to the next `times` requests whose method and path match.

    Attributes:
        status: answer with this status instead, with `headers`.
        cut: close the connection after so many bytes of the body.
        change: send other bytes.
        whole: ignore the range that is asked for.
        stall: say nothing at all for so long, s.
    """

    match: str
    times: int = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    change: Callable[[bytes], bytes] | None = None
    whole: bool = False
    stall: float = 0


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    host: str
    range: str | None
    token: str | None


class Hub:
    """Serves repositories until it is closed.

    Attributes:
        sent: bytes of file bodies, by repository and path.
        speed: bytes/s of one connection; None for as fast as can be.
    """

    def __init__(self, host: str = "127.0.0.1", other_host: str = "localhost") -> None:
        """Takes the address to listen at, and the name by which large files come from another host."""
        self.repos: dict[str, Repo] = {}
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.sent: Counter[str] = Counter()
        self.speed: float | None = None
        self.token: str | None = None
        self.lock = threading.Lock()
        self._server = _Server((host, 0), _handler(self))
        self.port = self._server.server_address[1]
        self.url = f"http://{host}:{self.port}"
        self.other_url = f"http://{other_host}:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, name: str, revision: str, files: dict[str, bytes], **facts: bool) -> Repo:
        self.repos[name] = Repo(revision, files, **facts)
        return self.repos[name]

    def asked(self, match: str) -> list[Request]:
        return [one for one in self.requests if re.search(match, f"{one.method} {one.path}")]

    def fault(self, line: str) -> Fault | None:
        with self.lock:
            for one in self.faults:
                if one.times and re.search(one.match, line):
                    one.times -= 1
                    return one
        return None


def folder(path: Path) -> dict[str, bytes]:
    """The files of a folder, as a repository has them."""
    return {
        file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()
    }


def etag(path: str, data: bytes) -> str:
    if path.endswith(LARGE):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Clients that are killed or cut off are what the tests are about."""


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None: ...

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
            seen = Request(self.command, url.path, self.headers["Host"], self.headers.get("Range"), token)
            hub.requests.append(seen)
            self.fault = hub.fault(f"{self.command} {url.path}")
            if self.fault and self.fault.stall:
                time.sleep(self.fault.stall)
                self.close_connection = True
            elif self.fault and self.fault.status:
                self.answer(self.fault.status, b"{}", self.fault.headers)
            elif found := re.fullmatch(r"/api/(?:models|datasets)/([^/]+/[^/]+)/revision/(\w+)", url.path):
                self.info(*found.groups())
            elif found := re.fullmatch(r"/api/(?:models|datasets)/([^/]+/[^/]+)/tree/(\w+)", url.path):
                self.tree(*found.groups(), int(parse_qs(url.query).get("cursor", ["0"])[0]))
            elif found := re.fullmatch(r"(?:/datasets)?/([^/]+/[^/]+)/resolve/(\w+)/(.+)", url.path):
                self.resolve(*found.groups(), token)
            elif found := re.fullmatch(r"/cdn/([^/]+/[^/]+)/(.+)", url.path):
                self.body(*found.groups())
            else:
                self.answer(404, b"{}", {})

        def repo(self, name: str, revision: str) -> Repo | None:
            repo = hub.repos.get(name)
            if repo is None:
                self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            elif revision not in (repo.revision, "main"):
                self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            else:
                return repo
            return None

        def info(self, name: str, revision: str) -> None:
            if repo := self.repo(name, revision):
                siblings = [{"rfilename": path} for path in repo.files]
                facts = {"id": name, "sha": repo.revision, "gated": repo.gated, "siblings": siblings}
                self.answer(200, json.dumps(facts).encode(), {})

        def tree(self, name: str, revision: str, cursor: int) -> None:
            if not (repo := self.repo(name, revision)):
                return
            items = []
            for path, data in sorted(repo.files.items())[cursor : cursor + PAGE]:
                pointer = (
                    f"version https://git-lfs.github.com/spec/v1\noid sha256:{etag(path, data)}\n".encode()
                )
                item = {"type": "file", "path": path, "size": len(data), "oid": etag("", data)}
                if path.endswith(LARGE):
                    item["oid"] = etag("", pointer)
                    item["lfs"] = {"oid": etag(path, data), "size": len(data), "pointerSize": len(pointer)}
                    if repo.xet:
                        item["xetHash"] = etag(path, data)
                items.append(item)
            headers = {}
            if cursor + PAGE < len(repo.files):
                address = f"{hub.url}/api/models/{name}/tree/{revision}?cursor={cursor + PAGE}"
                headers["Link"] = f'<{address}>; rel="next"'
            self.answer(200, json.dumps(items).encode(), headers)

        def resolve(self, name: str, revision: str, path: str, token: str | None) -> None:
            if not (repo := self.repo(name, revision)):
                return
            if repo.gated and (token is None or token != hub.token):
                status = 401 if token is None else 403
                self.answer(status, b"{}", {"X-Error-Code": "GatedRepo"})
            elif path not in repo.files:
                self.answer(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            elif path.endswith(LARGE):
                # As the hub does: large files come from another host, which must not see the token.
                data = repo.files[path]
                self.answer(
                    302,
                    b"",
                    {
                        "Location": f"{hub.other_url}/cdn/{name}/{path}",
                        "X-Repo-Commit": revision,
                        "X-Linked-Etag": f'"{etag(path, data)}"',
                        "X-Linked-Size": str(len(data)),
                    },
                )
            else:
                self.body(name, path)

        def body(self, name: str, path: str) -> None:
            repo = hub.repos[name]
            data = repo.files[path]
            headers = {
                "ETag": f'"{etag(path, data)}"',
                "X-Repo-Commit": repo.revision,
                "Accept-Ranges": "bytes",
            }
            if self.fault and self.fault.change:
                data = self.fault.change(data)
            start, status = 0, 200
            wanted = "" if self.fault and self.fault.whole else self.headers.get("Range") or ""
            if found := re.fullmatch(r"bytes=(\d+)-", wanted):
                start, status = int(found[1]), 206
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.answer(status, data[start:], headers, f"{name}/{path}")

        def answer(self, status: int, data: bytes, headers: dict[str, str], counted: str = "") -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            cut = self.fault.cut if self.fault and self.fault.cut is not None else len(data)
            step = SLOW_BLOCK if hub.speed else BLOCK
            for start in range(0, cut, step):
                block = memoryview(data)[start : min(start + step, cut)]
                with hub.lock:
                    hub.sent[counted] += len(block)
                self.wfile.write(block)
                if hub.speed:
                    time.sleep(len(block) / hub.speed)
            if cut < len(data):
                self.close_connection = True
                with suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)

    return Handler
