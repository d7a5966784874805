"""Sources that name files outside of the folder that they are meant for: mirrors, buckets, folders."""

import os
from pathlib import Path

import fsspec
import pytest

from imagegraph.errors import MissingWeights
from imagegraph.spec.weights import Source, stays_inside
from model_init import clean, store
from model_init.errors import WrongName
from model_init.origins import Folder, Remote, together
from model_init.store import Repository
from tests.model_init.conftest import COMMITS, DEPTH, Machine
from tests.model_init.hub import Fault, Hub

OUT = "../../../../victim"  # of the cache, seen from a snapshot


@pytest.fixture
def victim(machine: Machine) -> Path:
    """A user's folder beside the cache, named like a file that a model has."""
    place = machine.home / "victim" / "config.json"
    place.mkdir(parents=True)
    (place / "holiday.jpg").write_bytes(b"a day at the sea")
    return place


@pytest.mark.parametrize(
    "files",
    [
        {f"{OUT}/config.json": b"{}", f"{OUT}/model.safetensors": b"weights"},
        {"model_index.json": f'{{"{OUT}": ["diffusers", "UNet"]}}'.encode(), f"{OUT}/config.json": b"{}"},
        {"/etc/config.json": b"{}", "/etc/model.safetensors": b"weights"},
        {"net/../../config.json": b"{}", "net/model.safetensors": b"weights"},
    ],
    ids=["a model", "a pipeline", "absolute", "inside"],
)
def test_a_mirror_that_names_files_outside_is_refused(
    machine: Machine, hub: Hub, victim: Path, files: dict[str, bytes]
) -> None:
    hub.repos[DEPTH].files = files
    output = machine.pull("--entry=depth", code=8)
    assert "error 8: the source names a file" in output
    assert "which leads out of its folder" in output
    assert (victim / "holiday.jpg").read_bytes() == b"a day at the sea"
    assert not list(machine.cache.glob("models--*/snapshots/*"))


def test_a_mirror_whose_hashes_are_paths_is_refused(
    machine: Machine, hub: Hub, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.model_init.hub.etag", lambda path, data: f"../../../{victim}")
    assert "says that the hash of 'config.json' is 'git:../" in machine.pull("--entry=depth", code=8)


@pytest.mark.parametrize(
    "path", ["", ".", "..", "/", "/a", "a/", "a//b", "a/./b", "a/../../b", "a/..", "a\0b"]
)
def test_a_path_stays_inside_only_if_every_step_of_it_goes_down(path: str) -> None:
    assert not stays_inside(path)
    with pytest.raises(WrongName):
        Remote(path, 1, None, "0" * 64)


@pytest.mark.parametrize(
    "path", [f"{'n' * 300}.json", f"a/{'ü' * 130}", "a\nerror 0: b", "\x1b[31m", "\ud800"]
)
def test_a_name_that_no_file_can_have_or_that_would_forge_a_log_is_refused_in_one_line(path: str) -> None:
    with pytest.raises(WrongName, match=r"^the source names a file '[ -~ü]+, as none can be called$"):
        Remote(path, 1, None, "0" * 64)


def test_unusual_names_are_no_reason_to_refuse() -> None:
    for path in ("a", "a/b/c.json", "..data/a", "a..b", "...", ".hidden", "ä b/ü", "図\u3000/1", "n" * 240):
        assert stays_inside(path)
        assert Remote(path, 1, None, "0" * 64).path == path


@pytest.mark.parametrize("paths", [["a", "a/b"], ["a/b/c", "x", "a"], ["a", "a"]])
def test_files_that_cannot_be_in_one_folder_are_refused(paths: list[str]) -> None:
    with pytest.raises(WrongName, match="^the source names '.*', and another file 'a'$"):
        together([Remote(path, 1, None, "0" * 64) for path in paths])


def test_a_source_that_sends_more_than_it_announced_does_not_fill_the_volume(
    machine: Machine, hub: Hub
) -> None:
    hub.faults.append(Fault(r"GET /cdn", times=9, change=lambda data: data + bytes(50_000_000)))
    output = machine.pull("--entry=depth", code=8)
    assert f"error 8: {DEPTH}: model.safetensors: more came than the " in output
    assert max(hub.sent.values()) < 50_000_000  # of three attempts


def test_a_pipeline_that_is_no_object_is_said(machine: Machine, hub: Hub) -> None:
    hub.repos[DEPTH].files = {"model_index.json": b'["a"]', "model.safetensors": b"weights"}
    assert "model_index.json is no JSON object" in machine.pull("--entry=depth", "--attempts=1", code=8)


def test_keys_of_an_object_store_do_not_lead_out(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/net/model.safetensors": b"weights"})
    memory.store["/net/../config.json"] = memory.store["/net/model.safetensors"]
    try:
        with pytest.raises(WrongName, match="'../config.json', which leads out"):
            Folder("memory://net").files()
    finally:
        memory.store.clear()


@pytest.mark.parametrize("target", ["../secret", "/etc", "gone", "."])
def test_links_of_a_folder_do_not_lead_out(tmp_path: Path, target: str) -> None:
    (tmp_path / "secret").write_text("token")
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "config.json").write_text("{}")
    (tmp_path / "net" / "link.json").symlink_to("config.json")
    assert len(Folder(str(tmp_path / "net")).files()) == 2
    (tmp_path / "net" / "model.bin").symlink_to(target)
    with pytest.raises(WrongName, match=r"model.bin is a link to .*, which is no file in "):
        Folder(str(tmp_path / "net")).files()


def test_a_snapshot_is_a_folder_whose_links_lead_to_the_blobs_of_its_repository(machine: Machine) -> None:
    machine.pull("--entry=depth")
    assert len(Folder(str(machine.snapshot(DEPTH))).files()) == 3
    (machine.snapshot(DEPTH) / "other.json").symlink_to(machine.home / "catalogue.yaml")
    with pytest.raises(WrongName):
        Folder(str(machine.snapshot(DEPTH))).files()


def test_a_link_in_a_snapshot_is_replaced_and_not_followed(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "cache", "a/b")
    repository.prepare()
    repository.blob("0" * 40).write_text("{}")
    victim = tmp_path / "victim"
    (victim / "config.json").mkdir(parents=True)
    snapshot = repository.snapshot("f" * 40)
    snapshot.mkdir()
    (snapshot / "net").symlink_to(victim)
    source = Source(repo="a/b", revision="f" * 40)
    repository.publish(source, "f" * 40, {"net/config.json": f"git:{'0' * 40}"})
    assert (victim / "config.json").is_dir()
    assert (snapshot / "net" / "config.json").read_text() == "{}"
    assert store.check([(repository, "f" * 40)], deep=False)[0].complete


def test_gc_removes_links_and_not_what_they_lead_to(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "cache", "a/b")
    repository.prepare()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "blob").write_text("large")
    repository.blob("0" * 40).symlink_to(tmp_path / "elsewhere" / "blob")
    repository.snapshot("f" * 40).symlink_to(tmp_path / "elsewhere")
    clean.leftover(repository, set()).remove()
    assert (tmp_path / "elsewhere" / "blob").read_text() == "large"
    assert not repository.folder.exists()


def test_the_newest_revision_of_a_folder_is_a_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    source = Source(path="not/in/the/project")
    main = Repository(tmp_path, source.repository).folder / "refs" / "main"
    main.parent.mkdir(parents=True)
    for text in ("../../../etc", "", "0" * 39, f"{'0' * 40}/.."):
        main.write_text(text)
        with pytest.raises(MissingWeights, match="main names no revision"):
            source.folder()
    main.write_text(COMMITS[DEPTH] + os.linesep)
    assert source.version == COMMITS[DEPTH]
