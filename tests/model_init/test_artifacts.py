"""A copy of a cache in an object store, as Vertex AI keeps it for a model, brought to another machine."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import fsspec
import pytest

from imagegraph.errors import MissingWeights
from imagegraph.spec.bucket import bring
from imagegraph.spec.weights import Source
from model_init.errors import WrongName
from model_init.origins import Folder
from tests.model_init.conftest import COMMITS, DEPTH, Machine
from tests.model_init.hub import folder

SOURCE = Source(repo=DEPTH, revision=COMMITS[DEPTH])


class Bucket(ThreadingHTTPServer):
    """A bucket of Google Cloud Storage on this machine: what lists and reads objects of its JSON API."""

    def __init__(self, objects: dict[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), Objects)
        self.objects = objects
        self.read: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Objects(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Bucket

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        name = unquote(path.rpartition("/b/bucket/o")[2]).removeprefix("/")
        if not name:
            prefix = query.get("prefix", [""])[0]
            items = [self.about(one) for one in self.server.objects if one.startswith(prefix)]
            self.answer(200, json.dumps({"items": items}).encode())
        elif name not in self.server.objects:
            self.answer(404, b"{}")
        elif query.get("alt") == ["media"]:
            self.server.read.append(name)
            self.answer(200, self.server.objects[name].read_bytes())
        else:
            self.answer(200, json.dumps(self.about(name)).encode())

    def about(self, name: str) -> dict[str, str]:
        size = str(self.server.objects[name].stat().st_size)
        return {"kind": "storage#object", "name": name, "bucket": "bucket", "size": size}

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty cache of another machine."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "other"))
    return tmp_path / "other"


@pytest.fixture
def bucket(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    machine.pull("--entry=depth")
    paths = [path for path in machine.cache.rglob("*") if path.is_file()]
    bucket = Bucket({f"weights/{path.relative_to(machine.cache).as_posix()}": path for path in paths})
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket.url)
    # It would ask for the bucket's layout over gRPC, which no emulator has; read when gcsfs is imported.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon", "endpoint_url": bucket.url})
    yield bucket
    bucket.shutdown()
    bucket.server_close()


def test_weights_in_a_bucket_are_those_that_were_pulled(
    machine: Machine, bucket: Bucket, other: Path
) -> None:
    with pytest.raises(MissingWeights):
        SOURCE.folder()
    bring("gs://bucket/weights/")
    assert folder(SOURCE.folder()) == folder(machine.snapshot(DEPTH))
    assert not [name for name in bucket.read if "/blobs/" in name]


def test_what_is_here_already_is_not_brought_again(bucket: Bucket, other: Path) -> None:
    bring("gs://bucket/weights")
    bucket.read.clear()
    (SOURCE.folder() / "config.json").write_bytes(b"cut")
    bring("gs://bucket/weights")
    assert [name.rpartition("/")[2] for name in bucket.read] == ["config.json"]


def test_a_folder_serves_as_well_as_a_bucket(machine: Machine, other: Path) -> None:
    machine.pull("--entry=depth")
    bring(str(machine.cache))
    assert folder(SOURCE.folder()) == folder(machine.snapshot(DEPTH))


def test_a_place_without_weights_is_refused(machine: Machine, other: Path) -> None:
    (machine.home / "else").mkdir()
    (machine.home / "else" / "model.bin").write_bytes(b"model")
    with pytest.raises(MissingWeights, match="holds no weights: expected folders models--"):
        bring(str(machine.home / "else"))
    with pytest.raises(MissingWeights, match="cannot bring nowhere://bucket to .*: ValueError: Protocol"):
        bring("nowhere://bucket")


def test_names_that_lead_out_of_the_cache_are_refused_and_nothing_is_brought(
    bucket: Bucket, other: Path, tmp_path: Path
) -> None:
    name = f"weights/models--{DEPTH.replace('/', '--')}/snapshots/../../../victim.json"
    bucket.objects[name] = next(iter(bucket.objects.values()))
    with pytest.raises(MissingWeights, match=r"\.\./victim.json leads out of the cache"):
        bring("gs://bucket/weights")
    with pytest.raises(WrongName, match=r"\.\./victim.json', which leads out of its folder"):
        Folder("gs://bucket/weights").files()
    assert not list(tmp_path.rglob("victim.json"))
    assert not other.exists()


def test_a_file_is_there_whole_or_not_at_all(
    machine: Machine, bucket: Bucket, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("the machine has died")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", fail)
        with pytest.raises(MissingWeights, match="the machine has died"):
            bring("gs://bucket/weights")
    assert all(path.name.startswith(".") for path in other.rglob("*") if path.is_file())
    bring("gs://bucket/weights")
    assert folder(SOURCE.folder()) == folder(machine.snapshot(DEPTH))
