"""Canaries on a real Kubernetes: their share, promotion and rollback, whatever state they are in."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import pytest
import yaml

from imagegraph.client import Client
from imagegraph.deploy.figures import Prometheus
from imagegraph.spec.catalogue import ROOT
from tests.cluster.kubernetes import CommandFailed, Namespace, eventually
from tests.cluster.load import PICTURE, Load
from tests.cluster.releases import CHART, VALUES, answered, ask, asked, install
from tests.cluster.shell import Failed
from tests.cluster.toolchain import tools

CANARY = {"image": {"tag": "canary"}}
SPLIT = {"default": {"traffic": 80}, "canary": {"traffic": 20, **CANARY}}
# Canaries that never answer.
BROKEN: dict[str, dict[str, Any]] = {
    "crashing": {"image": {"tag": "crashing"}},
    "missing": {"image": {"tag": "missing"}},
    "silent": {"image": {"tag": "silent"}},  # runs, and is never ready
    "waiting": {"graph": "depth", "bundle": "sd15"},  # for weights of a hub that cannot be reached
}
BACK_S = 30  # that the default may take to get all traffic


@pytest.mark.usefixtures("near")
class TestEdges:
    """Versions of a small graph, under load."""

    graph = "edges"

    @pytest.fixture
    def address(self, release: Namespace) -> Iterator[str]:
        with release.address("edges-engine", 8080) as address:
            eventually("an answer", lambda: ask(address, "edges"), 30)
            yield address

    def test_a_canary_gets_its_share_and_no_request_is_lost(
        self, release: Namespace, address: str, figure: Callable[[str], None]
    ) -> None:
        with Load(address, rate=20) as during:
            install(release, "edges", graph="edges", predictors=SPLIT)
            time.sleep(5)  # until the engine before is gone
        assert during.lost == 0, during.outcomes
        before = answered(address)
        with Load(address, threads=8, rate=200, most=1000) as load:
            load.finish(240)
        assert load.outcomes == {"200": 1000}
        after = answered(address)
        split = {name: count - before.get(name, 0) for name, count in after.items()}
        figure(f"{during}; of 1000 requests the canary got {split['canary']}")
        assert split["default"] + split["canary"] == 1000
        assert 160 <= split["canary"] <= 240

    def test_one_id_stays_on_one_side_and_a_header_picks_it(self, release: Namespace, address: str) -> None:
        before = answered(address)
        with Client(f"http://{address}") as client:
            for _ in range(5):
                client.infer("edges", image=PICTURE, request_id="always-the-same")
        after = answered(address)
        assert sorted(after[name] - before[name] for name in after) == [0, 5]
        with Client(f"http://{address}") as client:
            for _ in range(10):
                client.infer("edges", image=PICTURE, predictor="canary")
        assert answered(address)["canary"] - after["canary"] == 10

    def test_taken_away_in_one_step_with_traffic_it_is_kept(self, release: Namespace) -> None:
        with pytest.raises(CommandFailed, match="predictors.canary: it gets 20 % of the requests"):
            install(release, "edges", graph="edges")

    def test_rolled_back_it_goes_and_no_request_is_lost(
        self, release: Namespace, address: str, figure: Callable[[str], None]
    ) -> None:
        with Load(address, rate=20) as load:
            rolled_back = self._canary(release, "rollback")
        assert rolled_back.returncode == 0, rolled_back.stderr
        figure(str(load))
        assert self._images(release) == {"imagegraph:0.1.0"}
        assert load.lost == 0, load.outcomes

    def test_promoted_on_enough_data_it_gets_everything_and_no_request_is_lost(
        self,
        release: Namespace,
        address: str,
        prometheus: Callable[[Namespace, str], AbstractContextManager[str]],
        figure: Callable[[str], None],
    ) -> None:
        install(release, "edges", graph="edges", predictors=SPLIT)
        with prometheus(release, "edges") as url:
            options = [f"--prometheus={url}", "--min-requests=50", "--max-slowdown=100"]
            early = self._canary(release, "promote", *options)
            assert early.returncode != 0
            assert "too little data" in early.stderr
            with Load(address, threads=8, rate=100, most=800) as enough:
                enough.finish(240)
            time.sleep(3)  # until that is scraped
            self._figures_are_those_of_the_engine(url, release, address)
            with Load(address, rate=20) as load:
                promoted = self._canary(release, "promote", *options)
        assert promoted.returncode == 0, promoted.stderr
        figure(str(load))
        assert self._images(release) == {"imagegraph:canary"}
        assert load.lost == 0, load.outcomes

    def test_a_shadow_gets_copies_and_its_failures_hurt_nobody(self, release: Namespace) -> None:
        shadow = {"traffic": 100, "shadow": True, **CANARY}
        install(release, "edges", graph="edges", predictors={"default": {"traffic": 100}, "trial": shadow})
        with release.address("edges-engine", 8080) as address:
            with Load(address, rate=50, most=100) as load:
                load.finish(60)
            assert load.outcomes == {"200": 100}
            with release.address("edges-trial-edges", 8080) as copy:
                eventually("copies", lambda: sum(answered(copy).values()) >= 90, 20)
            release.kubectl("scale", "deployment/edges-trial-edges", "--replicas=0")
            eventually("the end of the shadow", lambda: not release.pods("imagegraph/predictor=trial"))
            with Load(address, rate=50, most=100) as load:
                load.finish(60)
            assert load.outcomes == {"200": 100}

    def test_a_canary_that_begins_to_crash_gets_no_requests_and_is_rolled_back(
        self, release: Namespace, address: str, figure: Callable[[str], None]
    ) -> None:
        install(release, "edges", graph="edges", predictors=SPLIT)
        eventually("requests for the canary", lambda: asked(address) == {"default", "canary"}, 30)
        with Load(address, rate=20) as load:
            time.sleep(2)
            start = time.monotonic()
            with self._crashing(release, "canary"):
                eventually(
                    "the end of requests for the canary", lambda: asked(address) == {"default"}, BACK_S
                )
                rolled_back = self._canary(release, "rollback")
                took_s = time.monotonic() - start
        assert rolled_back.returncode == 0, rolled_back.stderr
        lost_s = max(load.lost_at, default=start) - start
        figure(f"{load}, the last after {lost_s:.1f} s; rolled back after {took_s:.0f} s")
        assert lost_s < BACK_S
        assert load.lost < 20, load.outcomes
        assert self._images(release) == {"imagegraph:0.1.0"}

    def test_a_canary_that_never_comes_is_rolled_back_while_helm_waits_for_it(
        self, release: Namespace, address: str, figure: Callable[[str], None]
    ) -> None:
        shares = {name: {"traffic": 10, **version} for name, version in BROKEN.items()}
        with Load(address, rate=20) as load:
            with self._upgrading(release, {"default": {"traffic": 60}, **shares}) as upgrade:
                eventually("the new engine", lambda: asked(address, known=True) == {"default", *BROKEN}, 60)
                assert upgrade.poll() is None, "helm does not wait"
                start = time.monotonic()
                rolled_back = self._canary(release, "rollback", "--canary=crashing")
                took_s = time.monotonic() - start
            assert rolled_back.returncode == 0, rolled_back.stderr
            assert "it is given up" in rolled_back.stdout
            assert not release.pods("imagegraph/predictor=crashing")
        figure(f"{load}; rolled back in {took_s:.0f} s")
        assert took_s < 150, "two starts of an engine, and no more"
        assert load.lost == 0, load.outcomes

    def test_a_rollback_that_was_killed_is_run_again(self, release: Namespace, address: str) -> None:
        name = "missing"
        with Load(address, rate=20) as load:
            with subprocess.Popen(
                self._command(release, "rollback", f"--canary={name}"), cwd=ROOT,
                env=self._environment(release), stdout=subprocess.PIPE, text=True, start_new_session=True,
            ) as process:  # fmt: skip
                assert process.stdout
                assert "step 1 of 2" in process.stdout.readline()
                time.sleep(4)
                os.killpg(process.pid, signal.SIGKILL)
            again = self._canary(release, "rollback", f"--canary={name}")
        assert again.returncode == 0, again.stderr
        assert name not in asked(address, known=True)
        assert not release.pods(f"imagegraph/predictor={name}")
        assert load.lost == 0, load.outcomes

    def test_the_next_upgrade_removes_what_one_that_failed_has_left(
        self, release: Namespace, address: str
    ) -> None:
        late = {"default": {"traffic": 90}, "late": {"traffic": 10, **BROKEN["missing"]}}
        kinds = "deployments,services,poddisruptionbudgets"

        def left() -> set[str]:
            found = release.get(kinds, "--selector=imagegraph/predictor notin (default)")["items"]
            return {one["metadata"]["labels"].get("imagegraph/predictor") for one in found} - {None}

        with Load(address, rate=20) as load:
            with pytest.raises(CommandFailed, match="exceeded|not ready|deadline"):
                install(release, "edges", graph="edges", predictors=late, timeout_s=8)
            assert left() == {"late"}
            install(release, "edges", graph="edges")
            assert left() == set()
        assert load.lost == 0, load.outcomes

    def _figures_are_those_of_the_engine(self, url: str, release: Namespace, address: str) -> None:
        """The node is named as the release is, and scraped too: its requests count for nobody."""
        source = Prometheus(url, "30m")
        counted = answered(address)
        for predictor in ("default", "canary"):
            found = source.figures("edges", release.name, predictor, "plain")
            assert found.requests == pytest.approx(counted[predictor], rel=0.25), predictor
            assert source.is_asked("edges", release.name, predictor)

    @contextmanager
    def _crashing(self, release: Namespace, predictor: str) -> Iterator[None]:
        """Kills the pods of a predictor as often as they start."""
        here = release.cluster.local
        assert here
        ends = threading.Event()

        def kill() -> None:
            killed: set[str] = set()
            while not ends.wait(0.2):
                for pod in release.pods(f"imagegraph/predictor={predictor}"):
                    for one in pod["status"].get("containerStatuses", []):
                        if "running" in one["state"] and one["containerID"] not in killed:
                            killed.add(one["containerID"])
                            with suppress(Failed):  # it has just ended
                                container = one["containerID"].removeprefix("containerd://")
                                here.node(1).containerd.signal(container, "SIGKILL")

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join()

    @contextmanager
    def _upgrading(self, release: Namespace, predictors: dict[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
        """An upgrade by a helm that waits for its pods."""
        with tempfile.TemporaryFile() as values:
            values.write(yaml.safe_dump({**VALUES, "graph": "edges", "predictors": predictors}).encode())
            values.seek(0)
            with subprocess.Popen(
                [tools() / "bin" / "helm", f"--kubeconfig={release.cluster.kubeconfig}",
                 f"--namespace={release.name}", "upgrade", "edges", CHART, "--values=-", "--wait"],
                stdin=values,
            ) as process:  # fmt: skip
                try:
                    yield process
                finally:
                    process.kill()

    def _canary(self, release: Namespace, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(release, *arguments), cwd=ROOT, env=self._environment(release),
            capture_output=True, text=True, timeout=400,
        )  # fmt: skip

    def _command(self, release: Namespace, verb: str, *options: str) -> list[str]:
        command = [sys.executable, "-m", "imagegraph.cli", "canary", verb, "edges", *options]
        return [*command, f"--namespace={release.name}"]

    def _environment(self, release: Namespace) -> dict[str, str]:
        return {
            **os.environ,
            "KUBECONFIG": str(release.cluster.kubeconfig),
            "PATH": f"{tools() / 'bin'}:{os.environ['PATH']}",
        }

    def _images(self, release: Namespace) -> set[str]:
        pods = release.pods("imagegraph/node=edges")
        return {pod["spec"]["containers"][0]["image"] for pod in pods}
