import re
import time

import pytest

from model_init.origins import WIRE_CHUNK
from tests.model_init.conftest import COMMITS, DEPTH, Machine
from tests.model_init.hub import Fault, Hub, folder

MODEL = "model.safetensors"
BYTES = f"GET /cdn/{DEPTH}/{MODEL}"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1702670\n"


def wrong(data: bytes) -> bytes:
    return data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("GET /api/models/.*/revision", times=2, status=503),
        Fault("GET /api/models/.*/tree", status=502),
        Fault("HEAD /.*/resolve/", times=2, status=500),
        Fault("GET /.*/resolve/.*/config.json", times=2, status=504),
        Fault(BYTES, times=2, status=500),
        Fault(BYTES, status=429, headers={"Retry-After": "1"}),
        Fault(BYTES, times=2, change=wrong),
        Fault(BYTES, times=2, change=lambda _: POINTER),
        Fault(BYTES, times=2, change=lambda data: data + b"more"),
        Fault("GET /.*/resolve/.*/config.json", change=lambda _: b"<html>Sign in</html>"),
        Fault(BYTES, stall=2),
    ],
    ids=lambda fault: f"{fault.match.split('/')[-1]} {fault.status or fault.stall or 'other bytes'}",
)
def test_a_fault_that_passes_is_outlived(machine: Machine, hub: Hub, fault: Fault):
    hub.faults.append(fault)
    machine.pull("--entry=depth", HF_HUB_DOWNLOAD_TIMEOUT="1")
    assert fault.times == 0
    machine.run("verify", "--bundle=real", "--entry=depth", "--deep")


def test_of_a_file_that_is_cut_off_only_the_rest_is_asked_for(machine: Machine, hub: Hub):
    hub.faults += [Fault(BYTES, cut=2 * WIRE_CHUNK), Fault(BYTES, cut=WIRE_CHUNK), Fault(BYTES, cut=0)]
    machine.pull("--entry=depth")
    assert hub.sent[f"{DEPTH}/{MODEL}"] == len(hub.repos[DEPTH].files[MODEL])
    assert len(hub.asked(BYTES)) == 4


def test_a_source_that_cannot_go_on_in_the_middle_starts_again(machine: Machine, hub: Hub):
    hub.faults += [Fault(BYTES, cut=2 * WIRE_CHUNK), Fault(BYTES, whole=True)]
    machine.pull("--entry=depth")
    assert hub.sent[f"{DEPTH}/{MODEL}"] == 2 * WIRE_CHUNK + len(hub.repos[DEPTH].files[MODEL])
    machine.run("verify", "--bundle=real", "--entry=depth", "--deep")


@pytest.mark.parametrize("change", [wrong, lambda _: POINTER], ids=["a wrong byte", "an LFS pointer"])
def test_bytes_that_stay_wrong_are_never_seen(machine: Machine, hub: Hub, change):
    hub.faults.append(Fault(BYTES, times=99, change=change))
    output = machine.pull("--entry=depth", code=8)
    assert f"error 8: {DEPTH}" in output
    assert len(hub.asked(BYTES)) == 3
    assert not machine.snapshot(DEPTH).exists()
    assert not list(machine.cache.glob("*/blobs/*.incomplete"))


def test_a_source_that_stays_broken_ends_after_all_attempts(machine: Machine, hub: Hub):
    hub.faults.append(Fault(BYTES, times=99, status=500))
    output = machine.pull("--entry=depth", "--attempts=3", code=6)
    assert f"error 6: {DEPTH} at {COMMITS[DEPTH]}: HTTP 500" in output
    assert output.count("again in") == 2
    assert len(hub.asked(BYTES)) == 3


def test_a_server_that_asks_to_wait_is_given_the_time(machine: Machine, hub: Hub):
    hub.faults.append(Fault("GET /api/models/.*/revision", status=503, headers={"Retry-After": "2"}))
    start = time.monotonic()
    assert "again in 2 s" in machine.pull("--entry=depth")
    assert time.monotonic() - start > 2


def test_nobody_there_is_said_at_once(machine: Machine, hub: Hub):
    hub.close()
    assert "error 6: " in machine.pull("--attempts=2", code=6)


def test_a_gated_repository_says_what_it_needs_before_anything_is_fetched(machine: Machine, hub: Hub):
    hub.repos[DEPTH].gated, hub.token = True, "right"
    for variables, status in (({}, 401), ({"HF_TOKEN": "wrong"}, 403)):
        output = machine.pull(code=5, **variables)
        last = f"error 5: {DEPTH} is gated: accept its licence .*, and set HF_TOKEN .*HTTP {status}"
        assert re.search(last, output.splitlines()[-1])
        assert not hub.asked("cdn")
    hub.requests.clear()
    machine.pull(HF_TOKEN="right")
    assert {request.token for request in hub.asked("GET /.*/resolve/")} == {"right"}
    # Large files come from another host: it must not learn the token.
    assert {request.host.split(":")[0] for request in hub.asked("cdn")} == {"localhost"}
    assert {request.token for request in hub.asked("cdn")} == {None}


def test_names_that_the_hub_does_not_know_are_said_before_anything_is_fetched(machine: Machine, hub: Hub):
    hub.repos[DEPTH].revision = "0" * 40
    assert f"error 5: {DEPTH} has no revision {COMMITS[DEPTH]}" in machine.pull(code=5)
    del hub.repos[DEPTH]
    assert f"error 5: {DEPTH} does not exist, or is private" in machine.pull(code=5)
    assert not hub.asked("cdn")


def test_an_offline_machine_says_what_lacks(machine: Machine):
    assert f"error 5: {DEPTH}" in machine.pull("--entry=depth", code=5, HF_HUB_OFFLINE="1")


def test_a_repository_without_weights_is_said(machine: Machine, hub: Hub):
    hub.repos[DEPTH].files = {"README.md": b"moved"}
    assert "has no file that can be loaded" in machine.pull("--entry=depth", code=2)


def test_a_proxy_is_used(machine: Machine, hub: Hub):
    machine.pull("--entry=depth", HF_ENDPOINT="http://hub.invalid", HTTP_PROXY=hub.url)
    assert {request.host for request in hub.asked("/resolve/")} == {"hub.invalid"}


def test_one_that_fails_does_not_stop_the_others(machine: Machine, hub: Hub):
    hub.faults.append(Fault(BYTES, times=99, status=500))
    machine.pull("--attempts=2", code=6)
    hub.faults.clear()
    hub.sent.clear()
    machine.pull()
    assert {path for path, size in hub.sent.items() if size and path} <= {
        f"{DEPTH}/{path}" for path in folder(machine.snapshot(DEPTH))
    }
