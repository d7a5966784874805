"""Batches whose results go to a URL: the object store of a cloud, as moto plays it."""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from imagegraph.batch.folder import PLAN, NoRoom, Shard
from imagegraph.batch.remote import folder
from imagegraph.errors import ImagegraphError, InvalidInput
from imagegraph.spec.catalogue import ROOT
from tests.batch.conftest import draw
from tests.cli.commands import said
from tests.serve.forked import Forked


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    served = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    served.start()
    yield "http://{}:{}".format(*served.get_host_and_port())
    served.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    place = f"s3://{request.node.name.replace('_', '-')[:40].strip('-')}/out"
    fsspec.filesystem("s3").mkdir(place.removesuffix("/out"))
    return place


def batch(*arguments: str, out: str, code: int = 0) -> str:
    done = said("batch", "paint", "photos", "-o", out, "--device", "cpu", *arguments)
    assert done.code == code, done.out + done.err
    return done.out + done.err


def contents(out: str) -> dict[str, str]:
    files, root = fsspec.core.url_to_fs(out)
    files.invalidate_cache()
    return {
        path.removeprefix(f"{root}/"): hashlib.sha256(files.cat_file(path)).hexdigest()
        for path in files.find(root)
        if "metrics" not in path and ".lock" not in path
    }


def test_what_is_at_a_url_is_what_would_be_in_a_folder(photos, bucket, tmp_path):
    (photos / "broken.png").write_bytes(b"hello")
    batch("--grid", "seed=1,2", out=bucket, code=2)
    batch("--grid", "seed=1,2", out="here", code=2)
    assert contents(bucket) == contents(str(tmp_path / "here"))
    assert fsspec.filesystem("s3").exists(f"{bucket}/metrics.parquet")
    batch(out=bucket, code=2)
    batch(out="here", code=2)
    assert contents(bucket) == contents(str(tmp_path / "here"))
    assert not [name for name in contents(bucket) if name.startswith("grid")]


def test_it_is_gone_on_with_and_changes_are_noticed(photos, bucket):
    batch(out=bucket)
    draw(photos / "e.png", 7)
    assert "4 of 5 rows are done already" in batch(out=bucket)
    with pytest.raises(InvalidInput, match="seed: expected None, as the batch in .* was begun with"):
        batch("seed=3", out=bucket)
    batch("seed=3", "--overwrite", out=bucket)
    batch("seed=3", out="here")
    assert contents(bucket) == contents(str(Path("here").absolute()))


def test_a_part_that_is_killed_goes_on(photos, bucket, tmp_path):
    for number in range(8):
        draw(photos / f"more-{number}.png", number)
    command = [
        "batch",
        "paint",
        str(tmp_path / "photos"),
        "-o",
        bucket,
        "--device",
        "cpu",
        "--in-flight",
        "2",
    ]

    def started(number: int) -> Forked:
        variables = {**os.environ, "PYTHONPATH": str(ROOT)}
        return Forked([*command, "--shard", f"{number}/2"], variables, tmp_path / f"{number}.log")

    parts = [started(0), started(1)]
    files = fsspec.filesystem("s3")
    while len([path for path in files.find(bucket) if path.endswith("results.json")]) < 2:
        assert parts[0].poll() is None, (tmp_path / "0.log").read_text()
        time.sleep(0.05)
        files.invalidate_cache()
    parts[0].kill()
    parts[0].wait(10)
    parts[0] = started(0)
    assert [part.wait(60) for part in parts] == [0, 0], (tmp_path / "0.log").read_text()
    batch(out="here")
    assert contents(bucket) == contents(str(tmp_path / "here"))


def test_what_cannot_be_reached_or_is_others_says_so(photos, bucket):
    with pytest.raises(NoRoom, match="cannot reach s3://nobody-has-this/out: .*; what is done stays"):
        batch(out="s3://nobody-has-this/out")
    with pytest.raises(ImagegraphError, match="no way to carrier-pigeon://x"):
        batch(out="carrier-pigeon://x")
    fsspec.filesystem("s3").pipe_file(f"{bucket}/mine.txt", b"mine")
    with pytest.raises(InvalidInput, match="out: expected a folder that is new or empty, .*mine.txt in it"):
        batch(out=bucket)


def test_the_batch_that_has_begun_last_has_the_url(bucket):
    first, second = folder(bucket), folder(bucket)
    with first:
        first.write(PLAN, b"1")
        with second:
            with pytest.raises(NoRoom, match=f"another batch has begun in {bucket} since"):
                first.put("row", lambda staged: (staged / "x").write_bytes(b"x"))
            second.write("two", b"2")
        with pytest.raises(NoRoom, match="another batch"):
            first.write("three", b"3")
    assert sorted(contents(bucket)) == [PLAN, "two"]


def test_parts_of_a_batch_have_a_url_beside_each_other(bucket):
    with folder(bucket, Shard(0, 2)) as one, folder(bucket, Shard(1, 2)) as other:
        one.write(PLAN, b"1")
        other.write("two", b"2")
    assert sorted(contents(bucket)) == [PLAN, "two"]
