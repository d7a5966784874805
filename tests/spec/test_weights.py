import subprocess
import sys

import pytest

from imagegraph.errors import MissingWeights
from imagegraph.spec import weights
from imagegraph.spec.weights import File, Manifest, Source

COMMIT = "0123456789" * 4
REPO = Source(repo="a/b", revision=COMMIT)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "ROOT", tmp_path)
    return tmp_path / "cache"


def snapshot(home, revision, manifest=True):
    folder = home / "snapshots" / revision
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    if manifest:
        path = Manifest.path(home, revision)
        path.parent.mkdir()
        file = File(size=2, mtime_ns=0, digest="git:" + "0" * 40)
        path.write_text(Manifest(source="a/b", files={"config.json": file}, verified="").model_dump_json())
    return folder


def test_a_folder_of_the_project_is_used_as_it_is_and_its_hash_is_the_version(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "a").write_text("1")
    source = Source(path="net")
    assert source.folder() == tmp_path / "net"
    first = source.version
    weights.folder_version.cache_clear()
    (tmp_path / "net" / "a").write_text("2")
    assert len(first) == 40
    assert source.version != first


def test_a_folder_that_the_machine_lacks_comes_from_the_cache(cache):
    source = Source(path="net")
    with pytest.raises(MissingWeights, match="weights of net are not on this machine"):
        source.version  # noqa: B018
    home = cache / weights.repository_folder(source.repository)
    folder = snapshot(home, COMMIT)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(COMMIT)
    assert source.version == COMMIT
    assert source.folder() == folder


def test_a_snapshot_with_a_manifest_is_found_and_one_that_lost_a_file_is_not(cache):
    with pytest.raises(MissingWeights, match="weights of a/b are not on this machine"):
        REPO.folder()
    folder = snapshot(cache / "models--a--b", COMMIT)
    assert REPO.folder() == folder
    (folder / "config.json").write_text("{")
    with pytest.raises(MissingWeights, match="a/b are incomplete in .*: config.json"):
        REPO.folder()


def test_a_snapshot_of_the_hubs_own_client_is_found_if_it_is_whole(cache):
    folder = snapshot(cache / "models--a--b", COMMIT, manifest=False)
    with pytest.raises(MissingWeights, match=r"a/b are incomplete in .*: \*.safetensors is missing"):
        REPO.folder()
    (folder / "model.bin").write_bytes(b"1")
    assert REPO.folder() == folder


def test_a_folder_of_the_project_that_is_not_whole_is_named(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "model.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(MissingWeights, match="weights of net are incomplete .* is a pointer of Git LFS"):
        Source(path="net").folder()


def test_addresses_that_read_the_same_are_kept_apart():
    names = {Source(path=path).repository for path in ("a/b-c", "a-b/c", "A/b-c")}
    names.add(Source(url="s3://a/b-c", revision=COMMIT).repository)
    assert len(names) == 4
    assert all(name.startswith("imagegraph/") and name.count("/") == 1 for name in names)


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"HF_HUB_CACHE": "/c"}, "/c"),
        ({"HF_HOME": "/h"}, "/h/hub"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
        ({"HOME": "/me"}, "/me/.cache/huggingface/hub"),
        ({"HF_HOME": "/h", "HF_HUB_CACHE": "$HF_HOME/c"}, "/h/c"),
    ],
)
def test_the_cache_is_where_the_hubs_client_looks(monkeypatch, variables, folder):
    code = "from huggingface_hub import constants; print(constants.HF_HUB_CACHE)"
    theirs = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(weights.cache_folder()) == theirs == folder


def test_finding_weights_needs_none_of_what_models_need():
    code = "import sys, imagegraph.spec.weights; print({'numpy', 'PIL', 'torch', 'aiohttp'} & {*sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "set()"
