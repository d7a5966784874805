import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from huggingface_hub import scan_cache_dir, snapshot_download

from imagegraph.spec.weights import ROOT, Source
from tests.model_init.conftest import BASE, COMMITS, DEPTH, NET, Machine
from tests.model_init.hub import Hub, folder

POCKET = ROOT / "pocket" / "weights"
MODEL = "model.safetensors"


def state(cache: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in cache.rglob("*")}


def test_a_pull_brings_the_files_that_are_loaded_and_no_others(machine: Machine, hub: Hub):
    output = machine.pull()
    assert "complete: 3 repositories" in output
    wanted = folder(POCKET / "stable-diffusion")
    del wanted["README.md"], wanted["vae/README.md"]
    assert folder(machine.snapshot(BASE)) == wanted
    assert set(folder(machine.snapshot(NET))) == {"config.json", "diffusion_pytorch_model.safetensors"}
    assert set(folder(machine.snapshot(DEPTH))) == {"config.json", MODEL, "preprocessor_config.json"}
    assert not hub.asked("pytorch_model.bin|fp16|ckpt|emaonly|README|images")


def test_files_that_a_source_names_are_brought_and_no_others(machine: Machine, hub: Hub):
    text = machine.catalogue.read_text()
    named = text.replace(f"{COMMITS[DEPTH]}}}", f"{COMMITS[DEPTH]}, files: [pytorch_model.bin]}}")
    machine.catalogue.write_text(named)
    machine.pull("--entry=depth")
    assert set(folder(machine.snapshot(DEPTH))) == {"pytorch_model.bin"}
    assert "fetched 0 B" in machine.pull("--entry=depth", HF_HUB_OFFLINE="1")
    machine.catalogue.write_text(named.replace("pytorch_model.bin", "scannet.pt"))
    shutil.rmtree(machine.cache)
    assert f"{DEPTH} at {COMMITS[DEPTH]} has no file scannet.pt" in machine.pull("--entry=depth", code=2)


def test_two_choices_of_files_of_one_repository_are_refused(machine: Machine):
    depth = f"{{repo: {DEPTH}, revision: {COMMITS[DEPTH]}, files: [config.json]}}"
    other = f"  normals: {{bundles: {{real: {{weights: {{model: {depth}}}}}}}}}\n"
    machine.catalogue.write_text(machine.catalogue.read_text() + other)
    assert f"{DEPTH}: name the same 'files' wherever it stands" in machine.pull("--entry=depth", code=2)


def test_a_second_pull_asks_nobody_and_writes_nothing(machine: Machine, hub: Hub):
    machine.pull()
    before, asked = state(machine.cache), len(hub.requests)
    output = machine.pull(HF_HUB_OFFLINE="1")
    assert "complete: 3 repositories" in output
    assert "fetched 0 B" in output
    assert len(hub.requests) == asked
    assert state(machine.cache) == before


def test_an_entry_brings_those_it_uses_and_no_others(machine: Machine, hub: Hub):
    assert "complete: 1 repositories" in machine.pull("--entry=rank")
    assert machine.snapshot(DEPTH).is_dir()
    assert not hub.asked(f"{BASE}|{NET}")
    assert "error 2: unknown entry of bundle 'real' 'deth'. Did you mean 'depth'?" in machine.pull(
        "--entry=deth", code=2
    )
    assert "error 2: unknown bundle" in machine.run("pull", "--bundle=reel", code=2)


def test_predictors_and_the_hubs_own_client_find_what_was_pulled(machine: Machine, monkeypatch):
    machine.pull()
    monkeypatch.setenv("HF_HUB_CACHE", str(machine.cache))
    for name, commit in COMMITS.items():
        there = machine.snapshot(name)
        assert Source(repo=name, revision=commit).folder() == there
        theirs = snapshot_download(name, revision=commit, cache_dir=machine.cache, local_files_only=True)
        assert Path(theirs) == there
    scan = scan_cache_dir(machine.cache)
    assert not scan.warnings
    assert {repo.repo_id for repo in scan.repos} == set(COMMITS)


def test_what_the_hubs_own_client_has_brought_is_verified_and_kept(machine: Machine, hub: Hub):
    snapshot_download(DEPTH, revision=COMMITS[DEPTH], cache_dir=machine.cache, endpoint=hub.url)
    hub.sent.clear()
    assert "fetched 0 B" in machine.pull("--entry=depth")
    assert hub.sent[f"{DEPTH}/{MODEL}"] == 0
    assert "right: 1 repositories" in machine.run("verify", "--bundle=real", "--entry=depth", "--deep")


def flip(path: Path) -> None:
    """Changes one byte, as a bad disk does: nothing else tells of it."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)[0]
        file.seek(1000)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


DAMAGES = {
    "a byte is flipped": (lambda place: flip(place.resolve()), "its hash differs", 1),
    "half of it is there": (lambda place: halve(place.resolve()), "bytes instead of", 1),
    "it is empty": (lambda place: os.truncate(place.resolve(), 0), "0 bytes instead of", 1),
    "its bytes are gone": (lambda place: place.resolve().unlink(), "missing", 1),
    "its link is gone": (lambda place: place.unlink(), "missing", 0),
    "its link leads elsewhere": (
        lambda place: (place.unlink(), place.symlink_to(place.with_name("config.json"))),
        "bytes instead of",
        0,
    ),
    "a folder stands in its place": (lambda place: (place.unlink(), place.mkdir()), "bytes instead of", 0),
    "the snapshot is gone": (lambda place: shutil.rmtree(place.parent), "missing", 0),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_file_is_healed_and_only_its_bytes_are_fetched(machine: Machine, hub: Hub, name: str):
    damage, finding, fetched = DAMAGES[name]
    machine.pull("--entry=depth")
    right = folder(machine.snapshot(DEPTH))
    damage(machine.snapshot(DEPTH) / MODEL)
    verified = machine.run("verify", "--bundle=real", "--entry=depth", "--deep", code=3)
    assert f"{MODEL}: " in verified
    assert finding in verified
    assert "run: model-init pull --bundle real" in verified
    hub.sent.clear()
    machine.pull("--entry=depth", "--deep")
    assert folder(machine.snapshot(DEPTH)) == right
    assert hub.sent[f"{DEPTH}/{MODEL}"] == fetched * len(right[MODEL])
    assert hub.sent[f"{DEPTH}/config.json"] == 0
    machine.run("verify", "--bundle=real", "--entry=depth", "--deep")


@pytest.mark.parametrize("text", ["", "{", '{"files": {}}', None])
def test_a_lost_manifest_is_written_again_without_a_download(machine: Machine, hub: Hub, text: str | None):
    machine.pull("--entry=depth")
    [manifest] = machine.cache.glob("*/manifests/*.json")
    before = manifest.read_text()
    manifest.unlink() if text is None else manifest.write_text(text)
    hub.sent.clear()
    machine.pull("--entry=depth")
    assert hub.sent[f"{DEPTH}/{MODEL}"] == 0
    assert len(manifest.read_text()) == len(before)


def test_a_file_that_was_only_touched_is_hashed_once_and_kept(machine: Machine, hub: Hub):
    machine.pull("--entry=depth")
    place = machine.snapshot(DEPTH) / MODEL
    [verified] = re.findall(r'"verified": "[^"]+"', next(machine.cache.glob("*/manifests/*")).read_text())
    os.utime(place, (1, 1))
    asked = len(hub.requests)
    assert "fetched 0 B" in machine.pull("--entry=depth")
    [manifest] = machine.cache.glob("*/manifests/*.json")
    assert '"mtime_ns": 1000000000' in manifest.read_text()
    assert verified in manifest.read_text()  # the other files were not hashed
    assert len(hub.requests) == asked
    # A byte that changes together with the time is seen without --deep.
    flip(place.resolve())
    os.utime(place, (2, 2))
    machine.run("verify", "--bundle=real", "--entry=depth", code=3)


def test_a_predictor_keeps_its_open_file_while_it_is_healed(machine: Machine):
    machine.pull("--entry=depth")
    place = machine.snapshot(DEPTH) / MODEL
    flip(place.resolve())
    with place.open("rb") as file:
        machine.pull("--entry=depth", "--deep")
        assert len(file.read()) == place.stat().st_size


def test_half_a_download_goes_on_where_it_stopped(machine: Machine, hub: Hub):
    data = hub.repos[DEPTH].files[MODEL]
    machine.pull("--entry=depth")
    [blob] = (path for path in machine.cache.glob("*/blobs/*") if path.stat().st_size == len(data))
    shutil.rmtree(machine.cache)
    blob.parent.mkdir(parents=True)
    blob.with_name(f"{blob.name}.incomplete").write_bytes(data[:1_000_000])
    hub.sent.clear()
    machine.pull("--entry=depth")
    assert hub.sent[f"{DEPTH}/{MODEL}"] == len(data) - 1_000_000
    assert (machine.snapshot(DEPTH) / MODEL).read_bytes() == data


@pytest.mark.parametrize("half", [b"x" * 1000, b"x" * 9_000_000])
def test_a_partial_file_of_something_else_is_seen_and_thrown_away(machine: Machine, hub: Hub, half: bytes):
    machine.pull("--entry=depth")
    place = (machine.snapshot(DEPTH) / MODEL).resolve()
    place.unlink()
    place.with_name(f"{place.name}.incomplete").write_bytes(half)
    machine.pull("--entry=depth")
    assert place.read_bytes() == hub.repos[DEPTH].files[MODEL]


XET = """
import pathlib, sys
from huggingface_hub import file_download
def xet_get(*, incomplete_path, expected_size, tqdm_class, **_):
    data = pathlib.Path({model!r}).read_bytes()
    incomplete_path.write_bytes({change})
    tqdm_class(total=expected_size).update(len(data))
file_download.xet_get = xet_get
from model_init.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("change", ["data", "data[:-1] + b'x'"], ids=["right", "wrong"])
def test_files_in_the_chunk_store_come_over_xet_and_are_verified_as_well(
    machine: Machine, hub: Hub, change: str
):
    """Only the transfer is played: Xet's own server is more than a test can be."""
    hub.repos[DEPTH].xet = True
    machine.prelude = XET.format(model=str(POCKET / "depth" / MODEL), change=change)
    machine.pull("--entry=depth")
    data = hub.repos[DEPTH].files[MODEL]
    assert (machine.snapshot(DEPTH) / MODEL).read_bytes() == data
    assert hub.sent[f"{DEPTH}/{MODEL}"] == (0 if change == "data" else len(data))


def test_a_mirror_that_does_not_speak_xet_is_asked_over_http(machine: Machine, hub: Hub):
    hub.repos[DEPTH].xet = True
    assert "over Xet: " in machine.pull("--entry=depth")
    assert hub.sent[f"{DEPTH}/{MODEL}"] == len(hub.repos[DEPTH].files[MODEL])


def test_it_runs_where_nobody_says_which_cores_are_ours(machine: Machine):
    machine.prelude = "import os; del os.sched_getaffinity; from model_init.cli import main; main()"
    machine.pull("--entry=depth")
    machine.run("verify", "--bundle=real", "--entry=depth", "--deep")


def test_a_wrong_catalogue_is_said_with_file_and_line(machine: Machine):
    machine.catalogue.write_text(machine.catalogue.read_text().replace("revision", "revisoin", 1))
    assert "catalogue.yaml:5: " in machine.pull(code=2)


def test_pin_prints_the_commit_that_a_repository_is_at(machine: Machine, hub: Hub):
    assert machine.run("pin", DEPTH).strip() == COMMITS[DEPTH]
    assert machine.run("pin", DEPTH, "--revision", COMMITS[DEPTH][:40]).strip() == COMMITS[DEPTH]
    assert "error 5: nobody/nothing does not exist" in machine.run("pin", "nobody/nothing", code=5)
    assert f"error 5: {DEPTH} has no revision v2" in machine.run("pin", DEPTH, "--revision=v2", code=5)
    assert "error 2: expected a repository as owner/name" in machine.run("pin", "depth", code=2)


def test_catalogues_of_ones_own_are_pulled_with_the_projects(machine: Machine):
    own = machine.home / "own.yaml"
    own.write_text(
        "entries:\n"
        "  sketch: {like: generate, bundles: {real: {weights: {edges: null}}}}\n"
        f"  seen: {{bundles: {{real: {{weights: {{m: {{repo: {DEPTH}, revision: {COMMITS[DEPTH]}}}}}}}}}}}\n"
    )
    given = ["--bundle=real", f"--catalogue={own}"]
    assert "complete: 1 repositories" in machine.run("pull", *given, "--entry=sketch")
    assert machine.snapshot(BASE).is_dir()
    assert not machine.snapshot(NET).exists()
    assert "complete: 3 repositories" in machine.run("pull", *given)
    assert "would free 0 B" in machine.run("gc", f"--catalogue={own}")


def test_who_verifies_waits_for_who_pulls_and_says_what_lacks(machine: Machine):
    wait = ("verify", "--bundle=real", "--entry=depth", "--every=0.1")
    with machine.start(*wait, "--within=60") as process:
        assert process.stdout.readline() == f"{DEPTH} at {COMMITS[DEPTH][:12]}: not complete yet\n"
        assert process.stdout.readline().startswith("1 of 1 lack after 0 s; waiting")
        subprocess.run(machine.command("pull", "--bundle=real"), env=machine.variables, check=True)
        assert "right: 1 repositories" in process.communicate(timeout=60)[0]
    assert process.returncode == 0
    shutil.rmtree(machine.cache)
    machine.run(*wait, "--within=0.3", code=3)


def test_who_waits_for_who_pulls_stops_when_told_to(machine: Machine):
    with machine.start("verify", "--bundle=real", "--within=60") as process:
        process.stdout.readline()
        process.terminate()
        assert "told to stop" in process.communicate(timeout=5)[0]
    assert process.returncode == 143
