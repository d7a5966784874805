import shutil
import threading

from model_init.lease import hold
from model_init.store import Repository
from tests.model_init.conftest import BASE, COMMITS, DEPTH, NET, Machine
from tests.model_init.hub import Hub

MODEL = "model.safetensors"
STOP = threading.Event()


def other_catalogue(machine: Machine, text: str) -> str:
    """Makes another catalogue the only one, and returns the option that names it."""
    path = machine.home / "other.yaml"
    path.write_text(f"base: none\nentries: {text}\n")
    machine.variables["IMAGEGRAPH_CATALOGUE"] = ""
    return f"--catalogue={path}"


def test_ls_says_what_is_there_how_large_and_verified_when(machine: Machine):
    assert "0 B in " in machine.run("ls")
    machine.pull()
    output = machine.run("ls")
    assert "1.7 MB     3 files  20" in output
    assert f"{COMMITS[DEPTH][:12]}  {DEPTH}" in output
    assert f"11.7 MB in {machine.cache}" in output


def test_gc_removes_what_no_catalogue_names_and_first_only_says_so(machine: Machine, hub: Hub):
    machine.pull()
    assert "would free 0 B" in machine.run("gc")
    only_depth = other_catalogue(
        machine,
        f"{{a: {{bundles: {{b: {{weights: {{m: {{repo: {DEPTH}, revision: {COMMITS[DEPTH]}}}}}}}}}}}}}",
    )
    output = machine.run("gc", only_depth)
    assert "would free 10.0 MB; --delete does it" in output
    assert f"{BASE}: {COMMITS[BASE][:12]}, 7.4 MB" in output
    assert machine.snapshot(BASE).is_dir()
    # What any of several catalogues names stays.
    assert "freed 0 B" in machine.run("gc", "--delete", only_depth, f"--catalogue={machine.catalogue}")
    assert "freed 10.0 MB" in machine.run("gc", "--delete", only_depth)
    assert not list(machine.cache.glob(f"models--{BASE.split('/')[0]}*"))
    machine.variables["IMAGEGRAPH_CATALOGUE"] = str(machine.catalogue)
    machine.run("verify", "--bundle=real", "--entry=depth", "--deep")
    asked = len(hub.requests)
    assert "fetched 10.0 MB" in machine.pull()
    assert not [one for one in hub.requests[asked:] if DEPTH in one.path]


def test_gc_keeps_bytes_that_two_revisions_share(machine: Machine, hub: Hub):
    machine.pull("--entry=depth")
    hub.repos[DEPTH].revision = "f" * 40
    machine.catalogue.write_text(machine.catalogue.read_text().replace(COMMITS[DEPTH], "f" * 40))
    hub.sent.clear()
    machine.pull("--entry=depth")
    assert hub.sent[f"{DEPTH}/{MODEL}"] == 0
    assert "freed 0 B" in machine.run("gc", "--delete")
    assert not machine.snapshot(DEPTH).exists()
    machine.run("verify", "--bundle=real", "--entry=depth", "--deep")


def test_gc_leaves_what_others_put_there_and_what_is_being_pulled(machine: Machine):
    machine.pull()
    shutil.rmtree(machine.cache / f"models--{NET.replace('/', '--')}" / "manifests")
    nothing = other_catalogue(machine, "{}")
    with hold(Repository(machine.cache, DEPTH), 5, STOP, print):
        output = machine.run("gc", "--delete", nothing, code=9)
    assert f"{DEPTH}: is being pulled now; left alone" in output
    assert "error 9: 1 repositories are being pulled now and were left alone; freed 7.4 MB" in output
    assert [name for name in COMMITS if machine.snapshot(name).is_dir()] == [DEPTH, NET]


def test_gc_keeps_half_a_download_that_a_pull_will_go_on_with(machine: Machine):
    machine.pull("--entry=depth")
    [manifest] = machine.cache.glob("*/manifests/*")
    place = (machine.snapshot(DEPTH) / MODEL).resolve()
    half = place.rename(place.with_name(f"{place.name}.incomplete"))
    shutil.rmtree(machine.snapshot(DEPTH))
    manifest.unlink()
    machine.run("gc", "--delete")
    assert half.exists()
    machine.run("gc", "--delete", other_catalogue(machine, "{}"))
    assert not half.exists()


def test_gc_judges_folders_by_what_they_hold_now(machine: Machine):
    machine.variables["IMAGEGRAPH_CATALOGUE"] = ""
    machine.run("pull", "--bundle=pocket", "--entry=depth")
    assert "would free 0 B" in machine.run("gc")
