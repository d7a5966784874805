"""Sources besides the hub: the project's own weights, folders, object stores."""

import os
import shutil
import subprocess
import sys
import threading

import fsspec
import pytest

from imagegraph.spec import weights
from imagegraph.spec.catalogue import Catalogue
from imagegraph.spec.weights import ROOT, Source
from model_init import pull as module
from model_init.errors import WrongPin
from model_init.origins import Folder
from model_init.pull import Pull, Settings
from model_init.report import Report
from tests.model_init.conftest import Machine
from tests.model_init.hub import folder

STOP = threading.Event()


def pull_here(cache, *sources: Source):
    with Report(5) as report:
        return Pull(cache, list(sources), Settings(wait_s=0.01), report, STOP).run()


def test_the_pocket_bundle_goes_the_same_way_and_loads_without_the_project(
    machine: Machine, monkeypatch, tmp_path
):
    machine.run("pull", "--bundle=pocket", IMAGEGRAPH_CATALOGUE="")
    entry = Catalogue.read().entry("generate")
    versions = {role: source.version for role, source in entry.variant("pocket").weights.items()}
    there = {role: folder(source.folder()) for role, source in entry.variant("pocket").weights.items()}
    monkeypatch.setenv("HF_HUB_CACHE", str(machine.cache))
    monkeypatch.setattr(weights, "ROOT", tmp_path)  # as in an image without weights
    found = entry.weights("pocket", "cpu")
    assert {role: source.version for role, source in entry.variant("pocket").weights.items()} == versions
    for role in there:
        assert found[role].is_relative_to(machine.cache)
        assert folder(found[role]) == there[role]


def test_a_folder_that_changed_is_another_revision_and_the_newest_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "ROOT", tmp_path)
    source = Source(path="net")
    (tmp_path / "net").mkdir()
    versions = []
    for text in ("old", "new"):
        (tmp_path / "net" / "config.json").write_text(text)
        weights.folder_version.cache_clear()
        versions.append(source.version)
        pull_here(tmp_path / "cache", source)
    monkeypatch.setattr(weights, "ROOT", tmp_path / "elsewhere")
    assert source.version == versions[1]
    assert (source.folder() / "config.json").read_text() == "new"


def test_a_folder_that_changes_while_it_is_copied_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "config.json").write_text("old")
    source = Source(path=str(tmp_path))
    weights.folder_version.cache_clear()
    before = source.version
    (tmp_path / "config.json").write_text("new")
    with pytest.raises(WrongPin, match=f"not {before}: it was changed, or is pinned wrong"):
        pull_here(tmp_path / "cache", source)
    assert not list((tmp_path / "cache").glob("*/snapshots/*"))


def test_a_folder_that_is_nowhere_is_said(machine: Machine):
    machine.catalogue.write_text(
        "base: none\nentries: {a: {bundles: {real: {weights: {model: {path: no/where}}}}}}\n"
    )
    place = machine.home / "no" / "where"
    assert f"error 2: weights of {place} are not on this machine, and nothing to pull" in machine.pull(code=2)


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_a_url_is_pulled_by_fsspec_and_verified_by_its_pin(tmp_path, monkeypatch, scheme):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    address = f"{scheme}://{tmp_path}/store/net"
    files = folder(ROOT / "pocket" / "weights" / "depth")
    store, root = fsspec.url_to_fs(address)
    for path, data in files.items():
        store.makedirs(os.path.dirname(f"{root}/{path}"), exist_ok=True)
        store.pipe(f"{root}/{path}", data)
    revision = Folder(address).version()
    assert revision == weights.folder_version(ROOT / "pocket" / "weights" / "depth")
    source = Source(url=address, revision=revision)
    assert pull_here(tmp_path / "cache", source).fetched == sum(map(len, files.values()))
    assert folder(source.folder()) == files
    assert pull_here(tmp_path / "cache", source).fetched == 0
    os.truncate(source.folder() / "config.json", 3)
    assert pull_here(tmp_path / "cache", source).fetched == len(files["config.json"])
    wrong = Source(url=address, revision="0" * 40)
    with pytest.raises(WrongPin, match=f"holds {revision}, not 000"):
        pull_here(tmp_path / "cache", wrong)
    store.rm(root, recursive=True)
    with pytest.raises(WrongPin, match="does not exist or is empty"):
        pull_here(tmp_path / "other", source)


def test_a_copy_that_was_interrupted_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    folder_ = ROOT / "pocket" / "weights" / "depth"
    source = Source(path=str(folder_))
    [model] = (one for one in Folder(str(folder_)).files() if one.path == "model.safetensors")
    partial = module.Repository(tmp_path / "cache", source.repository).partial(model.key)
    partial.parent.mkdir(parents=True)
    partial.write_bytes((folder_ / "model.safetensors").read_bytes()[:1_000_000])
    done = pull_here(tmp_path / "cache", source)
    assert done.fetched == done.size - 1_000_000


def test_healing_a_folder_needs_no_space_for_what_is_right(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    source = Source(path=str(ROOT / "pocket" / "weights" / "depth"))
    pull_here(tmp_path / "cache", source)
    [config] = (tmp_path / "cache").glob("*/snapshots/*/config.json")
    config.unlink()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert pull_here(tmp_path / "cache", source).fetched == 0


def test_hash_prints_what_pins_a_folder_and_a_missing_package_is_named(machine: Machine):
    output = machine.run("hash", str(ROOT / "pocket" / "weights" / "depth"))
    assert output.strip() == weights.folder_version(ROOT / "pocket" / "weights" / "depth")
    assert "error 2: abfs://bucket/net cannot be read: " in machine.run("hash", "abfs://bucket/net", code=2)


def test_the_image_holds_all_that_model_init_imports():
    code = (
        "import sys, model_init.cli; print(*(name for name in sys.modules if name.startswith('imagegraph.')))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    dockerfile = (ROOT / "model-init" / "Dockerfile").read_text()
    for name in run.stdout.split():
        path = name.replace(".", "/")
        assert f"{path}.py" in dockerfile or f"{path}/__init__.py" in dockerfile
